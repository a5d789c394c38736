"""How far a reconstruction is from what it should be."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def full_precision(value: Tensor) -> Tensor:
    """At least float32: losses are computed so, whatever the networks ran in."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def l1(one: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean absolute difference over all elements."""
    return (full_precision(one) - full_precision(other)).abs().mean()


def scaled_l1(one: Float[Tensor, "n c h w"], other: Float[Tensor, "n c h w"], smallest: int = 4) -> Float[Tensor, " n"]:
    """Mean absolute difference of each pair, averaged over scales: as they are, halved, and so on down to `smallest`.

    What stands for a perceptual distance where there are no weights for one.
    """
    difference = full_precision(one) - full_precision(other)
    found = [difference.abs().mean((1, 2, 3))]
    while min(difference.shape[-2:]) >= 2 * smallest:
        difference = F.avg_pool2d(difference, 2)
        found.append(difference.abs().mean((1, 2, 3)))
    return torch.stack(found).mean(0)
