"""Turning a face of known depth: the camera, the depth of another view, and the picture in it. Plain torch.

The official code renders a mesh. Here the pixels are moved as points: each is spread over the four nearest pixels of
the view, where only the foremost points count.

Source: Wu et al. 2020 (Unsup3D), section 3.2 (reprojection).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

FIELD_OF_VIEW = math.radians(10)
CENTRE = 1.0
"""Depth of the point that faces are turned about."""
NEAREST, FARTHEST = 0.8, 1.2
"""Depths of a view are clamped to these; `FARTHEST` = nothing there."""
EPSILON = 1e-7
THICKNESS = 0.02
"""Points that lie farther than this behind the foremost one of a pixel are hidden."""
ENOUGH = 0.05
"""Least sum of the shares of points in a pixel; with less the pixel is empty."""
HIDING_SHARE = 0.1
"""Least share of a pixel with which a point hides those behind it."""


class Pixels(NamedTuple):
    """Positions in a picture, in pixels.

    Attributes:
        across: From the left.
        down: From the top.
        depth: Distance from the camera.
    """

    across: Float[Tensor, "n p"]
    down: Float[Tensor, "n p"]
    depth: Float[Tensor, "n p"]


def get_focal_length(side: int) -> float:
    """Return the focal length in pixels of the camera of pictures of `side` pixels."""
    return (side - 1) / 2 / math.tan(FIELD_OF_VIEW / 2)


def back_project(depth: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n 3 s s"]:
    """Compute the point in space of each pixel: across, down, away from the camera.

    Args:
        depth: Distance of each pixel along the axis of the camera.
    """
    side = depth.shape[-1]
    steps = (torch.arange(side, device=depth.device, dtype=depth.dtype) - (side - 1) / 2) / get_focal_length(side)
    return torch.cat([depth * steps, depth * steps[:, None], depth], 1)


def project(points: Float[Tensor, "n 3 p"], side: int) -> Pixels:
    """Compute where points appear in a picture.

    Args:
        points: Points in front of the camera.
        side: Height and width of the picture in pixels.
    """
    across, down, depth = points.unbind(1)
    scale, middle = get_focal_length(side) / depth, (side - 1) / 2
    return Pixels(across * scale + middle, down * scale + middle, depth)


def compute_normals(depth: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n 3 s s"]:
    """Compute unit normals by central differences of the points; (0, 0, 1) at the border.

    As the official code adds a constant to lengths that are small already, they are some thousandths too short.

    Args:
        depth: Depths of the pixels.

    Source: Wu et al. 2020, section 3.2; official `renderer.py`.
    """
    points = back_project(depth)
    along = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    down = points[:, :, 2:, 1:-1] - points[:, :, :-2, 1:-1]
    inner = torch.linalg.cross(along, down, dim=1)
    border = torch.zeros_like(points)
    border[:, 2] = 1
    normal = torch.cat([border[:, :, :1, 1:-1], inner, border[:, :, -1:, 1:-1]], 2)
    normal = torch.cat([border[..., :1], normal, border[..., -1:]], 3)
    return normal / (normal.norm(dim=1, keepdim=True) + EPSILON)


def make_rotation(angles: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Make the matrices that turn about x, then y, then z.

    Args:
        angles: Angles in radians about x, y and z.
    """
    zero, one = torch.zeros_like(angles[:, 0]), torch.ones_like(angles[:, 0])

    def turn(axis: int) -> Tensor:
        sin, cos = angles[:, axis].sin(), angles[:, axis].cos()
        rows = {
            0: (one, zero, zero, zero, cos, -sin, zero, sin, cos),
            1: (cos, zero, sin, zero, one, zero, -sin, zero, cos),
            2: (cos, -sin, zero, sin, cos, zero, zero, zero, one),
        }
        return torch.stack(rows[axis], 1).unflatten(1, (3, 3))

    return turn(2) @ turn(1) @ turn(0)


