"""Directions: the plane in w between faces with an attribute and faces without, and the path across it.

The sign of an attribute is that of the distance to a plane; a face that moves along the plane's normal gains or loses
the attribute.

Source: InterFaceGAN (Shen et al. 2020), section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from zoogan.interfaces.synthesis import Latent, Latents

MAX_SOLVED = 10  # directions that a graph solves together: it has an inverse for each choice of them
MIN_LENGTH = 0.1  # of a normal's length, least that must remain without its projection on others


@dataclass(frozen=True)
class Direction:
    """An attribute's plane in w, and the path that an edit takes across it.

    Attributes:
        normal: The plane's normal (s,), of length 1, towards the faces that show the attribute.
        intercept: The signed distance of w is normal . w + intercept.
        path: The path of an edit (s,), of length 1: the normal, or its part orthogonal to other attributes' normals.
        sides: The mean distances of the faces without and with the attribute.
        facts: How it was fitted, for people.
    """

    normal: Float64[Tensor, " s"]
    intercept: float
    path: Float64[Tensor, " s"]
    sides: tuple[float, float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def measure_distance(self, latents: Latents) -> Float64[Tensor, " n"]:
        """Return the signed distance of each face, that of the mean of its rows, on the CPU."""
        return latents.detach().cpu().double().mean(1) @ self.normal + self.intercept

    def get_typical_distance(self, value: float) -> float:
        """Return the distance of a typical face without (0) or with (1) the attribute, or one between."""
        return self.sides[0] + value * (self.sides[1] - self.sides[0])


def solve_move(directions: Sequence[Direction], values: Sequence[float], latents: Latents) -> Latent:
    """Find the shortest move along the directions' paths that brings each face to the requested sides of all planes.

    All planes are solved together, so that no move undoes another. If directions are too similar to satisfy all, the
    result is a compromise.

    Args:
        directions: The directions of the requested attributes.
        values: The requested value of each, 0 to 1.
        latents: w+ of the faces.

    Returns:
        The move (n, s), to be added to every row.
    """
    gaps = torch.stack(
        [one.get_typical_distance(value) - one.measure_distance(latents) for one, value in zip(directions, values)], 1
    )
    normals, paths = (torch.stack([getattr(one, name) for one in directions]) for name in ("normal", "path"))
    steps = gaps @ torch.linalg.pinv(normals @ paths.T, rtol=MIN_LENGTH).T
    return (steps @ paths).to(latents)


class MoveSolver:
    """Solves as `solve_move` does, for requests that are tensors; for graphs, which cannot invert matrices.

    Args:
        directions: The directions, at most `MAX_SOLVED`.

    Raises:
        ValueError: There are more.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        count = len(directions)
        if count > MAX_SOLVED:
            raise ValueError(f"{count} directions are too many for a graph: keep {MAX_SOLVED} in the run's directions")
        normals, paths = (torch.stack([getattr(one, name) for one in directions]) for name in ("normal", "path"))
        # An inverse for each choice of directions; directions that are not requested have zeros.
        chosen = torch.arange(2**count)[:, None] >> torch.arange(count) & 1
        products = (normals @ paths.T) * chosen[:, :, None] * chosen[:, None]
        self.inverses = torch.linalg.pinv(products, rtol=MIN_LENGTH).transpose(1, 2).float()
        self.places = 2 ** torch.arange(count)
        self.normals, self.paths = normals.float(), paths.float()
        self.intercepts = torch.tensor([one.intercept for one in directions])
        self.sides = torch.tensor([one.sides for one in directions])

    def __call__(self, latents: Latents, requested: Float[Tensor, "n a"]) -> Latent:
        """Find the move (n, s), to be added to every row.

        Args:
            latents: w+ of the faces.
            requested: The requested value of each direction, 0 to 1; NaN = none.
        """
        is_requested = ~requested.isnan()
        low, high = self.sides.unbind(1)
        distance = latents.mean(1) @ self.normals.T + self.intercepts
        gaps = torch.where(is_requested, low + requested.nan_to_num() * (high - low) - distance, 0.0)
        steps = gaps[:, None] @ self.inverses[(is_requested * self.places).sum(1)]
        return steps[:, 0] @ self.paths


