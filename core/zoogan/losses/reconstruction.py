"""How far a reconstruction is from what it should be."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def l1(one: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean absolute difference over all elements."""
    return (one - other).abs().mean()
