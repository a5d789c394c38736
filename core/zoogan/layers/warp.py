"""Affine warps of images through a wavelet filter, twice differentiable in the image.

Source: Karras et al. 2020 (ADA), appendix B.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.layers.precision import matmul_without_tf32
from zoogan.layers.shapes import Images

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filter of Daubechies' least asymmetric wavelet with six vanishing moments.

Source: Daubechies 1992 (Ten Lectures on Wavelets), section 6.4.
"""
SYM6_LENGTH = len(SYM6)
SYM6_CENTRE = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)
"""Its centre of mass: pixel i of an image lies at 2 * i + SYM6_CENTRE of the doubled image."""


def get_doubled_length(side: int) -> int:
    """Return the length of the doubled image that halving brings back to `side`.

    Args:
        side: Height or width in pixels.

    Returns:
        Pixels.
    """
    return 2 * side + SYM6_LENGTH - 2


def reflect_positions(position: Tensor, side: int) -> Tensor:
    """Reflect positions into 0..side-1 without repeating the border, however far away they are.

    Args:
        position: Positions in pixels, of any shape.
        side: Height or width in pixels.

    Returns:
        Positions of the same shape.
    """
    last = side - 1
    if last == 0:
        return torch.zeros_like(position)
    return last - (position.remainder(2 * last) - last).abs()


@lru_cache(maxsize=16)
def make_doubling_matrix(side: int, margin: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "r s"]:
    """Make the matrix that reflects an image at its borders and doubles it.

    Args:
        side: Height or width of the image in pixels.
        margin: Pixels to reflect at either end beyond those that the filter needs.
        dtype: Type of the matrix.
        device: Device of the matrix.

    Returns:
        A banded matrix (r, side); row r gives the doubled image at position r - 2 * margin.
    """
    position = torch.arange(-2 * margin, get_doubled_length(side) + 2 * margin)[:, None]
    tap = torch.arange(SYM6_LENGTH)[None]
    weight = sqrt(2) * torch.tensor(SYM6, dtype=torch.float64) * ((position - tap) % 2 == 0)
    source = reflect_positions((position - tap).div(2, rounding_mode="floor"), side)
    with torch.inference_mode(False):  # the cached matrix may be used in training later
        return torch.zeros(len(position), side, dtype=torch.float64).scatter_add(1, source, weight).to(dtype).to(device)


@lru_cache(maxsize=16)
def make_halving_matrix(side: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "s r"]:
    """Make the matrix that filters and halves an image.

    It undoes `make_doubling_matrix` without a margin, because the filter is orthonormal to its even shifts.

    Args:
        side: Height or width of the halved image in pixels.
        dtype: Type of the matrix.
        device: Device of the matrix.

    Returns:
        A banded matrix (side, r).
    """
    position = 2 * torch.arange(side)[:, None] + torch.arange(SYM6_LENGTH)[None]
    weight = torch.tensor(SYM6, dtype=torch.float64).expand_as(position) / sqrt(2)
    with torch.inference_mode(False):
        matrix = torch.zeros(side, get_doubled_length(side), dtype=torch.float64)
        return matrix.scatter_add(1, position, weight).to(dtype).to(device)


def sample_bilinear(image: Tensor, grid: Tensor) -> Tensor:
    """Sample an image bilinearly; outside it is 0.

    Args:
        image: Images (n, c, h, w).
        grid: Positions (n, r, s, 2), across and down; the centres of the first and the last pixel are -1 and 1.

    Returns:
        Images (n, c, r, s).
    """
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


class BilinearSample(torch.autograd.Function):
    """`sample_bilinear` with a second derivative, which torch lacks. The grid gets no gradient.

    Sampling is linear in the image.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        """Sample (n, c, h, w) at the positions (n, r, s, 2) to (n, c, r, s)."""
        ctx.save_for_backward(grid)
        ctx.size = image.shape[2:]
        return sample_bilinear(image, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Apply the adjoint to the gradient."""
        (grid,) = ctx.saved_tensors
        return BilinearSampleAdjoint.apply(gradients[0], grid, ctx.size), None


class BilinearSampleAdjoint(torch.autograd.Function):
    """The adjoint of `BilinearSample`: each value goes back to the four pixels that it came from."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        """Spread (n, c, r, s) over (n, c, *size)."""
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            image = value.new_zeros(*value.shape[:2], *size).requires_grad_()
            (spread,) = torch.autograd.grad(sample_bilinear(image, grid), image, value)
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Sample the gradient: the adjoint of the adjoint is the sampling itself."""
        (grid,) = ctx.saved_tensors
        return BilinearSample.apply(gradients[0], grid), None, None


