"""Colours for segmentations: a part has the same colour on every picture."""

from __future__ import annotations

import colorsys

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

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


def colour_segmentation(segmentation: Integer[Tensor, "n h w"], classes: int) -> UInt8[Tensor, "n 3 h w"]:
    """Colour a segmentation with `choose_colours`.

    Args:
        segmentation: The class of each pixel, 0 to `classes` - 1.
        classes: Number of classes.

    Returns:
        Pictures, 0..255, on the same device.

    Raises:
        ValueError: There is less than 1 class, or a pixel has a class outside the range.
    """
    table = torch.tensor(choose_colours(classes), dtype=torch.uint8, device=segmentation.device)
    if segmentation.numel():
        low, high = int(segmentation.min()), int(segmentation.max())
        if low < 0 or high >= classes:
            raise ValueError(f"segmentation: expected classes 0 to {classes - 1}, got {low} to {high}")
    return table[segmentation.long()].permute(0, 3, 1, 2).contiguous()
