"""Full precision inside training that rounds: without autocast, half types or TensorFloat-32 (`training.tf32`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from zoogan.interfaces.graph import is_exporting


def disable_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Make a context in which nothing on the device of `x` is cast to a smaller type.

    While a graph is exported, which happens without autocast, it does nothing: each context would cost seconds there.

    Args:
        x: A tensor; one on the meta device counts as on the CPU.

    Returns:
        A context manager.
    """
    if is_exporting():
        return nullcontext()
    return torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False)


def ensure_float32(x: Tensor) -> Tensor:
    """Cast bfloat16 and float16 to float32; wider types stay unchanged.

    Args:
        x: Any shape.

    Returns:
        `x` in float32 or wider.
    """
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@contextmanager
def disable_tf32() -> Iterator[None]:
    """Compute fp32 matrix products on CUDA without rounding to TF32."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


class MatmulWithoutTF32(torch.autograd.Function):
    """`one @ other` without TF32, and so are its derivatives of any order, which torch computes outside forward."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor) -> Tensor:
        """Multiply (..., n, k) by (..., k, m) to (..., n, m)."""
        ctx.save_for_backward(one, other)
        with disable_autocast(one), disable_tf32():
            return one @ other

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Multiply again, and sum over the dimensions that were broadcast."""
        (one, other), (gradient,) = ctx.saved_tensors, gradients
        needs_one, needs_other = ctx.needs_input_grad
        return (
            MatmulWithoutTF32.apply(gradient, other.mT).sum_to_size(one.shape) if needs_one else None,
            MatmulWithoutTF32.apply(one.mT, gradient).sum_to_size(other.shape) if needs_other else None,
        )


def may_use_tf32(x: Tensor) -> bool:
    """Tell whether torch may round products of such a tensor to TF32.

    Args:
        x: Any shape.

    Returns:
        True for float32 on CUDA.
    """
    return x.is_cuda and x.dtype == torch.float32


def matmul_without_tf32(one: Tensor, other: Tensor) -> Tensor:
    """Multiply matrices, never in TF32: its 10 bits of mantissa are too few for pixels and positions.

    Args:
        one: Matrices (..., n, k).
        other: Matrices (..., k, m).

    Returns:
        Matrices (..., n, m).
    """
    return MatmulWithoutTF32.apply(one, other) if may_use_tf32(one) else one @ other