@dataclass(frozen=True)
class DirectionBasis:
    """The directions of several attributes in float32 on one device, for trainings, whose host must not wait.

    Attributes:
        names: The attributes, in the order of the rows.
        normals: See `Direction.normal`.
        intercepts: See `Direction.intercept`.
        paths: See `Direction.path`.
        sides: See `Direction.sides`.
        gains: How far a move of length 1 along the path changes the distance: normal . path.
    """

    names: tuple[str, ...]
    normals: Float32[Tensor, "a s"]
    intercepts: Float32[Tensor, " a"]
    paths: Float32[Tensor, "a s"]
    sides: Float32[Tensor, "a 2"]
    gains: Float32[Tensor, " a"]

    def measure_distance(self, latents: Latents, attribute: Int64[Tensor, " n"]) -> Float32[Tensor, " n"]:
        """Return the signed distance of each face, that of the mean of its rows, from the plane of its attribute.

        Args:
            latents: w+ of the faces.
            attribute: Index into `names`, one for each face.
        """
        return (latents.float().mean(1) * self.normals[attribute]).sum(1) + self.intercepts[attribute]

    def solve_move(
        self, latents: Latents, attribute: Int64[Tensor, " n"], value: float | Float[Tensor, " n"] = 1.0
    ) -> Latent:
        """Find the move along the path of each face's attribute that brings it to the requested side.

        Args:
            latents: w+ of the faces.
            attribute: Index into `names`, one for each face.
            value: The requested value, 0 to 1, one for all or one for each face.

        Returns:
            The move (n, s), to be added to every row.
        """
        low, high = self.sides[attribute].unbind(1)
        gap = low + value * (high - low) - self.measure_distance(latents, attribute)
        return ((gap / self.gains[attribute])[:, None] * self.paths[attribute]).to(latents.dtype)


def make_basis(directions: Mapping[str, Direction], device: torch.device | str = "cpu") -> DirectionBasis:
    """Put the directions of attributes on a device.

    Args:
        directions: One or more directions by attribute.
        device: Where the tensors go.

    Raises:
        ValueError: There is no direction.
    """
    if not directions:
        raise ValueError("a basis needs one direction or more, got none")
    normals, paths = (torch.stack([getattr(one, name) for one in directions.values()]) for name in ("normal", "path"))
    intercepts = torch.tensor([one.intercept for one in directions.values()], dtype=torch.float64)
    sides = torch.tensor([one.sides for one in directions.values()], dtype=torch.float64)
    tensors = (normals, intercepts, paths, sides, (normals * paths).sum(1))
    return DirectionBasis(tuple(directions), *(part.to(device, torch.float32) for part in tensors))


def make_conditional(direction: Direction, others: Mapping[str, Direction]) -> Direction:
    """Make a direction whose path stays at a constant distance from the others' planes.

    Raises:
        ValueError: Less than 10 % of its length is left.

    Source: InterFaceGAN, section 2.3.
    """
    basis = torch.linalg.qr(torch.stack([other.normal for other in others.values()], 1)).Q
    left = direction.normal - basis @ (basis.T @ direction.normal)
    if float(left.norm()) < MIN_LENGTH:
        raise ValueError(
            f"its direction is nearly that of {' and '.join(others)}: {float(left.norm()):.0%} of it is left"
        )
    return Direction(
        direction.normal, direction.intercept, left / left.norm(), direction.sides,
        {**direction.facts, "conditional": ", ".join(others)},
    )  # fmt: skip


def measure_cosines(direction: Direction, others: Mapping[str, Direction]) -> dict[str, float]:
    """Return the cosine between a direction's normal and each other's, -1 to 1."""
    return {name: float(direction.normal @ other.normal) for name, other in others.items()}
