"""What the names and shapes of official weights tell of the networks that they were trained in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from zoogan import ConfigError

LAYOUT = "clovaai/stargan-v2"


class Architecture(NamedTuple):
    """What the weights of one network tell. None: nothing."""

    config: dict[str, Any]
    image_size: int | None = None
    channels: int | None = None
    domains: int | None = None
    style_dim: int | None = None


def get_tensor_shape(state: Mapping[str, Tensor], key: str, dims: int) -> tuple[int, ...]:
    """The shape of one tensor.

    Raises:
        ConfigError: there is none of this name, or it has another number of dimensions.
    """
    if key not in state or state[key].dim() != dims:
        raise ConfigError(f"the weights are not in the layout of {LAYOUT}: no {key!r} of {dims} dimensions")
    return tuple(state[key].shape)


def count_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers stand for the group of `pattern` in the names."""
    return len({found[1] for key in state if (found := re.fullmatch(pattern, key))})


def read_generator(state: Mapping[str, Tensor]) -> Architecture:
    """Of the generator; its width tells the image size, by the official rule."""
    width, channels = get_tensor_shape(state, "from_rgb.weight", 4)[:2]
    last = count_layers(state, r"encode\.(\d+)\.conv1\.weight") - 1
    config = {
        "width": width,
        "max_width": get_tensor_shape(state, f"encode.{last}.conv1.weight", 4)[0],
        "style_dim": get_tensor_shape(state, "decode.0.norm1.fc.weight", 2)[1],
    }
    return Architecture(config, infer_image_size(width), channels, style_dim=config["style_dim"])


def infer_image_size(width: int) -> int:
    """The image size of a generator that is so wide at full size."""
    return 2**14 // width


def read_mapping(state: Mapping[str, Tensor]) -> Architecture:
    """Of the mapping network."""
    width, latent_dim = get_tensor_shape(state, "shared.0.weight", 2)
    style_dim = get_tensor_shape(state, "unshared.0.6.weight", 2)[0]
    config = {"latent_dim": latent_dim, "style_dim": style_dim, "width": width}
    return Architecture(config, domains=count_layers(state, r"unshared\.(\d+)\.0\.weight"), style_dim=style_dim)


def read_trunk(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Any], int, int]:
    """Widths, halvings and image channels of a style encoder or discriminator."""
    halvings = count_layers(state, rf"{prefix}\.(\d+)\.conv1\.weight")
    width, channels = get_tensor_shape(state, f"{prefix}.0.weight", 4)[:2]
    return (
        {"width": width, "max_width": get_tensor_shape(state, f"{prefix}.{halvings + 2}.weight", 4)[0]},
        halvings,
        channels,
    )


def read_style_encoder(state: Mapping[str, Tensor]) -> Architecture:
    """Of the style encoder."""
    config, halvings, channels = read_trunk(state, "shared")
    style_dim = get_tensor_shape(state, "unshared.0.weight", 2)[0]
    domains = count_layers(state, r"unshared\.(\d+)\.weight")
    return Architecture(config | {"style_dim": style_dim}, 4 << halvings, channels, domains, style_dim)


def read_discriminator(state: Mapping[str, Tensor]) -> Architecture:
    """Of the discriminator."""
    config, halvings, channels = read_trunk(state, "main")
    return Architecture(config, 4 << halvings, channels, get_tensor_shape(state, f"main.{halvings + 4}.weight", 4)[0])


READERS: dict[str, Callable[[Mapping[str, Tensor]], Architecture]] = {
    "generator": read_generator,
    "mapping": read_mapping,
    "style_encoder": read_style_encoder,
    "discriminator": read_discriminator,
}
