"""Directions: the plane in w that parts faces with an attribute from those without, and the way across it.

InterFaceGAN (Shen et al. 2020, section 2): the sign of an attribute is that of the distance to a plane, and a face that
moves along the plane's normal gains or loses the attribute.
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
from zoogan.interfaces.metric import Reader
from zoogan.interfaces.synthesis import Latent, Latents

FEWEST = 20  # faces on each side, or there is nothing to fit
HELD_OUT = 5  # every fifth of the faces that are kept measures the plane
DECAY = 0.1  # of the squared weights, for latents of variance 1: less follows every face, more asks only for the mean
LEAST_LEFT = 0.1  # of a normal's length, after what it shares with others is taken away
STEPS, PRECISE = 50, 1e-8  # of the fit: at most so many, until one is as short as that
AT_ONCE = 50


class TooFew(ValueError):
    """An attribute that too few faces show, or too few do not."""


@dataclass(frozen=True)
class Direction:
    """An attribute's plane in w, and the way that an edit takes across it.

    normal: (s,), of length 1, towards the faces that show the attribute. intercept: the distance of w is
    normal . w + intercept. path: (s,), of length 1; the normal itself, or what is left of it without other attributes'.
    sides: the mean distances of the faces without and with the attribute. facts: how it was fitted, for people.
    """

    normal: Float64[Tensor, " s"]
    intercept: float
    path: Float64[Tensor, " s"]
    sides: tuple[float, float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def distance(self, latents: Latents) -> Float64[Tensor, " n"]:
        """The signed distance of each face, that of the mean of its rows, on the CPU."""
        return latents.detach().cpu().double().mean(1) @ self.normal + self.intercept

    def aim(self, value: float) -> float:
        """The distance of a typical face without (0) or with (1) the attribute, or one between."""
        return self.sides[0] + value * (self.sides[1] - self.sides[0])


def moves(directions: Sequence[Direction], values: Sequence[float], latents: Latents) -> Latent:
    """The shortest way, along the directions' paths, that brings each face to the asked-for side of every plane.

    Several at once are solved together, so that no one undoes another. Where two are so much alike that nothing can do
    justice to both, they are met halfway.
    """
    gaps = torch.stack([one.aim(value) - one.distance(latents) for one, value in zip(directions, values)], 1)
    normals, paths = (torch.stack([getattr(one, name) for one in directions]) for name in ("normal", "path"))
    steps = gaps @ torch.linalg.pinv(normals @ paths.T, rtol=LEAST_LEFT).T
    return (steps @ paths).to(latents)


# ---- fitting ----


def boundary(
    latents: Float[Tensor, "n s"], shown: Bool[Tensor, " n"], decay: float = DECAY
) -> tuple[Float64[Tensor, " s"], float]:
    """The (normal, intercept) of the plane between latents that show something and latents that do not.

    Logistic regression with weight decay, by Newton's method. The two sides should be of one size.
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
    for _ in range(STEPS):
        probability = (x @ weight).sigmoid()
        gradient = x.T @ (probability - target) / len(x) + decays * weight
        curvature = (x.T * (probability * (1 - probability))) @ x / len(x) + decays.diag()
        step = torch.linalg.solve(curvature, gradient)
        while loss(weight - step) > loss(weight) and step.norm() > PRECISE:  # far from the end it may go too far
            step = step / 2
        weight = weight - step
        if step.norm() <= PRECISE:
            break
    length = weight[:-1].norm().clamp(min=1e-12)
    normal = weight[:-1] / length
    return normal, float(weight[-1] * scale / length - normal @ centre)


def surest(
    probability: Float[Tensor, " n"], threshold: float, share: float
) -> tuple[list[int], list[int], dict[str, int]]:
    """The faces that surely do not show an attribute and those that surely do, as many of each, the surest first.

    share: of all faces, at most that many on each side. Also counts: how many were seen, and how many show it.

    Raises:
        TooFew: fewer than 20 on one side.
    """
    order = probability.argsort(descending=True, stable=True).tolist()
    with_it, n = int((probability > threshold).sum()), len(order)
    fewer = min(with_it, n - with_it)
    if fewer < FEWEST:
        how = "show it" if fewer == with_it else "do not show it"
        raise TooFew(f"{fewer} of {n} faces {how}, and a direction needs {FEWEST} or more of each kind")
    kept = min(fewer, max(FEWEST, round(share * n)))
    return order[::-1][:kept], order[:kept], {"faces": n, "with": with_it, "kept": kept}


def fitted(
    latents: Float[Tensor, "n s"], probability: Float[Tensor, " n"], threshold: float = 0.5, share: float = 0.1
) -> Direction:
    """The direction of an attribute, from latents and how surely their faces show it; see `surest`.

    Every fifth of the faces that are kept has no part in the fit: `facts` tells the share of them that lie on their
    side of the plane as `accuracy`.

    Raises:
        TooFew: see `surest`.
    """
    without, showing, counts = surest(probability, threshold, share)
    place = torch.arange(counts["kept"]).repeat(2)
    index = torch.tensor(without + showing)
    shown = torch.arange(2 * counts["kept"]) >= counts["kept"]
    kept, learns = latents.detach().cpu().double()[index], place % HELD_OUT != HELD_OUT - 1
    normal, intercept = boundary(kept[learns], shown[learns])
    distance = kept @ normal + intercept
    right = ((distance > 0) == shown)[~learns].double().mean()
    sides = (float(distance[~shown].mean()), float(distance[shown].mean()))
    return Direction(normal, intercept, normal, sides, counts | {"accuracy": float(right)})


def conditional(direction: Direction, others: Mapping[str, Direction]) -> Direction:
    """The direction whose path stays at one distance from the others' planes (InterFaceGAN, section 2.3).

    Raises:
        ValueError: next to nothing of it is left.
    """
    basis = torch.linalg.qr(torch.stack([other.normal for other in others.values()], 1)).Q
    left = direction.normal - basis @ (basis.T @ direction.normal)
    if float(left.norm()) < LEAST_LEFT:
        raise ValueError(
            f"its direction is nearly that of {' and '.join(others)}: {float(left.norm()):.0%} of it is left"
        )
    return Direction(
        direction.normal, direction.intercept, left / left.norm(), direction.sides,
        {**direction.facts, "conditional": ", ".join(others)},
    )  # fmt: skip


def cosines(direction: Direction, others: Mapping[str, Direction]) -> dict[str, float]:
    """How much of a direction's normal is another's, -1 to 1."""
    return {name: float(direction.normal @ other.normal) for name, other in others.items()}


@torch.no_grad()
def read_faces(
    editor: Editor, reader: Reader, n: int, seed: int = 0, watch: Callable[[int], None] = lambda done: None
) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n a"]]:
    """Latents (n, s) of faces made from seeds, `seed` the first, and how surely they show the reader's attributes.

    watch: told after each batch how many are done.
    """
    latents, probabilities = [], []
    for first in range(0, n, AT_ONCE):
        made = editor.sample(range(seed + first, seed + min(first + AT_ONCE, n)))
        latents.append(made.extras["latents"][:, 0].cpu())
        probabilities.append(reader.probabilities(made.image).cpu())
        watch(first + len(made.image))
    return torch.cat(latents), torch.cat(probabilities)
