"""A 3x3 convolution with a quarter of the multiplications, for wide layers on a CPU.

Minimal filtering (Winograd convolution) computes tiles of 4 x 4 pixels from windows of 6 x 6 pixels with 36 products
instead of 144, as large matrix products, which a CPU computes fastest. The result is the same except for a rounding
error about three times that of a direct convolution.

Differentiable to any order: the gradient with respect to the image is such a convolution, the gradient with respect to
the weight is another sum of products of tiles, and both are bilinear.

Source: Winograd 1980; Lavin and Gray 2016 (Fast Algorithms for Convolutional Neural Networks), section 4.3.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

TILE, WINDOW = 4, 6
MIN_CHANNELS, MIN_TILES = 128, 64  # below, a direct convolution is faster

# Into the domain of products: of the windows of an image, and of a kernel. Out of it: of the tiles.
IMAGE_TRANSFORM = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)  # fmt: skip
KERNEL_TRANSFORM = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)  # fmt: skip
TILE_TRANSFORM = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
TransformRows = tuple[tuple[float | int, ...], ...]


@cache
def make_transform(rows: TransformRows, dtype: torch.dtype = torch.float32) -> Tensor:
    """Make one matrix that applies a transform to the columns and to the rows of a square.

    Args:
        rows: The one-dimensional transform, row by row.
        dtype: Type of the matrix.

    Returns:
        The Kronecker square of the transform.
    """
    one = torch.tensor(rows, dtype=dtype)
    return torch.kron(one, one)


def is_faster_than_direct(x: Tensor, weight: Tensor) -> bool:
    """Tell whether minimal filtering is faster than a direct convolution.

    Args:
        x: Features (n, i, h, w).
        weight: Kernels (o, i, 3, 3).

    Returns:
        True for float32 on a CPU, wide layers and sides of whole tiles; False while torch compiles, because the
        compiler chooses better.
    """
    n, inputs, height, width = x.shape
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(inputs, weight.shape[0]) >= MIN_CHANNELS
        and not (height % TILE or width % TILE)
        and n * height * width >= MIN_TILES * TILE**2
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def to_channels_last(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w c"]:
    """Put the channels last, so that pixels are copied whole: five times as fast to cut into tiles.

    Args:
        x: Features (n, c, h, w).

    Returns:
        A view (n, h, w, c).
    """
    return x.permute(0, 2, 3, 1)


def transform_windows(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "36 t c"]:
    """Transform every 6 x 6 window, four pixels apart, into the domain of products.

    Args:
        x: Features (n, c, h, w), which get a border of zeros.

    Returns:
        Transformed windows (36, t, c), t = n * h / 4 * w / 4.
    """
    padded = F.pad(to_channels_last(x), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, WINDOW, TILE).unfold(2, WINDOW, TILE).permute(4, 5, 0, 1, 2, 3)
    return (make_transform(IMAGE_TRANSFORM, x.dtype) @ windows.reshape(WINDOW**2, -1)).view(WINDOW**2, -1, x.shape[1])


def extract_tiles(y: Float[Tensor, "n c h w"]) -> Float[Tensor, "16 tc"]:
    """Cut features into tiles of 4 x 4 pixels.

    Args:
        y: Features (n, c, h, w).

    Returns:
        Tiles (16, t * c).
    """
    n, c, height, width = y.shape
    split = to_channels_last(y).reshape(n, height // TILE, TILE, width // TILE, TILE, c)
    return split.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)


def convolve_winograd(x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "n o h w"]:
    """Convolve with a border of zeros by minimal filtering.

    Args:
        x: Features (n, i, h, w); h and w are multiples of 4.
        weight: Kernels (o, i, 3, 3).

    Returns:
        Features (n, o, h, w).
    """
    (n, inputs, height, width), outputs = x.shape, weight.shape[0]
    kernels = make_transform(KERNEL_TRANSFORM, x.dtype) @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    products = torch.bmm(transform_windows(x), kernels.view(WINDOW**2, inputs, outputs)).view(WINDOW**2, -1)
    tiles = (make_transform(TILE_TRANSFORM, x.dtype) @ products).view(
        TILE, TILE, n, height // TILE, width // TILE, outputs
    )
    return tiles.permute(2, 3, 0, 4, 1, 5).reshape(n, height, width, outputs).permute(0, 3, 1, 2)


def compute_weight_gradient(x: Float[Tensor, "n i h w"], y: Float[Tensor, "n o h w"]) -> Float[Tensor, "o i 3 3"]:
    """Compute the gradient with respect to the kernels.

    Args:
        x: Features (n, i, h, w) that were convolved.
        y: Gradient with respect to the output (n, o, h, w).

    Returns:
        The gradient (o, i, 3, 3).
    """
    inputs, outputs = x.shape[1], y.shape[1]
    tiles = (make_transform(TILE_TRANSFORM, x.dtype).T @ extract_tiles(y)).view(WINDOW**2, -1, outputs)
    products = torch.bmm(tiles.transpose(1, 2), transform_windows(x)).view(WINDOW**2, -1)
    return (make_transform(KERNEL_TRANSFORM, x.dtype).T @ products).view(3, 3, outputs, inputs).permute(2, 3, 0, 1)


def transpose_kernels(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 3 3"]:
    """Make the kernels that convolve a gradient back to the input.

    Args:
        weight: Kernels (o, i, 3, 3).

    Returns:
        Kernels (i, o, 3, 3), each turned by 180 degrees.
    """
    return weight.transpose(0, 1).flip(2, 3)


class WinogradConvolution(torch.autograd.Function):
    """`convolve_winograd`, which keeps only its arguments for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve (n, i, h, w) with (o, i, 3, 3) to (n, o, h, w)."""
        ctx.save_for_backward(x, weight)
        return convolve_winograd(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients that are needed."""
        (x, weight), (y,) = ctx.saved_tensors, grads
        of_x = WinogradConvolution.apply(y, transpose_kernels(weight)) if ctx.needs_input_grad[0] else None
        of_weight = WinogradWeightGradient.apply(x, y) if ctx.needs_input_grad[1] else None
        return of_x, of_weight


