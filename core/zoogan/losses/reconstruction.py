"""How far a reconstruction is from what it should be."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def full_precision(value: Tensor) -> Tensor:
    """At least float32: losses are computed so, whatever the networks ran in."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def l1(one: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean absolute difference over all elements."""
    return (full_precision(one) - full_precision(other)).abs().mean()
