"""Reads the architecture of SMILE's layout stage from the names and shapes of official weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import TrunkShape, count_layers, read_shape, read_trunk_shape

LAYOUT = "affromero/SMILE"
FILTER = "hpf.filter"
OFFICIAL_WIDTH = 2**13  # times 1 / image_size: the generator's first width, unless conv_gen sets another


@dataclass
class Architecture:
    """The architecture of one network, read from its weights.

    Attributes:
        config: Settings of our network.
        numbers: Numbers on which all networks must agree, by what they count.
        dims: Numbers of its style that each attribute uses; empty = not in these weights.
    """

    config: dict[str, Any]
    numbers: dict[str, int]
    dims: list[int] = field(default_factory=list)


def identify_network(state: Mapping[str, Tensor]) -> str | None:
    """Return the slot of official weights, by their names and shapes; None = none of the networks."""
    if "from_rgb.weight" in state and "decode.0.conv1.weight" in state:
        return "generator"
    if "main.0.weight" in state and "main.1.conv1.weight" in state:
        return "discriminator"
    if "unshared.0.6.weight" in state:
        return "mapping"
    return "style_encoder" if "unshared.0.weight" in state and "shared.1.conv1.weight" in state else None


# ---- heads ----


def count_attributes(heads: int, slot: str) -> int:
    """Return the number of attributes of a network with this many heads, two for each.

    Raises:
        ConfigError: An odd number: the domains are no pairs.
    """
    if heads % 2 or not heads:
        raise ConfigError(
            f"the {slot} has {heads} heads, and a pair of domains has two: weights for single domains, such as those "
            "for re-enactment, are not imported"
        )
    return heads // 2


def read_head_dims(state: Mapping[str, Tensor], pattern: str, slot: str) -> list[int]:
    """Read the numbers that each attribute's heads return.

    Args:
        state: The official state_dict.
        pattern: Name of a head's last weight, with `{}` for the number of the head.
        slot: The network, for messages.

    Raises:
        ConfigError: The heads are no pairs, or a pair has two widths.
    """
    escaped = re.escape(pattern).replace(r"\{\}", r"(\d+)")
    count = count_attributes(count_layers(state, escaped), slot)
    widths = [read_shape(state, pattern.format(head), LAYOUT, 2)[0] for head in range(2 * count)]
    uneven = [k for k in range(count) if widths[2 * k] != widths[2 * k + 1]]
    if uneven or len(set(widths)) > 2:
        raise ConfigError(f"the {slot}'s heads have the widths {', '.join(map(str, widths))}: expected one or two, "
                          "and the same for both domains of an attribute")  # fmt: skip
    return widths[::2]


def read_mapping(state: Mapping[str, Tensor]) -> Architecture:
    """Read the mapping network."""
    width, latent_dim = read_shape(state, "shared.0.weight", LAYOUT, 2)
    dims = read_head_dims(state, "unshared.{}.6.weight", "mapping")
    return Architecture({"latent_dim": latent_dim, "width": width}, count_styles(dims), dims)


def count_styles(dims: Sequence[int]) -> dict[str, int]:
    """Return the numbers that follow from those of each style, by what they count."""
    return {"the number of attributes": len(dims), "the numbers of a face's styles": sum(dims)}


# ---- bodies ----


def read_trunk(state: Mapping[str, Tensor], prefix: str) -> tuple[Architecture, TrunkShape]:
    """Read widths, image size and parts of a style encoder or discriminator."""
    trunk = read_trunk_shape(state, prefix, LAYOUT)
    numbers = {"the image size": trunk.image_size, "the number of parts": trunk.channels}
    return Architecture({"width": trunk.width, "max_width": trunk.max_width}, numbers), trunk


def read_style_encoder(state: Mapping[str, Tensor]) -> Architecture:
    """Read the style encoder."""
    network, _ = read_trunk(state, "shared")
    network.dims = read_head_dims(state, "unshared.{}.weight", "style encoder")
    network.numbers |= count_styles(network.dims)
    return network


def read_discriminator(state: Mapping[str, Tensor]) -> Architecture:
    """Read the discriminator."""
    network, trunk = read_trunk(state, "main")
    heads = read_shape(state, f"main.{trunk.halvings + 4}.weight", LAYOUT, 4)[0]
    network.numbers["the number of attributes"] = count_attributes(heads, "discriminator")
    return network


# ---- the generator ----


def read_generator(state: Mapping[str, Tensor], size: int | None, detailed: bool | None) -> Architecture:
    """Read the generator.

    Officially it halves down to 8 x 8 where heat maps keep details, and else down to 16 x 16. With modulated
    convolutions shortcuts tell these apart too, since the decoder has them only without heat maps.

    Args:
        state: The official state_dict.
        size: The image size that other weights or the official arguments tell; None = unknown.
        detailed: Whether heat maps keep details, from the official arguments; None = unknown.

    Raises:
        ConfigError: Layers are missing, or the weights do not tell the image size or whether heat maps keep details.
    """
    width, parts = read_shape(state, "from_rgb.weight", LAYOUT, 4)[:2]
    blocks = count_layers(state, r"encode\.(\d+)\.conv1\.weight")
    if blocks < 3:
        raise ConfigError(f"the generator has {blocks} encoding blocks; {LAYOUT} has at least 3")
    halvings, is_delta = blocks - 2, "decode.0.conv1.affine.weight" in state
    has_shortcuts = any(re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key) for key in state)
    widest = read_shape(state, f"encode.{blocks - 1}.conv1.weight", LAYOUT, 4)[0]
    if FILTER in state:
        detailed = True
    elif is_delta and (has_shortcuts or widest != width):
        detailed = not has_shortcuts
    size, detailed = infer_size(width, halvings, size, detailed)
    style = "decode.0.conv1.affine.weight" if is_delta else "decode.0.norm1.fc.weight"
    config = {
        "width": width,
        "max_width": widest,
        "modulation": "delta" if is_delta else "adain",
        "high_pass": read_divisor(state) if detailed else 0.0,
        "halvings": halvings,
        "noise": not is_delta or "decode.0.noise.weight" in state,
    }
    numbers = {
        "the image size": size,
        "the number of parts": parts,
        "the numbers of a face's styles": read_shape(state, style, LAYOUT, 2)[1],
    }
    return Architecture(config, numbers)


def infer_size(width: int, halvings: int, size: int | None, detailed: bool | None) -> tuple[int, bool]:
    """Infer the image size, and whether heat maps keep details, from the official rule.

    Args:
        width: The generator's channels at full size.
        halvings: How often it halves height and width.
        size: The image size, if it is known.
        detailed: Whether heat maps keep details, if it is known.

    Raises:
        ConfigError: The weights do not tell.
    """
    by_rule = {True: 8 << halvings, False: 16 << halvings}
    if detailed is not None:
        return by_rule[detailed], detailed
    fitting = [keeps for keeps, side in by_rule.items() if size in (None, side)]
    if len(fitting) == 2:  # the official first width tells the size
        fitting = [keeps for keeps in fitting if width * by_rule[keeps] == OFFICIAL_WIDTH]
    if len(fitting) != 1:
        known = "an unknown image size" if size is None else f"an image size of {size}"
        raise ConfigError(
            f"the generator halves {halvings} times at {known}, which does not tell whether heat maps keep details: "
            f"{LAYOUT} halves down to 8 x 8 with them and to 16 x 16 without; give the style encoder too"
        )
    return by_rule[fitting[0]], fitting[0]


def read_divisor(state: Mapping[str, Tensor]) -> float:
    """Return the divisor of the high-pass filter; 1, as in the official code, if the weights lack the filter."""
    return round(8 / float(state[FILTER].flatten()[4]), 6) if FILTER in state else 1.0