class WinogradWeightGradient(torch.autograd.Function):
    """`compute_weight_gradient`, which keeps only its arguments for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        """Compute the gradient (o, i, 3, 3) from (n, i, h, w) and (n, o, h, w)."""
        ctx.save_for_backward(x, y)
        return compute_weight_gradient(x, y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients that are needed."""
        (x, y), (weight,) = ctx.saved_tensors, grads
        of_x = WinogradConvolution.apply(y, transpose_kernels(weight)) if ctx.needs_input_grad[0] else None
        of_y = WinogradConvolution.apply(x, weight) if ctx.needs_input_grad[1] else None
        return of_x, of_y


def conv3x3(
    x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i 3 3"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "n o h w"]:
    """Convolve with a border of zeros, by minimal filtering or directly, whichever is faster.

    Args:
        x: Features (n, i, h, w).
        weight: Kernels (o, i, 3, 3).
        bias: One number a channel (o,); None = no bias.

    Returns:
        Features (n, o, h, w).
    """
    if not is_faster_than_direct(x, weight):
        return F.conv2d(x, weight, bias, padding=1)
    y: Tensor = WinogradConvolution.apply(x, weight)
    return y if bias is None else y + bias[:, None, None]


class Conv3x3(nn.Conv2d):
    """`nn.Conv2d(inputs, outputs, 3, 1, 1)`, computed by minimal filtering where that is faster.

    Parameters, their names and their initialisation are those of `nn.Conv2d`. See `conv3x3` for where it is faster.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Add a bias.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Convolve (n, inputs, h, w) to (n, outputs, h, w)."""
        output = conv3x3(input, self.weight, self.bias)
        # Minimal filtering gives channels last, in which the norms of networks that hold channels first are slow.
        return output.contiguous() if input.is_contiguous() else output
