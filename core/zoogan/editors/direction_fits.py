"""Fits directions: planes in w between faces with an attribute and faces without.

Source: InterFaceGAN (Shen et al. 2020), section 2, with a linear support vector machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional as F

from zoogan.editors.directions import Direction
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces.editor import Editor
from zoogan.interfaces.study import AttributeJudge

DirectionFit = Literal["logistic", "svm", "mean_difference"]
"""How a plane is fitted: logistic regression, a linear support vector machine (squared hinge), or the difference of the
mean latents with its plane in the middle between them."""
DIRECTION_FITS: tuple[DirectionFit, ...] = get_args(DirectionFit)
MIN_FACES = 20  # faces on each side, or there is nothing to fit
HELD_OUT_EVERY = 5  # every fifth of the selected faces measures the plane
WEIGHT_DECAY = 0.1  # of squared weights, for latents of variance 1: lower overfits, higher gives the mean difference
NEWTON_STEPS, TOLERANCE = 50, 1e-8  # of the fit: most steps, and the length of a step at which it stops
READ_BATCH = 50

Scores = Float64[Tensor, " n"]


class TooFewFacesError(ValueError):
    """Too few faces show an attribute, or too few do not."""


def compute_logistic_loss(score: Scores, target: Scores) -> tuple[Scores, Scores, Scores]:
    """Compute the cross-entropy of each face, its slope and its curvature by the score; targets are 0 or 1."""
    probability = score.sigmoid()
    loss = F.binary_cross_entropy_with_logits(score, target, reduction="none")
    return loss, probability - target, probability * (1 - probability)


def compute_squared_hinge(score: Scores, target: Scores) -> tuple[Scores, Scores, Scores]:
    """Compute half the squared hinge of each face, its slope and its curvature by the score; targets are 0 or 1."""
    sign = 2 * target - 1
    gap = (1 - sign * score).clamp(min=0)
    return gap.square() / 2, -sign * gap, (gap > 0).double()


LOSSES = {"logistic": compute_logistic_loss, "svm": compute_squared_hinge}


def fit_plane(
    latents: Float[Tensor, "n s"],
    shown: Bool[Tensor, " n"],
    decay: float = WEIGHT_DECAY,
    fit: DirectionFit = "logistic",
) -> tuple[Float64[Tensor, " s"], float]:
    """Fit the plane between latents with and without an attribute.

    Args:
        latents: The latents; about as many with as without.
        shown: Whether each shows the attribute.
        decay: The weight of the squared weights, for latents of variance 1. Unused by `mean_difference`.
        fit: How the plane is fitted.

    Returns:
        The plane's normal (s,), of length 1, and its intercept.

    Raises:
        ValueError: There is no such fit.
    """
    x = latents.detach().cpu().double()
    if fit == "mean_difference":
        with_it, without = x[shown.cpu()].mean(0), x[~shown.cpu()].mean(0)
        difference = with_it - without
        normal = difference / difference.norm().clamp(min=1e-12)
        return normal, -float(normal @ (with_it + without) / 2)
    if fit not in LOSSES:
        raise ValueError(f"fit: {fit!r}, expected {', '.join(DIRECTION_FITS)}")
    centre = x.mean(0)
    scale = (x - centre).square().mean().sqrt().clamp(min=1e-12)
    weight = minimise_loss((x - centre) / scale, shown.cpu().double(), decay, LOSSES[fit])
    length = weight[:-1].norm().clamp(min=1e-12)
    normal = weight[:-1] / length
    return normal, float(weight[-1] * scale / length - normal @ centre)


def minimise_loss(
    x: Float64[Tensor, "n s"],
    target: Scores,
    decay: float,
    compute_loss: Callable[[Scores, Scores], tuple[Scores, Scores, Scores]],
) -> Float64[Tensor, " t"]:
    """Minimise the mean loss of a linear score, with weight decay, by Newton's method.

    Args:
        x: The latents, centred and scaled.
        target: 1 for latents that show the attribute, else 0.
        decay: The weight of the squared weights; the offset is free.
        compute_loss: Computes loss, slope and curvature of each score.

    Returns:
        The weights (s + 1,), the last of which is the offset.
    """
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    decays = torch.full((x.shape[1],), decay, dtype=torch.float64)
    decays[-1] = 1e-9

    def measure(weight: Tensor) -> Tensor:
        return compute_loss(x @ weight, target)[0].mean() + (decays * weight.square()).sum() / 2

    weight = torch.zeros_like(decays)
    for _ in range(NEWTON_STEPS):
        _, slope, curvature = compute_loss(x @ weight, target)
        gradient = x.T @ slope / len(x) + decays * weight
        step = torch.linalg.solve((x.T * curvature) @ x / len(x) + decays.diag(), gradient)
        while measure(weight - step) > measure(weight) and step.norm() > TOLERANCE:  # it may overshoot
            step = step / 2
        weight = weight - step
        if step.norm() <= TOLERANCE:
            break
    return weight


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
    latents: Float[Tensor, "n s"],
    probability: Float[Tensor, " n"],
    threshold: float = 0.5,
    share: float = 0.1,
    fit: DirectionFit = "logistic",
) -> Direction:
    """Fit the direction of an attribute from latents and how surely their faces show it.

    Every fifth of the chosen faces is left out of the fit. `facts` holds the share of these that lie on the right side
    of the plane as `accuracy`.

    Args:
        latents: The latents.
        probability: See `choose_surest_faces`.
        threshold: See `choose_surest_faces`.
        share: See `choose_surest_faces`.
        fit: How the plane is fitted.

    Raises:
        TooFewFacesError: See `choose_surest_faces`.
        ValueError: There is no such fit.
    """
    chosen, shown, counts = select_surest_latents(latents, probability, threshold, share)
    place = torch.arange(counts["kept"]).repeat(2)
    is_fitted = place % HELD_OUT_EVERY != HELD_OUT_EVERY - 1
    normal, intercept = fit_plane(chosen[is_fitted], shown[is_fitted], fit=fit)
    distance = chosen @ normal + intercept
    accuracy = ((distance > 0) == shown)[~is_fitted].double().mean()
    facts = {"fit": fit} | counts | {"accuracy": float(accuracy)}
    return Direction(normal, intercept, normal, measure_sides(distance, shown), facts)


def select_surest_latents(
    latents: Float[Tensor, "n s"], probability: Float[Tensor, " n"], threshold: float, share: float
) -> tuple[Float64[Tensor, "m s"], Bool[Tensor, " m"], dict[str, int]]:
    """Return the latents of `choose_surest_faces`, first those without; which show the attribute; and the counts."""
    without, showing, counts = choose_surest_faces(probability, threshold, share)
    shown = torch.arange(2 * counts["kept"]) >= counts["kept"]
    return latents.detach().cpu().double()[torch.tensor(without + showing)], shown, counts


def measure_sides(distance: Float64[Tensor, " n"], shown: Bool[Tensor, " n"]) -> tuple[float, float]:
    """Return the mean distances of the faces without and with the attribute."""
    return float(distance[~shown].mean()), float(distance[shown].mean())


def make_given_direction(
    displacements: Float[Tensor, "n s"],
    latents: Float[Tensor, "m s"],
    probability: Float[Tensor, " m"] | None = None,
    threshold: float = 0.5,
    share: float = 0.1,
) -> Direction:
    """Make a direction of displacements that somebody else fitted: along their mean.

    Where it is known how surely the faces of the latents show the attribute, the plane lies in the middle between the
    surest faces without and with it, and `facts` has the `accuracy` over them. Otherwise, and where too few faces show
    the attribute, it halves the latents. `facts` says which in `sides_from`.

    Args:
        displacements: The displacement of each of somebody's faces, or one direction.
        latents: Latents of faces of this generator, for the plane and its sides.
        probability: How surely each of these faces shows the attribute, see `choose_surest_faces`.
        threshold: See `choose_surest_faces`.
        share: See `choose_surest_faces`.

    Raises:
        ValueError: The displacements cancel out, or all latents lie at one place along them.
    """
    mean = displacements.detach().cpu().double().mean(0)
    if float(mean.norm()) <= 1e-9 * float(displacements.double().norm(dim=1).max()):
        raise ValueError("the displacements cancel out: their mean is 0")
    normal = mean / mean.norm()
    facts: dict[str, Any] = {"fit": "file", "displacements": len(displacements), "faces": len(latents)}
    chosen, shown, reason = latents.detach().cpu().double(), None, "no judge reads it"
    if probability is not None:
        try:
            chosen, shown, counts = select_surest_latents(latents, probability, threshold, share)
            facts |= counts
        except TooFewFacesError as error:
            reason = str(error)
    position = chosen @ normal
    if shown is None:
        intercept = -float(position.median())
        shown = position + intercept > 0
        if not bool(shown.any()):
            raise ValueError("all sampled faces lie at one place along the displacements")
        facts["sides_from"] = f"the two halves of the sampled faces, as {reason}"
    else:
        intercept = -sum(measure_sides(position, shown)) / 2
        accuracy = ((position + intercept > 0) == shown).double().mean()
        facts |= {"sides_from": "the surest readings of the judge", "accuracy": float(accuracy)}
    return Direction(normal, intercept, normal, measure_sides(position + intercept, shown), facts)


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


@torch.no_grad()
def sample_latents(
    editor: SynthesisEditor, n: int, seed: int = 0, watch: Callable[[int], object] | None = None
) -> Float[Tensor, "n s"]:
    """Sample latents without faces, those of `read_sampled_faces`.

    Args:
        editor: The editor.
        n: The number of latents.
        seed: The first latent's seed; the others follow.
        watch: Called with the number of latents.
    """
    latents = editor.draw_latents(range(seed, seed + n))[:, 0].cpu()
    if watch is not None:
        watch(n)
    return latents
