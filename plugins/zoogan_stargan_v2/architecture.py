"""Reads the architecture of StarGAN v2's networks from the names and shapes of official weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from zoogan.importing import count_layers, read_shape, read_trunk_shape

LAYOUT = "clovaai/stargan-v2"


class Architecture(NamedTuple):
    """The architecture of one network, read from its weights; None = not in these weights.

    Attributes:
        config: Settings of our network.
        image_size: Side of the images in pixels.
        channels: Channels of an image.
        domains: Number of domains.
        style_dim: Length of a style.
    """

    config: dict[str, Any]
    image_size: int | None = None
    channels: int | None = None
    domains: int | None = None
    style_dim: int | None = None


def read_generator(state: Mapping[str, Tensor]) -> Architecture:
    """Read the generator; the image size follows from its width by the official rule."""
    width, channels = read_shape(state, "from_rgb.weight", LAYOUT, 4)[:2]
    last = count_layers(state, r"encode\.(\d+)\.conv1\.weight") - 1
    config = {
        "width": width,
        "max_width": read_shape(state, f"encode.{last}.conv1.weight", LAYOUT, 4)[0],
        "style_dim": read_shape(state, "decode.0.norm1.fc.weight", LAYOUT, 2)[1],
    }
    return Architecture(config, infer_image_size(width), channels, style_dim=config["style_dim"])


def infer_image_size(width: int) -> int:
    """Return the image size of a generator of this width at full size, by the official rule."""
    return 2**14 // width


def read_mapping(state: Mapping[str, Tensor]) -> Architecture:
    """Read the mapping network."""
    width, latent_dim = read_shape(state, "shared.0.weight", LAYOUT, 2)
    style_dim = read_shape(state, "unshared.0.6.weight", LAYOUT, 2)[0]
    config = {"latent_dim": latent_dim, "style_dim": style_dim, "width": width}
    return Architecture(config, domains=count_layers(state, r"unshared\.(\d+)\.0\.weight"), style_dim=style_dim)


def read_style_encoder(state: Mapping[str, Tensor]) -> Architecture:
    """Read the style encoder."""
    trunk = read_trunk_shape(state, "shared", LAYOUT)
    style_dim = read_shape(state, "unshared.0.weight", LAYOUT, 2)[0]
    config = {"width": trunk.width, "max_width": trunk.max_width, "style_dim": style_dim}
    domains = count_layers(state, r"unshared\.(\d+)\.weight")
    return Architecture(config, trunk.image_size, trunk.channels, domains, style_dim)


def read_discriminator(state: Mapping[str, Tensor]) -> Architecture:
    """Read the discriminator."""
    trunk = read_trunk_shape(state, "main", LAYOUT)
    config = {"width": trunk.width, "max_width": trunk.max_width}
    domains = read_shape(state, f"main.{trunk.halvings + 4}.weight", LAYOUT, 4)[0]
    return Architecture(config, trunk.image_size, trunk.channels, domains)


READERS: dict[str, Callable[[Mapping[str, Tensor]], Architecture]] = {
    "generator": read_generator,
    "mapping": read_mapping,
    "style_encoder": read_style_encoder,
    "discriminator": read_discriminator,
}
