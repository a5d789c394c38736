"""Pixels as bytes and as floats, and the colours of segmentations: a part has the same colour on every picture."""

from __future__ import annotations

import colorsys

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.errors import NotFinite

Colour = tuple[int, int, int]

# The background, skin, then each colour is the farthest in CIELAB from all colours before it.
CHOSEN: tuple[Colour, ...] = (
    (34, 34, 38), (239, 190, 157), (15, 15, 255), (15, 255, 15), (255, 15, 175), (15, 155, 255), (255, 15, 15),
    (35, 135, 35), (15, 255, 235), (255, 235, 15), (135, 75, 15), (95, 35, 155), (75, 135, 135), (255, 175, 255),
    (175, 255, 135), (155, 15, 75), (255, 155, 35), (215, 35, 255), (255, 115, 135), (155, 215, 255), (175, 175, 55),
    (35, 75, 135), (155, 115, 255), (55, 75, 15), (155, 115, 155),
)  # fmt: skip
GOLDEN = 0.618034  # multiples of it, modulo 1, spread hues evenly and never repeat


def choose_colours(classes: int) -> list[Colour]:
    """Choose a colour for each class.

    Args:
        classes: Number of classes.

    Returns:
        Red, green and blue, 0..255, of each class; class 0, the background, is dark grey.

    Raises:
        ValueError: There is less than 1 class.
    """
    if classes < 1:
        raise ValueError(f"expected 1 class or more, got {classes}")
    rest = range(max(0, classes - len(CHOSEN)))
    further = [colorsys.hsv_to_rgb((k * GOLDEN) % 1, 0.45 + 0.25 * (k % 2), 0.75 + 0.1 * (k % 3)) for k in rest]
    return [*CHOSEN[:classes], *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in further)]


def normalize_image(image: UInt8[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Convert bytes, 0..255, to floats in [-1, 1]."""
    return image.float().div(127.5).sub(1)


def check_pixels_finite(image: Float[Tensor, "*any"]) -> None:
    """Refuse pixels that are no numbers, which would become black where nobody notices.

    Raises:
        NotFinite: A pixel is NaN or infinite.
    """
    if image.device.type != "meta" and not bool(torch.isfinite(image).all()):
        count = int((~torch.isfinite(image)).sum())
        raise NotFinite(
            f"{count} of {image.numel()} pixels are NaN or infinite, and make no picture: the weights or the inputs "
            "are broken; take another checkpoint (--checkpoint), or other inputs"
        )


def quantize_image(image: Float[Tensor, "*any"]) -> UInt8[Tensor, "*any"]:
    """Convert floats in [-1, 1] to bytes on the CPU, rounded and clamped; the inverse of `normalize_image`.

    Raises:
        NotFinite: A pixel is NaN or infinite.
    """
    check_pixels_finite(image)
    return image.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()
