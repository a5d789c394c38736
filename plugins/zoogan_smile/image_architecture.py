"""Reads the architecture of SMILE's image stage from the names and shapes of official weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import StateDict, count_layers, name_mapping_tensor, read_shape
from zoogan_smile.architecture import LAYOUT, Architecture

AVERAGE = "g_ema"
START = {True: 8, False: 16}
"""The side at which the stem ends, with a region encoder and without (the paper's ablations)."""


def select_average(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the averaged networks of an official file, or the content itself where it is a bare state_dict."""
    average = content.get(AVERAGE)
    return average if isinstance(average, Mapping) else content


def identify_image_network(content: Mapping[str, Any]) -> str | None:
    """Return `generator` for official weights, which hold mapping and region encoder too; None = other weights."""
    names = ("input.0.0.weight", "conv1.conv.blending_gamma", "style.1.weight")
    state = select_average(content)
    return "generator" if all(name in state for name in names) else None


def recognise_image_weights(state: Mapping[str, Tensor]) -> str | None:
    """Return the official name of a bare state_dict, as files with several have it; None = other weights."""
    return AVERAGE if identify_image_network(state) else None


def get_slot(name: str) -> str:
    """Return our slot of an official tensor."""
    return {"style": "mapping", "encoder": "region_encoder"}.get(name.partition(".")[0], "generator")


# ---- numbers ----


def read_image_generator(state: Mapping[str, Tensor], size: int | None) -> Architecture:
    """Read the generator.

    No tensor tells the image size: the official code ends the stem at 8 x 8, or without a region encoder at 16 x 16.

    Args:
        state: The official state_dict of all networks.
        size: The image size, if the official arguments tell it.

    Raises:
        ConfigError: Layers are missing, or the image size is impossible.
    """
    stem_width, parts = read_shape(state, "input.0.0.weight", LAYOUT, 4)[:2]
    halvings = count_layers(state, r"input\.(\d+)\.1\.weight")
    doublings = count_layers(state, r"to_rgbs\.(\d+)\.conv\.weight")
    if not halvings or not doublings:
        raise ConfigError(f"the generator halves {halvings} times and doubles {doublings} times; {LAYOUT} does both")
    start = START[any(get_slot(name) == "region_encoder" for name in state)] if size is None else size >> doublings
    if size is not None and (start < 1 or start << doublings != size):
        raise ConfigError(f"image_size={size}: the generator doubles {doublings} times, which {size} px do not allow")
    widest = ["conv1", *(f"convs.{2 * k}" for k in range(doublings))]
    codes = [f"{name}.conv.fc_mu.0.weight" for name in ("conv1", f"convs.{2 * doublings - 1}")]
    config = {
        "stem_width": stem_width,
        "stem_halvings": halvings,
        "widths": [read_shape(state, f"{name}.conv.weight", LAYOUT, 4)[0] for name in widest],
        "hidden": read_shape(state, "conv1.conv.spade_gamma.mlp_shared.0.weight", LAYOUT, 4)[0],
        "codes": "all" if codes[1] in state else "below_full_size" if codes[0] in state else "none",
        "noise": "conv1.noise.weight" in state,
    }
    numbers = {"the image size": start << doublings, "the number of parts": parts}
    if codes[0] in state:
        numbers["the numbers in a code"] = read_shape(state, codes[0], LAYOUT, 2)[0]
    return Architecture(config, numbers)


def read_image_mapping(state: Mapping[str, Tensor], parts: int) -> Architecture:
    """Read the mapping.

    Args:
        state: The official state_dict of all networks.
        parts: Number of parts.

    Raises:
        ConfigError: It is missing, or its width is no multiple of the number of parts.
    """
    width = read_shape(state, "style.1.weight", LAYOUT, 2)[0]
    if width % parts:
        raise ConfigError(f"the mapping makes {width} numbers, which are no codes of {parts} parts of the same size")
    layers = count_layers(state, r"style\.(\d+)\.weight")
    return Architecture({"layers": layers}, {"the numbers in a code": width // parts})


def read_region_encoder(state: Mapping[str, Tensor]) -> Architecture | None:
    """Read the region encoder; None if the weights have none.

    Raises:
        ConfigError: Layers are missing.
    """
    if not any(get_slot(name) == "region_encoder" for name in state):
        return None
    halvings = count_layers(state, r"encoder\.model\.(\d+)\.1\.weight") - 1  # the last one comes after the doubling
    width = read_shape(state, "encoder.model.0.0.weight", LAYOUT, 4)[0]
    code_dim = read_shape(state, f"encoder.model.{halvings + 2}.1.weight", LAYOUT, 4)[0]
    return Architecture({"width": width, "halvings": halvings}, {"the numbers in a code": code_dim})


# ---- names ----

LAYER_PARTS = {
    "conv.blend": "conv.blending_gamma",
    "conv.layout_hidden.weight": "conv.spade_gamma.mlp_shared.0.weight",
    "conv.layout_hidden.bias": "conv.spade_gamma.mlp_shared.1.bias",
    "conv.layout_scale.weight": "conv.spade_gamma.mlp_gamma.0.weight",
    "conv.layout_scale.bias": "conv.spade_gamma.mlp_gamma.0.bias",
    "conv.regions.weight": "conv.fc_mu.weight",  # as `stack_regions` names them
    "conv.regions.bias": "conv.fc_mu.bias",
    "conv.code_scale.weight": "conv.style_gamma.0.weight",
    "conv.code_scale.bias": "conv.style_gamma.0.bias",
    "strength": "noise.weight",
}
"""Our tensors of a spatially adaptive layer -> the official names; others have the same name."""


def name_image_tensor(slot: str, key: str) -> str:
    """Return the official name of one of our tensors; the noise maps keep ours.

    Args:
        slot: The network's slot.
        key: Our name.
    """
    if slot == "mapping":
        return name_mapping_tensor(key)
    prefix, _, rest = key.partition(".")
    if prefix in ("stem", "body"):
        return name_plain_tensor("input" if prefix == "stem" else "encoder.model", rest)
    if prefix in ("first", "first_rgb"):
        layer = "conv1" if prefix == "first" else "to_rgb1"
    elif match := re.fullmatch(r"blocks\.(\d+)\.(up|conv|rgb)\.(.+)", key):
        block, kind, rest = int(match[1]), match[2], match[3]
        layer = f"to_rgbs.{block}" if kind == "rgb" else f"convs.{2 * block + (kind == 'conv')}"
    else:
        return key
    if rest == "bias" and not layer.startswith("to_rgb"):
        rest = "activate.bias"
    return f"{layer}.{LAYER_PARTS.get(rest, rest)}"


def name_plain_tensor(official: str, key: str) -> str:
    """Return the official name of a tensor of the stem or of the region encoder.

    An official layer is a list: perhaps a filter, the convolution, perhaps a filter, and the activation with the bias.

    Args:
        official: The official name of the network.
        key: Our name in it: `0.weight`, `1.conv.weight` of a halving, `3.weight` of a doubling.
    """
    number, *inner, part = key.split(".")
    place = int(bool(inner)) if part == "weight" else 1 if number == "0" else 2
    return f"{official}.{number}.{place}.{part}"


def stack_regions(state: Mapping[str, Tensor], parts: int) -> StateDict:
    """Stack the official linear layers of the single parts, `fc_mu.0.weight` to `fc_mu.18.weight`, to `fc_mu.weight`.

    Args:
        state: The official state_dict.
        parts: Number of parts.

    Raises:
        ConfigError: Layers of some parts are missing; names them.
    """
    stacked, layers = StateDict(), dict[str, dict[int, Tensor]]()
    for name, tensor in state.items():
        match = re.fullmatch(r"(.+\.fc_mu)\.(\d+)\.(weight|bias)", name)
        if match is None or int(match[2]) >= parts:
            stacked[name] = tensor
        else:
            layers.setdefault(f"{match[1]}.{{}}.{match[3]}", {})[int(match[2])] = tensor
    missing = [name.format(k) for name, each in layers.items() for k in range(parts) if k not in each]
    if missing:
        raise ConfigError(f"the weights are not in the layout of {LAYOUT}: no {', '.join(map(repr, missing))}")
    for name, each in layers.items():
        if len({tensor.shape for tensor in each.values()}) > 1:
            raise ConfigError(f"the weights are not in the layout of {LAYOUT}: {name.format('*')} differ in shape")
        stacked[name.replace(".{}", "")] = torch.stack([each[k] for k in range(parts)])
    return stacked
