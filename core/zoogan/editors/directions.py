"""Directions: the plane in w between faces with an attribute and faces without, and the path across it.

The sign of an attribute is that of the distance to a plane; a face that moves along the plane's normal gains or loses
the attribute.

Source: InterFaceGAN (Shen et al. 2020), section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional as F

from zoogan.interfaces.editor import Editor
from zoogan.interfaces.study import AttributeJudge
from zoogan.interfaces.synthesis import Latent, Latents

MIN_FACES = 20  # faces on each side, or there is nothing to fit
HELD_OUT_EVERY = 5  # every fifth of the selected faces measures the plane
WEIGHT_DECAY = 0.1  # of squared weights, for latents of variance 1: lower overfits, higher gives the mean difference
MIN_LENGTH = 0.1  # of a normal's length, least that must remain without its projection on others
NEWTON_STEPS, TOLERANCE = 50, 1e-8  # of the fit: most steps, and the length of a step at which it stops
READ_BATCH = 50


class TooFewFacesError(ValueError):
    """Too few faces show an attribute, or too few do not."""


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


# ---- fitting ----


def fit_plane(
    latents: Float[Tensor, "n s"], shown: Bool[Tensor, " n"], decay: float = WEIGHT_DECAY
) -> tuple[Float64[Tensor, " s"], float]:
    """Fit the plane between latents with and without an attribute.

    Logistic regression with weight decay, by Newton's method.

    Args:
        latents: The latents; about as many with as without.
        shown: Whether each shows the attribute.
        decay: The weight of the squared weights, for latents of variance 1.

    Returns:
        The plane's normal (s,), of length 1, and its intercept.
    """
    x = latents.detach().cpu().double()
    centre = x.mean(0)
    scale = (x - centre).square().mean().sqrt().clamp(min=1e-12)
    x = torch.cat([(x - centre) / scale, x.new_ones(len(x), 1)], 1)
    target = shown.cpu().double()
    decays = torch.full((x.shape[1],), decay, dtype=torch.float64)
    decays[-1] = 1e-9  # the offset is free

    def loss(weight: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x @ weight, target) + (decays * weight.square()).sum() / 2

    weight = torch.zeros_like(decays)
    for _ in range(NEWTON_STEPS):
        probability = (x @ weight).sigmoid()
        gradient = x.T @ (probability - target) / len(x) + decays * weight
        curvature = (x.T * (probability * (1 - probability))) @ x / len(x) + decays.diag()
        step = torch.linalg.solve(curvature, gradient)
        while loss(weight - step) > loss(weight) and step.norm() > TOLERANCE:  # far from the minimum it may overshoot
            step = step / 2
        weight = weight - step
        if step.norm() <= TOLERANCE:
            break
    length = weight[:-1].norm().clamp(min=1e-12)
    normal = weight[:-1] / length
    return normal, float(weight[-1] * scale / length - normal @ centre)


def choose_surest_faces(
    probability: Float[Tensor, " n"], threshold: float, share: float
) -> tuple[list[int], list[int], dict[str, int]]:
    """Choose the faces with the lowest and as many with the highest probability of an attribute, the surest first.

    Args:
        probability: How surely each face shows the attribute, 0 to 1.
        threshold: Faces above it show the attribute.
        share: Of all faces, at most this share is chosen on each side.

    Returns:
        Indices of faces without, indices of faces with, and counts: all faces, those that show it, those chosen.

    Raises:
        TooFewFacesError: Fewer than 20 on one side.
    """
    order = probability.argsort(descending=True, stable=True).tolist()
    with_it, n = int((probability > threshold).sum()), len(order)
    fewer = min(with_it, n - with_it)
    if fewer < MIN_FACES:
        which = "show it" if fewer == with_it else "do not show it"
        raise TooFewFacesError(f"{fewer} of {n} faces {which}, and a direction needs {MIN_FACES} or more of each kind")
    count = min(fewer, max(MIN_FACES, round(share * n)))
    return order[::-1][:count], order[:count], {"faces": n, "with": with_it, "kept": count}


def fit_direction(
    latents: Float[Tensor, "n s"], probability: Float[Tensor, " n"], threshold: float = 0.5, share: float = 0.1
) -> Direction:
    """Fit the direction of an attribute from latents and how surely their faces show it.

    Every fifth of the chosen faces is left out of the fit. `facts` holds the share of these that lie on the right side
    of the plane as `accuracy`.

    Args:
        latents: The latents.
        probability: See `choose_surest_faces`.
        threshold: See `choose_surest_faces`.
        share: See `choose_surest_faces`.

    Raises:
        TooFewFacesError: See `choose_surest_faces`.
    """
    without, showing, counts = choose_surest_faces(probability, threshold, share)
    place = torch.arange(counts["kept"]).repeat(2)
    index = torch.tensor(without + showing)
    shown = torch.arange(2 * counts["kept"]) >= counts["kept"]
    chosen, is_fitted = latents.detach().cpu().double()[index], place % HELD_OUT_EVERY != HELD_OUT_EVERY - 1
    normal, intercept = fit_plane(chosen[is_fitted], shown[is_fitted])
    distance = chosen @ normal + intercept
    accuracy = ((distance > 0) == shown)[~is_fitted].double().mean()
    sides = (float(distance[~shown].mean()), float(distance[shown].mean()))
    return Direction(normal, intercept, normal, sides, counts | {"accuracy": float(accuracy)})


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


@torch.no_grad()
def read_sampled_faces(
    editor: Editor,
    judge: AttributeJudge,
    n: int,
    seed: int = 0,
    watch: Callable[[int], object] | None = None,
) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n a"]]:
    """Sample faces and read how surely they show the judge's attributes.

    Args:
        editor: An editor that can sample.
        judge: Reads the attributes.
        n: The number of faces.
        seed: The first face's seed; the others follow.
        watch: Called after each batch with the number of faces read so far.

    Returns:
        The latents (n, s), and the probabilities (n, a).
    """
    latents, probabilities = [], []
    for first in range(0, n, READ_BATCH):
        sample = editor.sample(range(seed + first, seed + min(first + READ_BATCH, n)))
        latents.append(sample.extras["latents"][:, 0].cpu())
        probabilities.append(judge.read_attributes(sample.image).cpu())
        if watch is not None:
            watch(first + len(sample.image))
    return torch.cat(latents), torch.cat(probabilities)
