"""Soft-edged shapes: how much of each pixel they cover, and signed distances to their edges.

Only + - * / sqrt, comparisons and floor touch pixels: IEEE 754 rounds those exactly everywhere, so a face is the same
bit for bit alone, in a batch, on one thread or on many. (exp, sin, lerp and addcmul differ between the vector loop and
its tail.) Distances are in head units: 1 is half the height of the picture for a head of scale 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Plane = Float[Tensor, "#n #h #w"]  # broadcasts


def cover_shape(distance: Plane, pixel: Tensor | float) -> Plane:
    """Compute how much of each pixel lies inside a shape.

    Args:
        distance: Signed distance to the edge, negative inside.
        pixel: Size of a pixel in the unit of the distance.

    Returns:
        Coverage in [0, 1].
    """
    return (0.5 - distance / pixel).clamp_(0.0, 1.0)


def cover_line(distance: Plane, thickness: Tensor | float, pixel: Tensor | float) -> Plane:
    """Compute how much of each pixel lies on a line, however thin it is.

    Args:
        distance: Signed distance to the middle of the line.
        thickness: Thickness of the line.
        pixel: Size of a pixel in the unit of the distance.

    Returns:
        Coverage in [0, 1].
    """
    across = distance / pixel
    half = 0.5 * thickness / pixel
    return (across + (half + 0.5)).clamp_(0.0, 1.0).sub_((across - (half - 0.5)).clamp_(0.0, 1.0))


def cover_between(y: Plane, top: Plane, bottom: Plane, pixel: Tensor | float) -> Plane:
    """Compute how much of each pixel lies between two lines; nothing where they have crossed.

    Args:
        y: Height of each pixel, positive downwards.
        top: Height of the upper line.
        bottom: Height of the lower line.
        pixel: Size of a pixel in the unit of the heights.

    Returns:
        Coverage in [0, 1].
    """
    return cover_shape(y - bottom, pixel).sub_(cover_shape(y - top, pixel)).clamp_(min=0.0)


def make_spot(squared: Plane) -> Plane:
    """Make a soft spot from squared distances: 1 in the middle, 0 from a distance of 1 on."""
    spot = (1.0 - squared).clamp_(min=0.0)
    return spot.mul_(spot)


def make_wave(phase: Plane) -> Plane:
    """Make a smooth wave between -1 and 1 with period 1, of parabolas."""
    part = (phase - phase.floor()).sub_(0.5)
    return part.mul_((1.0 - 2.0 * part.abs()).mul_(8.0))


def measure_ellipse(x: Plane, y: Plane, rx: Tensor | float, ry: Tensor | float) -> Plane:
    """Measure the signed distance to an ellipse at the origin with radii rx, ry; exact to first order at its edge."""
    x, y = x / rx, y / ry
    x2, y2 = x * x, y * y
    radius = (x2 + y2).sqrt_()
    slope = (x2 / (rx * rx) + y2 / (ry * ry)).sqrt_().clamp_(min=1e-6)
    return radius.sub(1.0).mul_(radius).div_(slope)


def measure_rectangle(x: Plane, y: Plane, rx: Tensor, ry: Tensor, corner: Tensor) -> Plane:
    """Measure the signed distance to a rectangle of half sizes rx, ry whose corners have radius `corner`."""
    x = x.abs().sub_(rx - corner)
    y = y.abs().sub_(ry - corner)
    inside = torch.maximum(x, y).clamp_(max=0.0)
    x, y = x.clamp_(min=0.0), y.clamp_(min=0.0)
    return (x.mul_(x)).add_(y.mul_(y)).sqrt_().add_(inside).sub_(corner)


def measure_hair_fall(x: Plane, y: Plane, rx: Plane, ry: Tensor, corner: float) -> Plane:
    """Measure the signed distance to a rounded rectangle whose half width rx changes along y, as hair falls."""
    x, y = x.abs() - (rx - corner), y.abs() - (ry - corner)
    inside = torch.maximum(x, y).clamp_(max=0.0)
    x, y = x.clamp_(min=0.0), y.clamp_(min=0.0)
    return (x * x + y * y).sqrt_().add_(inside).sub_(corner)
