"""Colours for segmentations, so that a part has the same colour on every picture."""

from __future__ import annotations

import colorsys

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

Colour = tuple[int, int, int]

# The background, skin, and then each time the colour that is farthest in CIELAB from all before it.
CHOSEN: tuple[Colour, ...] = (
    (34, 34, 38), (239, 190, 157), (15, 15, 255), (15, 255, 15), (255, 15, 175), (15, 155, 255), (255, 15, 15),
    (35, 135, 35), (15, 255, 235), (255, 235, 15), (135, 75, 15), (95, 35, 155), (75, 135, 135), (255, 175, 255),
    (175, 255, 135), (155, 15, 75), (255, 155, 35), (215, 35, 255), (255, 115, 135), (155, 215, 255), (175, 175, 55),
    (35, 75, 135), (155, 115, 255), (55, 75, 15), (155, 115, 155),
)  # fmt: skip
GOLDEN = 0.618034  # hues this far apart, modulo 1, never come together


def colours(classes: int) -> list[Colour]:
    """The colour of each class, three numbers of 0..255; class 0, the background, is dark grey.

    Raises:
        ValueError: fewer than 1 class.
    """
    if classes < 1:
        raise ValueError(f"expected 1 class or more, got {classes}")
    rest = range(max(0, classes - len(CHOSEN)))
    made = [colorsys.hsv_to_rgb((k * GOLDEN) % 1, 0.45 + 0.25 * (k % 2), 0.75 + 0.1 * (k % 3)) for k in rest]
    return [*CHOSEN[:classes], *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in made)]


def coloured(segmentation: Integer[Tensor, "n h w"], classes: int) -> UInt8[Tensor, "n 3 h w"]:
    """A segmentation as a picture, 0..255. classes: how many there are; each pixel is one of 0..classes - 1.

    Raises:
        ValueError: fewer than 1 class, or a pixel of a class that there is not.
    """
    table = torch.tensor(colours(classes), dtype=torch.uint8, device=segmentation.device)
    if segmentation.numel():
        low, high = int(segmentation.min()), int(segmentation.max())
        if low < 0 or high >= classes:
            raise ValueError(f"segmentation: expected classes 0 to {classes - 1}, got {low} to {high}")
    return table[segmentation.long()].permute(0, 3, 1, 2).contiguous()
