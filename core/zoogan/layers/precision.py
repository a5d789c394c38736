"""Products in full fp32, also where training lets others be rounded to TensorFloat-32 (`training.tf32`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def without_tf32() -> Iterator[None]:
    """Inside, CUDA's products of fp32 matrices are not rounded to TF32."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


class Product(torch.autograd.Function):
    """`one @ other` without TF32. So are its derivatives, of any order, which torch computes outside the forward."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor) -> Tensor:
        """(..., n, k) and (..., k, m) -> (..., n, m)."""
        ctx.save_for_backward(one, other)
        with torch.autocast("cpu" if one.is_meta else one.device.type, enabled=False), without_tf32():
            return one @ other

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Products again; summed over what was broadcast."""
        (one, other), (gradient,) = ctx.saved_tensors, gradients
        to_one, to_other = ctx.needs_input_grad
        return (
            Product.apply(gradient, other.mT).sum_to_size(one.shape) if to_one else None,
            Product.apply(one.mT, gradient).sum_to_size(other.shape) if to_other else None,
        )


def rounds(x: Tensor) -> bool:
    """Whether products of such tensors may be rounded to TF32."""
    return x.is_cuda and x.dtype == torch.float32


def product(one: Tensor, other: Tensor) -> Tensor:
    """`one @ other`, never in TF32: for pixels and places, of which its 10 bits would be too few."""
    return Product.apply(one, other) if rounds(one) else one @ other
