"""A 3x3 convolution with a quarter of the multiplications, for wide layers on a CPU.

Minimal filtering (Winograd 1980; Lavin and Gray 2016, section 4.3): tiles of 4 x 4 pixels are computed from 6 x 6 ones
by 36 products where the definition takes 144. The products are large matrix products, which a processor does best. The
same function; rounding is about three times that of a direct convolution.

Differentiable as often as wanted, and in the same way: the gradient with respect to the image is such a convolution,
that with respect to the weight is another sum of products of tiles, and both are again bilinear in the two.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

TILE, WINDOW = 4, 6
WIDE, TILES = 128, 64  # below, a direct convolution is faster

# To the domain of products: of an image's windows, of a weight; and from it: of the tiles.
OF_IMAGE = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)  # fmt: skip
OF_WEIGHT = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)  # fmt: skip
OF_TILE = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
Rows = tuple[tuple[float | int, ...], ...]


@cache
def both_ways(rows: Rows, dtype: torch.dtype = torch.float32) -> Tensor:
    """A transform of columns and of rows as one matrix."""
    one = torch.tensor(rows, dtype=dtype)
    return torch.kron(one, one)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether it is faster than a direct convolution: for float32 on a CPU, wide layers, sides of whole tiles.

    Not while a graph is being compiled: a compiler knows better.
    """
    n, inputs, height, width = x.shape
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(inputs, weight.shape[0]) >= WIDE
        and not (height % TILE or width % TILE)
        and n * height * width >= TILES * TILE**2
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def last(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w c"]:
    """Channels last, in which pixels are copied whole: five times as fast to cut into tiles."""
    return x.permute(0, 2, 3, 1)


def windows(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "36 t c"]:
    """Every 6 x 6 window, four apart, of the image with a border of zeros, in the domain of products."""
    framed = F.pad(last(x), (0, 0, 1, 1, 1, 1))
    laid = framed.unfold(1, WINDOW, TILE).unfold(2, WINDOW, TILE).permute(4, 5, 0, 1, 2, 3)
    return (both_ways(OF_IMAGE, x.dtype) @ laid.reshape(WINDOW**2, -1)).view(WINDOW**2, -1, x.shape[1])


def tiles_of(y: Float[Tensor, "n c h w"]) -> Float[Tensor, "16 tc"]:
    """Every 4 x 4 tile."""
    n, c, height, width = y.shape
    split = last(y).reshape(n, height // TILE, TILE, width // TILE, TILE, c)
    return split.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)


def convolved(x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "n o h w"]:
    """The convolution."""
    (n, inputs, height, width), outputs = x.shape, weight.shape[0]
    kernels = both_ways(OF_WEIGHT, x.dtype) @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    products = torch.bmm(windows(x), kernels.view(WINDOW**2, inputs, outputs)).view(WINDOW**2, -1)
    tiles = (both_ways(OF_TILE, x.dtype) @ products).view(TILE, TILE, n, height // TILE, width // TILE, outputs)
    return tiles.permute(2, 3, 0, 4, 1, 5).reshape(n, height, width, outputs).permute(0, 3, 1, 2)


def correlated(x: Float[Tensor, "n i h w"], y: Float[Tensor, "n o h w"]) -> Float[Tensor, "o i 3 3"]:
    """The gradient with respect to the weight, where that with respect to the output is `y`."""
    inputs, outputs = x.shape[1], y.shape[1]
    grown = (both_ways(OF_TILE, x.dtype).T @ tiles_of(y)).view(WINDOW**2, -1, outputs)
    products = torch.bmm(grown.transpose(1, 2), windows(x)).view(WINDOW**2, -1)
    return (both_ways(OF_WEIGHT, x.dtype).T @ products).view(3, 3, outputs, inputs).permute(2, 3, 0, 1)


def turned(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 3 3"]:
    """The weight with which a gradient goes back."""
    return weight.transpose(0, 1).flip(2, 3)


class Convolve(torch.autograd.Function):
    """`convolved`, which keeps only its arguments for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """(n, i, h, w), (o, i, 3, 3) -> (n, o, h, w)."""
        ctx.save_for_backward(x, weight)
        return convolved(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """As far as they are asked for."""
        (x, weight), (y,) = ctx.saved_tensors, grads
        of_x = Convolve.apply(y, turned(weight)) if ctx.needs_input_grad[0] else None
        of_weight = Correlate.apply(x, y) if ctx.needs_input_grad[1] else None
        return of_x, of_weight


class Correlate(torch.autograd.Function):
    """`correlated`, likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        """(n, i, h, w), (n, o, h, w) -> (o, i, 3, 3)."""
        ctx.save_for_backward(x, y)
        return correlated(x, y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """As far as they are asked for."""
        (x, y), (weight,) = ctx.saved_tensors, grads
        of_x = Convolve.apply(y, turned(weight)) if ctx.needs_input_grad[0] else None
        of_y = Convolve.apply(x, weight) if ctx.needs_input_grad[1] else None
        return of_x, of_y


def conv3x3(
    x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i 3 3"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "n o h w"]:
    """A 3x3 convolution with a border of zeros, in the way that is faster."""
    if not pays(x, weight):
        return F.conv2d(x, weight, bias, padding=1)
    y: Tensor = Convolve.apply(x, weight)
    return y if bias is None else y + bias[:, None, None]
