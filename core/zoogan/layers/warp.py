"""Affine maps of images through a wavelet filter, twice differentiable in the image."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.layers.precision import product

Images = Float[Tensor, "n c h w"]

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filter of Daubechies' least asymmetric wavelet with six vanishing moments ("Ten Lectures", 1992, 6.4)."""
TAPS = len(SYM6)
CENTRE = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)
"""Its centre of mass: pixel i of an image lies at 2 i + CENTRE of the doubled one."""


def doubled(side: int) -> int:
    """Length of the doubled image that halving makes `side` again."""
    return 2 * side + TAPS - 2


def mirrored(place: Tensor, side: int) -> Tensor:
    """Places in pixels, reflected into 0..side-1 without repeating the border, however far away they are."""
    last = side - 1
    return last - (place.remainder(max(1, 2 * last)) - last).abs()


@lru_cache(maxsize=16)
def doubling(side: int, margin: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "r s"]:
    """Reflect `margin` more pixels at either end than the filter needs, then double: row r is place r - 2 margin."""
    place = torch.arange(-2 * margin, doubled(side) + 2 * margin)[:, None]
    tap = torch.arange(TAPS)[None]
    weight = sqrt(2) * torch.tensor(SYM6, dtype=torch.float64) * ((place - tap) % 2 == 0)
    source = mirrored((place - tap).div(2, rounding_mode="floor"), side)
    with torch.inference_mode(False):  # it is kept, and training may want it later
        return torch.zeros(len(place), side, dtype=torch.float64).scatter_add(1, source, weight).to(dtype).to(device)


@lru_cache(maxsize=16)
def halving(side: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "s r"]:
    """Filter and halve; undoes `doubling` without a margin, because the filter is orthonormal to its even shifts."""
    place = 2 * torch.arange(side)[:, None] + torch.arange(TAPS)[None]
    weight = torch.tensor(SYM6, dtype=torch.float64).expand_as(place) / sqrt(2)
    with torch.inference_mode(False):
        return torch.zeros(side, doubled(side), dtype=torch.float64).scatter_add(1, place, weight).to(dtype).to(device)


def plain(image: Tensor, grid: Tensor) -> Tensor:
    """torch's bilinear sampling; the middles of the first and the last pixel are -1 and 1, outside is 0."""
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


class Sampled(torch.autograd.Function):
    """`plain`, which has no second derivative in torch. Sampling is linear in the image; the grid gets no gradient."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        """(n, c, h, w) at the places (n, r, s, 2) -> (n, c, r, s)."""
        ctx.save_for_backward(grid)
        ctx.size = image.shape[2:]
        return plain(image, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The adjoint."""
        (grid,) = ctx.saved_tensors
        return Spread.apply(gradients[0], grid, ctx.size), None


class Spread(torch.autograd.Function):
    """The adjoint of `Sampled`: each value back to the four pixels that it came from."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        """(n, c, r, s) -> (n, c, *size)."""
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            image = value.new_zeros(*value.shape[:2], *size).requires_grad_()
            (spread,) = torch.autograd.grad(plain(image, grid), image, value)
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The adjoint of the adjoint is the sampling itself."""
        (grid,) = ctx.saved_tensors
        return Sampled.apply(gradients[0], grid), None, None


def kept_inside(place: Tensor, side: int, margin: int) -> Tensor:
    """Places in the doubled image, those beyond its margin reflected into it."""
    first, last = -2 * margin, doubled(side) - 1 + 2 * margin
    back = 2 * mirrored((place - CENTRE) / 2, side) + CENTRE
    return torch.where((place >= first) & (place <= last), place, back)


@torch.no_grad()
def grid_of(
    linear: Float[Tensor, "n 2 2"], offset: Float[Tensor, "n 2"], sides: tuple[int, int], margins: tuple[int, int]
) -> Float[Tensor, "n r s 2"]:
    """Where each pixel of the doubled output lies in the doubled input with its margins, -1 to 1; sides: w, h."""
    own = [torch.arange(doubled(side), device=linear.device, dtype=linear.dtype) for side in sides]
    across, down = (place - (side - 1 + CENTRE) for place, side in zip(own, sides))  # from the middle
    across, down = across[None, None, :], down[None, :, None]
    axes = []
    for axis, (side, margin) in enumerate(zip(sides, margins)):
        own_place = own[axis].view((1, 1, -1) if axis == 0 else (1, -1, 1))
        # What is added to a place's own coordinate, so that rounding cannot move a pixel that stays where it is.
        by_across, by_down = (linear[:, axis, other, None, None] - float(axis == other) for other in (0, 1))
        place = (own_place + by_across * across + 2 * offset[:, axis, None, None]) + by_down * down
        place = kept_inside(place, side, margin)
        axes.append((place + 2 * margin) * (2 / (doubled(side) + 4 * margin - 1)) - 1)
    return torch.stack(axes, 3)


def warped(image: Images, linear: Float[Tensor, "n 2 2"], offset: Float[Tensor, "n 2"]) -> Images:
    """Each image through its own affine map (Karras et al. 2020, appendix B): doubled, sampled, halved.

    The pixel at x = (across, down) from the middle, in pixels, shows what was at `linear x + offset`; beyond the border
    the image is reflected. The identity gives the image itself; moves by whole pixels, up to an eighth of the side, are
    exact but for rounding.

    The paper pads by as much as the batch's largest move needs, which the host would have to read. Here the margin is
    an eighth of the side and what the filter needs, which costs about half more pixels to double. Beyond it the pixel
    inside is read that reflection shows there: as far away as may be, and wrong only by the filter's slight asymmetry.
    Doubling and halving are products with banded matrices: on a CPU twice as fast as convolutions at 64 pixels and a
    little faster at 128, but their cost grows with the cube of the side.
    """
    h, w = image.shape[2:]
    margins = (-(-w // 8), -(-h // 8))
    grid = grid_of(linear, offset, (w, h), margins)
    kind = (image.dtype, image.device)
    larger = product(doubling(h, margins[1], *kind), product(image, doubling(w, margins[0], *kind).mT))
    moved = product(halving(h, *kind), product(Sampled.apply(larger, grid), halving(w, *kind).mT))
    still = (linear == torch.eye(2, dtype=linear.dtype, device=linear.device)).all(2).all(1) & (offset == 0).all(1)
    return torch.where(still[:, None, None, None], image, moved)
