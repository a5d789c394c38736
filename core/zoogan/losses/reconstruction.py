"""Reconstruction losses: distances between an image and its target."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.layers.precision import ensure_float32


def l1_loss(one: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Compute the mean absolute difference over all elements, in float32 or wider.

    Args:
        one: Any shape.
        other: The same shape.

    Returns:
        A 0-d tensor, at least 0.
    """
    return (ensure_float32(one) - ensure_float32(other)).abs().mean()


def multiscale_l1(
    one: Float[Tensor, "n c h w"], other: Float[Tensor, "n c h w"], smallest: int = 4
) -> Float[Tensor, " n"]:
    """Compute the mean absolute difference of each pair of images, averaged over scales.

    It replaces a perceptual distance where there are no weights for one.

    Args:
        one: Images (n, c, h, w).
        other: Images of the same shape.
        smallest: The images are halved while both sides stay at least this many pixels.

    Returns:
        Distances (n,), at least 0.
    """
    difference = ensure_float32(one) - ensure_float32(other)
    distances = [difference.abs().mean((1, 2, 3))]
    while min(difference.shape[-2:]) >= 2 * smallest:
        difference = F.avg_pool2d(difference, 2)
        distances.append(difference.abs().mean((1, 2, 3)))
    return torch.stack(distances).mean(0)
