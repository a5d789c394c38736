"""Layouts: segmentations as one map of 0 and 1 for each part."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def make_layout(
    segmentation: Integer[Tensor, "n h w"], parts: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n k h w"]:
    """Make the one-hot layout of a segmentation.

    Args:
        segmentation: Part of every pixel (n, h, w), 0 to `parts` - 1.
        parts: Number of parts.
        dtype: Dtype of the result.

    Returns:
        Maps (n, parts, h, w): 1 where a pixel shows the part, else 0. A pixel of a part outside the range has no 1.
    """
    indices = torch.arange(parts, device=segmentation.device, dtype=segmentation.dtype)[:, None, None]
    return (segmentation[:, None] == indices).to(dtype)
