"""Helpers of the importers of StyleGAN2 and of methods with its layers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import StateDict, as_state_dict, read_weights_file
from zoogan.interfaces.draws import derive_seed
from zoogan.layers.config import PixelNormMappingConfig
from zoogan.layers.fir import FIR_TAPS
from zoogan.layers.mapping import PixelNormMapping
from zoogan.layers.widths import compute_synthesis_widths

MIN_IMAGE_SIZE = 16  # of the zoo
MEAN_OF_DRAWN = 4096  # number of latents whose mean is used if no file has a mean latent, as in the official code
MEAN_LATENT_KEY = "latent_avg"

# ---- files ----


@dataclass
class OfficialWeights:
    """The content of official files.

    Attributes:
        networks: State_dicts by slot.
        mean: The mean latent, if there is one.
        arguments: The training's arguments.
        averaged: Whether the generator is the moving average.
        raw: For slots whose network is an average, the network in training, if a file holds both.
    """

    networks: dict[str, StateDict] = field(default_factory=dict)
    mean: Tensor | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    averaged: bool = True
    raw: dict[str, StateDict] = field(default_factory=dict)


def read_official_weights(
    files: Iterable[Path],
    names: Mapping[str, str],
    recognise: Callable[[Mapping[str, Tensor]], str | None],
    what: str,
) -> OfficialWeights:
    """Read several official files into one `OfficialWeights`.

    Args:
        files: The files.
        names: Official name of a network -> slot. If a file holds two networks of one slot, the first name is taken,
            so list averages first.
        recognise: Returns the official name of a bare state_dict by its keys, or None.
        what: The method, for messages.

    Raises:
        ConfigError: Files that cannot be read without executing code, of another layout, or two of one network.
    """
    official = OfficialWeights()
    for path in files:
        content, taken = read_weights_file(path), dict[str, str]()
        for name, state in split_networks(content, path, names, recognise, what).items():
            slot = names[name]
            if slot in taken:
                is_raw = taken[slot].endswith("_ema") and not name.endswith("_ema")
                official.raw |= {slot: state} if is_raw else {}
                continue
            taken[slot] = name
            if slot in official.networks:
                raise ConfigError(f"{path}: a second {slot}; give one file of each network")
            official.networks[slot] = state
            official.averaged &= slot != "generator" or name.endswith("_ema")
        official.mean = content[MEAN_LATENT_KEY] if isinstance(content.get(MEAN_LATENT_KEY), Tensor) else official.mean
        if isinstance(content.get("args"), argparse.Namespace):
            official.arguments |= vars(content["args"])
    if not official.networks:
        raise ConfigError(f"no weights of {what} among the files")
    return official


def split_networks(
    content: Any,
    path: Path,
    names: Mapping[str, str],
    recognise: Callable[[Mapping[str, Tensor]], str | None],
    what: str,
) -> dict[str, StateDict]:
    """Split a file into networks by official name, in the order of `names`: nested, with prefixed keys, or one bare.

    Args:
        content: The content of the file.
        path: The file, for messages.
        names: See `read_official_weights`.
        recognise: See `read_official_weights`.
        what: The method, for messages.

    Raises:
        ConfigError: None of these layouts.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected networks (names, and a state_dict for each)")
    networks = {name: as_state_dict(content[name], path) for name in names if isinstance(content.get(name), Mapping)}
    if networks:
        return networks
    flat = as_state_dict({key: value for key, value in content.items() if key != MEAN_LATENT_KEY}, path)
    for name in names:
        state = {key[len(name) + 1 :]: value for key, value in flat.items() if key.startswith(f"{name}.")}
        networks |= {name: state} if state else {}
    if networks:
        return networks
    bare = recognise(flat)
    if bare is None:
        raise ConfigError(f"{path}: neither a generator nor a discriminator of {what}")
    return {bare: flat}


# ---- numbers in the weights ----


def read_shape(state: Mapping[str, Tensor], key: str, layout: str, dims: int) -> tuple[int, ...]:
    """Return the last dimensions of a tensor.

    Args:
        state: The state_dict.
        key: The tensor's name.
        layout: Name of the layout, for messages.
        dims: Number of dimensions.

    Raises:
        ConfigError: There is no such tensor, or it has fewer.
    """
    if key not in state or state[key].dim() < dims:
        raise ConfigError(f"the weights are not in the layout of {layout}: no {key!r} of {dims} dimensions")
    return tuple(state[key].shape[-dims:])


def remove_filters(state: Mapping[str, Tensor], names: re.Pattern[str], what: str) -> StateDict:
    """Return the weights without their low-pass filters, which our networks do not store.

    Args:
        state: The state_dict.
        names: Matches the names of the filters.
        what: The network, for messages.

    Raises:
        ConfigError: The filter is not that of [1, 3, 3, 1].
    """
    expected = torch.outer(torch.tensor(FIR_TAPS), torch.tensor(FIR_TAPS)) / sum(FIR_TAPS) ** 2
    weights = dict(state)
    for key in [key for key in state if names.search(key)]:
        kernel = weights.pop(key)
        is_same = kernel.shape == expected.shape
        if not kernel.is_meta:
            is_same = is_same and torch.allclose(kernel.float() / kernel.float().sum(), expected, atol=1e-5)
        if not is_same:
            raise ConfigError(f"the {what}'s filter {key!r} is not that of [1, 3, 3, 1], which zoogan uses")
    return weights


