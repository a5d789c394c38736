"""Colours for segmentations: a part has the same colour on every picture."""

from __future__ import annotations

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from zoogan.interfaces.pixels import choose_colours as choose_colours


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
