"""Names of seasonSH/SemanticStyleGAN's weights, and the numbers that the weights tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import count_trunk_blocks, name_head_tensor, name_mapping_tensor, name_trunk_tensor, read_shape

NAME = "seasonSH/SemanticStyleGAN"
NAMES = {"g_ema": "generator", "g": "generator", "d": "discriminator"}
"""Official name of a network -> our slot; the averaged network first."""
FILTERS = re.compile(r"\.kernel$")
MAPPING = "style."
STAGE = {"up": 0, "conv": 1}


@dataclass(frozen=True)
class TensorOrigin:
    """The official tensors that make up one of our tensors.

    Attributes:
        names: Official names, in the order in which our tensor holds them.
        axes: Leading axes of our tensor that index them; 0 = one tensor, equal to ours except for axes of length 1.
    """

    names: Sequence[str]
    axes: int = 0


def identify_network(state: Mapping[str, Tensor]) -> str | None:
    """Return the official name of the network of a bare state_dict; None = neither network."""
    if any(key.startswith("local_nets.") for key in state):
        return "g_ema"
    return "d" if any(key.startswith("convs_img.") for key in state) else None


def find_origins(slot: str, keys: Sequence[str], numbers: Mapping[str, int]) -> dict[str, TensorOrigin]:
    """Find the official tensors of each tensor of our network.

    Args:
        slot: Slot of the network.
        keys: Names of our tensors.
        numbers: Numbers of parts and their layers, read from the weights.
    """
    if slot == "generator":
        return {key: find_generator_origin(key, numbers["the parts"], numbers["the layers of a part"]) for key in keys}
    name = name_mapping_tensor if slot == "mapping" else name_discriminator_tensor
    return {key: TensorOrigin([name(key)]) for key in keys}


def name_discriminator_tensor(key: str) -> str:
    """Return the official name of a tensor of our discriminator."""
    part, _, rest = key.partition(".")
    trunks = {"trunk": "convs_img", "segmentation_trunk": "convs_seg"}
    return name_head_tensor(rest) if part == "head" else name_trunk_tensor(rest, trunks[part])


def find_generator_origin(key: str, parts: int, layers: int) -> TensorOrigin:
    """Find the official tensors of a tensor of our generator, which holds those of all parts and layers."""
    part, _, rest = key.partition(".")
    if part == "positions":
        return TensorOrigin(["pos_embed.weights"])
    if part.startswith("noise_"):
        return TensorOrigin([f"render_net.noises.{part}"])
    if part == "renderer":
        return TensorOrigin([name_renderer_tensor(rest)])
    if part == "composition":
        return TensorOrigin([f"local_nets.{k}.to_feat.{name_output_tensor(rest)}" for k in range(parts)], 1)
    if rest.startswith("depth_"):
        name = name_output_tensor(rest.removeprefix("depth_"))
        return TensorOrigin([f"local_nets.{k}.to_depth.{name}" for k in range(1, parts)], 1)
    inside = {
        "weight": "conv.weight", "bias": "activate.bias",
        "affine_weight": "conv.modulation.weight", "affine_bias": "conv.modulation.bias",
    }[rest]  # fmt: skip
    return TensorOrigin(
        [f"local_nets.{k}.linears.{layer}.{inside}" for k in range(parts) for layer in range(layers)], 2
    )


def name_renderer_tensor(key: str) -> str:
    """Return the official name of a tensor of our renderer; its convolutions, two a stage, are numbered through."""
    _, stage, kind, what = key.split(".")
    if kind in STAGE:
        place = f"render_net.convs.{2 * int(stage) + STAGE[kind]}"
        names = {"weight": "weight", "scale": "modulation", "strength": "noise.weight", "bias": "activate.bias"}
        return f"{place}.{names[what]}"
    return f"render_net.{'to_rgbs' if kind == 'image' else 'to_segs'}.{stage}.{name_output_tensor(what)}"


def name_output_tensor(what: str) -> str:
    """Return the name inside an official output layer: the convolution's tensors, and a bias after it."""
    return {"weight": "conv.weight", "scale": "conv.modulation", "bias": "bias"}[what]


# ---- numbers in the weights ----


def read_generator_shapes(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], list[int], dict[str, int]]:
    """Read the generator's settings, the widths of its renderer, and the numbers that other networks share.

    Raises:
        ConfigError: Another layout, or no size at which the parts' features enter again.
    """

    def read(key: str, dims: int) -> tuple[int, ...]:
        return read_shape(state, key, NAME, dims)

    parts, layers, stages = (
        count_tensors(state, name)
        for name in (
            "local_nets.{}.to_feat.bias",
            "local_nets.0.linears.{}.activate.bias",
            "render_net.to_rgbs.{}.bias",
        )
    )
    inputs, outputs = (
        [read_shape(state, f"render_net.convs.{2 * k}.weight", NAME, 4)[place] for k in range(stages)]
        for place in (1, 0)
    )
    width, places, *_ = read("pos_embed.weights", 4)
    features = read("local_nets.0.to_feat.conv.weight", 4)[0]
    first = read("render_net.noises.noise_0", 2)[0] // 2
    style_dim = read("local_nets.0.linears.0.conv.modulation.weight", 2)[1]
    again = [first << k for k in range(1, stages) if inputs[k] == outputs[k - 1] + features]
    if len(again) != 1:
        raise ConfigError(
            f"the generator's parts give features of {features} channels, which should enter once more; the layers of "
            f"its renderer take {', '.join(map(str, inputs))} channels and give {', '.join(map(str, outputs))}"
        )
    if places % 4 != 2:
        raise ConfigError(f"'pos_embed.weights' takes {places} channels: not x, y, and a sine and cosine of both")
    size = first << stages
    frequencies = (places - 2) // 4
    settings = {
        "style_dim": style_dim, "part_layers": layers, "part_width": width, "feature_width": features,
        "coarse_size": again[0], "render_from": first,
        "frequencies": None if size == 1 << frequencies else frequencies,
    }  # fmt: skip
    return settings, outputs, {
        "the image size": size,
        "the channels of an image": read("render_net.to_rgbs.0.conv.weight", 4)[0],
        "the size of a latent": style_dim,
        "the parts": parts,
        "the layers of a part": layers,
        "the width of a part": width,
        "the width of the features": features,
        "the size of the features": again[0],
        "the size at which rendering begins": first,
    }  # fmt: skip


def read_discriminator_shapes(state: Mapping[str, Tensor]) -> tuple[list[int], dict[str, int]]:
    """Read the discriminator's widths from 4 px up, and the numbers that other networks share.

    Raises:
        ConfigError: Another layout, or branches of two sizes.
    """
    blocks = count_trunk_blocks(state, "convs_img")
    for name in ("convs_img", "convs_seg"):
        if count_trunk_blocks(state, name) != blocks:
            raise ConfigError(
                f"the discriminator halves images {blocks} times, but segmentations "
                f"{count_trunk_blocks(state, name)} times; zoogan needs both in one size"
            )
    widest, channels = read_shape(state, "convs_img.0.0.weight", NAME, 4)[:2]
    further = [read_shape(state, f"convs_img.{k}.conv2.1.weight", NAME, 4)[0] for k in range(1, blocks + 1)]
    return [widest, *further][::-1], {
        "the image size": 4 << blocks,
        "the channels of an image": channels,
        "the parts": read_shape(state, "convs_seg.0.0.weight", NAME, 4)[1],
    }


def count_tensors(state: Mapping[str, Tensor], name: str) -> int:
    """Count the tensors of a name with a number in it, from 0."""
    number = 0
    while name.format(number) in state:
        number += 1
    return number