def reflect_beyond_margin(position: Tensor, side: int, margin: int) -> Tensor:
    """Reflect the positions that lie beyond the margin of the doubled image into the image.

    Args:
        position: Positions in the doubled image, in its pixels.
        side: Height or width of the image in pixels.
        margin: Pixels that the image was reflected by at either end.

    Returns:
        Positions of the same shape.
    """
    first, last = -2 * margin, get_doubled_length(side) - 1 + 2 * margin
    reflected = 2 * reflect_positions((position - SYM6_CENTRE) / 2, side) + SYM6_CENTRE
    return torch.where((position >= first) & (position <= last), position, reflected)


@torch.no_grad()
def make_warp_grid(
    linear: Float[Tensor, "n 2 2"], offset: Float[Tensor, "n 2"], sides: tuple[int, int], margins: tuple[int, int]
) -> Float[Tensor, "n r s 2"]:
    """Compute where each pixel of the doubled output lies in the doubled input with its margins.

    Args:
        linear: Matrices (n, 2, 2); see `warp_affine`.
        offset: Offsets (n, 2) in pixels.
        sides: Width and height of the image in pixels.
        margins: Margins across and down in pixels.

    Returns:
        A grid (n, r, s, 2) for `sample_bilinear`.
    """
    own = [torch.arange(get_doubled_length(side), device=linear.device, dtype=linear.dtype) for side in sides]
    across, down = (position - (side - 1 + SYM6_CENTRE) for position, side in zip(own, sides))  # from the middle
    across, down = across[None, None, :], down[None, :, None]
    axes = []
    for axis, (side, margin) in enumerate(zip(sides, margins)):
        own_position = own[axis].view((1, 1, -1) if axis == 0 else (1, -1, 1))
        # Added to a position's own coordinate, so that rounding cannot move a pixel that stays where it is.
        by_across, by_down = (linear[:, axis, other, None, None] - float(axis == other) for other in (0, 1))
        position = (own_position + by_across * across + 2 * offset[:, axis, None, None]) + by_down * down
        position = reflect_beyond_margin(position, side, margin)
        axes.append((position + 2 * margin) * (2 / (get_doubled_length(side) + 4 * margin - 1)) - 1)
    return torch.stack(axes, 3)


def warp_affine(image: Images, linear: Float[Tensor, "n 2 2"], offset: Float[Tensor, "n 2"]) -> Images:
    """Warp each image by its own affine map: double it, sample it, halve it.

    The pixel at x = (across, down) from the middle, in pixels, shows what was at `linear x + offset`; beyond the border
    the image is reflected. The identity gives the image itself; moves by whole pixels, up to an eighth of the side, are
    exact except for rounding.

    Margin: the paper pads for the largest move of the batch, which the host would have to read from the device. Here
    the margin is an eighth of the side plus the filter's reach, which costs about 50 % more pixels. Positions beyond it
    take the reflected pixel inside the image, which is exact except for the filter's slight asymmetry.

    Speed: doubling and halving are products with banded matrices. On a CPU they are twice as fast as convolutions at
    64 px and a little faster at 128 px, but their cost grows with the cube of the side.

    Args:
        image: Images (n, c, h, w).
        linear: Matrices (n, 2, 2).
        offset: Offsets (n, 2) in pixels, across and down.

    Returns:
        Images (n, c, h, w).

    Source: Karras et al. 2020 (ADA), appendix B.
    """
    h, w = image.shape[2:]
    margins = (-(-w // 8), -(-h // 8))
    grid = make_warp_grid(linear, offset, (w, h), margins)
    kind = (image.dtype, image.device)
    across, down = make_doubling_matrix(w, margins[0], *kind), make_doubling_matrix(h, margins[1], *kind)
    doubled = matmul_without_tf32(down, matmul_without_tf32(image, across.mT))
    sampled = BilinearSample.apply(doubled, grid)
    across, down = make_halving_matrix(w, *kind), make_halving_matrix(h, *kind)
    moved = matmul_without_tf32(down, matmul_without_tf32(sampled, across.mT))
    identity = torch.eye(2, dtype=linear.dtype, device=linear.device)
    is_still = (linear == identity).all(2).all(1) & (offset == 0).all(1)
    return torch.where(is_still[:, None, None, None], image, moved)
