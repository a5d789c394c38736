"""What the names and shapes of official weights tell of the networks that they were trained in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from zoogan.config import ConfigError

LAYOUT = "clovaai/stargan-v2"


class Told(NamedTuple):
    """What the weights of one network tell. None: nothing."""

    config: dict[str, Any]
    image_size: int | None = None
    channels: int | None = None
    domains: int | None = None
    style_dim: int | None = None


def shape(state: Mapping[str, Tensor], key: str, dims: int) -> tuple[int, ...]:
    """The shape of one tensor.

    Raises:
        ConfigError: there is none of this name, or it has another number of dimensions.
    """
    if key not in state or state[key].dim() != dims:
        raise ConfigError(f"the weights are not in the layout of {LAYOUT}: no {key!r} of {dims} dimensions")
    return tuple(state[key].shape)


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers stand for the group of `pattern` in the names."""
    return len({found[1] for key in state if (found := re.fullmatch(pattern, key))})


def generator(state: Mapping[str, Tensor]) -> Told:
    """Of the generator; its width tells the image size, by the official rule."""
    width, channels = shape(state, "from_rgb.weight", 4)[:2]
    last = count(state, r"encode\.(\d+)\.conv1\.weight") - 1
    config = {
        "width": width,
        "max_width": shape(state, f"encode.{last}.conv1.weight", 4)[0],
        "style_dim": shape(state, "decode.0.norm1.fc.weight", 2)[1],
    }
    return Told(config, image_size_of(width), channels, style_dim=config["style_dim"])


def image_size_of(width: int) -> int:
    """The image size of a generator that is so wide at full size."""
    return 2**14 // width


def mapping(state: Mapping[str, Tensor]) -> Told:
    """Of the mapping network."""
    width, latent_dim = shape(state, "shared.0.weight", 2)
    style_dim = shape(state, "unshared.0.6.weight", 2)[0]
    config = {"latent_dim": latent_dim, "style_dim": style_dim, "width": width}
    return Told(config, domains=count(state, r"unshared\.(\d+)\.0\.weight"), style_dim=style_dim)


def trunk(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Any], int, int]:
    """Widths, halvings and image channels of a style encoder or discriminator."""
    halvings = count(state, rf"{prefix}\.(\d+)\.conv1\.weight")
    width, channels = shape(state, f"{prefix}.0.weight", 4)[:2]
    return {"width": width, "max_width": shape(state, f"{prefix}.{halvings + 2}.weight", 4)[0]}, halvings, channels


def style_encoder(state: Mapping[str, Tensor]) -> Told:
    """Of the style encoder."""
    config, halvings, channels = trunk(state, "shared")
    style_dim = shape(state, "unshared.0.weight", 2)[0]
    domains = count(state, r"unshared\.(\d+)\.weight")
    return Told(config | {"style_dim": style_dim}, 4 << halvings, channels, domains, style_dim)


def discriminator(state: Mapping[str, Tensor]) -> Told:
    """Of the discriminator."""
    config, halvings, channels = trunk(state, "main")
    return Told(config, 4 << halvings, channels, shape(state, f"main.{halvings + 4}.weight", 4)[0])


TELL: dict[str, Callable[[Mapping[str, Tensor]], Told]] = {
    "generator": generator,
    "mapping": mapping,
    "style_encoder": style_encoder,
    "discriminator": discriminator,
}