def get_centre(points: Tensor) -> Float[Tensor, "1 3 1"]:
    """Return the point that faces are turned about, beside points."""
    return points.new_tensor([0.0, 0.0, CENTRE]).view(1, 3, 1)


def move_to_view(points: Float[Tensor, "n 3 p"], view: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3 p"]:
    """Turn points of the canonical face about its centre, and shift them.

    Args:
        points: Points of the face.
        view: Three angles in radians, and a shift.
    """
    centre = get_centre(points)
    return make_rotation(view[:, :3]) @ (points - centre) + centre + view[:, 3:, None]


def move_from_view(points: Float[Tensor, "n 3 p"], view: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3 p"]:
    """Undo `move_to_view`."""
    centre = get_centre(points)
    return make_rotation(view[:, :3]).mT @ (points - view[:, 3:, None] - centre) + centre


def render_depth(depth: Float[Tensor, "n 1 s s"], view: Float[Tensor, "n 6"]) -> Float[Tensor, "n 1 s s"]:
    """Compute the depth of a face in a view, between `NEAREST` and `FARTHEST`, where nothing is.

    The result has a gradient with respect to depth and view.

    Args:
        depth: Depths of the canonical face.
        view: Three angles in radians, and a shift.
    """
    side = depth.shape[-1]
    pixels = project(move_to_view(back_project(depth).flatten(2), view), side)
    left, top = pixels.across.floor(), pixels.down.floor()
    places, shares = [], []
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        across, down = left + right, top + below
        is_inside = (across >= 0) & (across < side) & (down >= 0) & (down < side)
        share = (1 - (pixels.across - across).abs()) * (1 - (pixels.down - down).abs())
        places.append(torch.where(is_inside, down * side + across, side * side).long())  # the last place is dropped
        shares.append(share.clamp(min=0))
    place, share, points = torch.cat(places, 1), torch.cat(shares, 1), pixels.depth.repeat(1, 4)
    share = share * is_foremost(place, points, share > HIDING_SHARE, side * side + 1)
    empty = points.new_zeros(len(points), side * side + 1)
    total = empty.scatter_add(1, place, share)[:, :-1]
    mean = empty.scatter_add(1, place, share * points)[:, :-1] / total.clamp(min=ENOUGH)
    rendered = torch.where(total > ENOUGH, mean, FARTHEST).clamp(NEAREST, FARTHEST)
    return rendered.unflatten(1, (1, side, side))


@torch.no_grad()
def is_foremost(
    place: Tensor, depth: Float[Tensor, "n p"], hides: Bool[Tensor, "n p"], places: int
) -> Bool[Tensor, "n p"]:
    """Tell which points are not hidden by another one of the same pixel.

    Args:
        place: Number of the pixel of each point.
        depth: Depth of each point.
        hides: Whether a point covers enough of the pixel to hide others.
        places: How many pixels there are.
    """
    buffer = depth.new_full((len(depth), places), math.inf)
    nearest = buffer.scatter_reduce(1, place, depth.masked_fill(~hides, math.inf), "amin")
    return depth <= nearest.gather(1, place) + THICKNESS


def warp_to_view(
    maps: Float[Tensor, "n c s s"], rendered: Float[Tensor, "n 1 s s"], view: Float[Tensor, "n 6"]
) -> Float[Tensor, "n c s s"]:
    """Show maps of the canonical face in a view: each pixel looks up where its point lies on the canonical face.

    Args:
        maps: Maps of the canonical face, such as its image.
        rendered: The depth in the view, see `render_depth`.
        view: Three angles in radians, and a shift.

    Returns:
        The maps in the view; 0 where they end.
    """
    side = maps.shape[-1]
    pixels = project(move_from_view(back_project(rendered).flatten(2), view), side)
    grid = torch.stack([pixels.across, pixels.down], 2) / ((side - 1) / 2) - 1
    return F.grid_sample(maps, grid.unflatten(1, (side, side)), padding_mode="zeros", align_corners=True)