def read_widths(
    widths: Sequence[int], size: int, multiplier: Any, what: str, usual: int | None = None
) -> dict[str, Any]:
    """Return our settings for the widths of the last resolutions, up to `size` px.

    Args:
        widths: Channels of these resolutions, the coarsest first.
        size: The image size in pixels.
        multiplier: The channel multiplier in the official arguments; None = they have none.
        what: The network, for messages.
        usual: The greatest width of a layer where the widths do not show it; None = they begin at 4 px, where they do.

    Raises:
        ConfigError: Not the widths of any StyleGAN2, or not those that the arguments ask for, or of tiny images.
    """
    if size < MIN_IMAGE_SIZE:
        raise ConfigError(
            f"the {what} is for pictures of {size} px; the smallest that the zoo takes are {MIN_IMAGE_SIZE} px"
        )
    sides = [size >> k for k in range(len(widths))][::-1]
    limited = max(width * side for width, side in zip(widths, sides)) / 2**14
    unlimited = widths[-1] * size / 2**14
    for candidate, most in ((limited, usual or widths[0]), (limited, widths[0]), (unlimited, None)):
        chosen = candidate if multiplier is None else float(multiplier)
        if compute_synthesis_widths(size, chosen, most)[-len(widths) :] == list(widths):
            return {"channel_multiplier": chosen, "max_width": most}
    requested = "" if multiplier is None else f" of channel_multiplier={multiplier:g}, as args says,"
    raise ConfigError(
        f"the {what}'s widths, from {sides[0]} to {size} px, are {', '.join(map(str, widths))}: "
        f"not those of a StyleGAN2{requested} with at most {widths[0]}, nor with 512 up to 32 px and no limit above"
    )


def reshape_tensor(tensor: Tensor, shape: Sequence[int], name: str) -> Tensor:
    """Return an official tensor in our shape, which differs in axes of length 1.

    Args:
        tensor: The official tensor.
        shape: Our shape.
        name: The official name, for messages.

    Raises:
        ConfigError: It differs otherwise.
    """
    if [d for d in tensor.shape if d != 1] != [d for d in shape if d != 1]:
        raise ConfigError(f"{name!r} has the shape {tuple(tensor.shape)}, but the other weights need {tuple(shape)}")
    return tensor.reshape(tuple(shape))


# ---- names of rosinality/stylegan2-pytorch ----


def name_mapping_tensor(key: str) -> str:
    """Return the official name of a tensor of our mapping: `layers.0` is `style.1`; number 0 is the pixel norm."""
    return re.sub(r"^layers\.(\d+)", lambda f: f"style.{int(f[1]) + 1}", key)


def name_trunk_tensor(key: str, official: str) -> str:
    """Return the official name of a tensor of our residual trunk.

    Each official layer is a list: perhaps a filter, the convolution, and perhaps its activation with the bias.

    Args:
        key: Our name.
        official: The official name of the trunk.
    """
    match = re.fullmatch(r"(\d+)\.(first|second|shortcut)\.(weight|bias)", key)
    if match is None:
        return f"{official}.0.{1 if key == '0.bias' else 0}.{key.removeprefix('0.')}"
    layer, place = {"first": ("conv1", 0), "second": ("conv2", 1), "shortcut": ("skip", 1)}[match[2]]
    return f"{official}.{match[1]}.{layer}.{place + (match[3] == 'bias')}.{match[3]}"


def name_head_tensor(key: str) -> str:
    """Return the official name of a tensor of our discriminator's head."""
    names = {"conv.weight": "final_conv.0.weight", "conv.bias": "final_conv.1.bias"}
    return names.get(key) or key.replace("hidden", "final_linear.0").replace("score", "final_linear.1")


def count_trunk_blocks(state: Mapping[str, Tensor], official: str) -> int:
    """Count the halvings of a trunk: as many as there are shortcuts."""
    return sum(re.fullmatch(rf"{official}\.\d+\.skip\.1\.weight", key) is not None for key in state)


# ---- latents ----


def read_latent_sizes(state: Mapping[str, Tensor], name: Callable[[str], str], layout: str) -> dict[str, int]:
    """Return the latent size and the number of layers of a mapping, under descriptions for messages.

    Args:
        state: The official state_dict that holds the mapping.
        name: Returns the official name of a tensor of ours.
        layout: Whose names these are, for messages.

    Raises:
        ConfigError: Noise and latent of two sizes.
    """
    layers = 0
    while name(f"layers.{layers}.weight") in state:
        layers += 1
    style_dim, latent_dim = read_shape(state, name("layers.0.weight"), layout, 2)
    if style_dim != latent_dim:
        raise ConfigError(
            f"the mapping makes latents of {style_dim} numbers from noise of {latent_dim}; ours have one size"
        )
    return {"the size of a latent": style_dim, "the layers of the mapping": layers}


def make_mean_latent(
    config: PixelNormMappingConfig, state: Mapping[str, Tensor], mean: Tensor | None, notes: list[str]
) -> Float[Tensor, " style_dim"]:
    """Return the mean of w for truncation: the file's, or that of drawn latents, with a note.

    Args:
        config: The mapping's config.
        state: The state_dict of our mapping.
        mean: The mean latent in the file, if there is one.
        notes: A note is added if latents are drawn.

    Raises:
        ConfigError: A mean latent of another size.
    """
    if mean is not None:
        if mean.numel() != config.style_dim:
            raise ConfigError(f"the mean latent has {mean.numel()} numbers, but a latent has {config.style_dim}")
        return mean.float().flatten()
    mapping = PixelNormMapping(config, Facts(image_size=MIN_IMAGE_SIZE))  # a mapping does not depend on images
    mapping.load_state_dict(state)
    latent = torch.randn(
        MEAN_OF_DRAWN, config.style_dim, generator=torch.Generator().manual_seed(derive_seed("mean latent"))
    )
    notes.append(f"no mean latent is in the file; truncation pulls to the mean of {MEAN_OF_DRAWN:,} drawn ones")
    with torch.no_grad():
        return mapping(latent).mean(0)
