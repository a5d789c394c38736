"""Frechet distance between two sets of features (Heusel et al. 2017), from moments that are summed as batches come."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from zoogan.evaluation.distribution_config import FrechetConfig
from zoogan.evaluation.metrics.distribution import Better, Distribution, Task
from zoogan.evaluation.metrics.reals import reference
from zoogan.interfaces.statistic import Statistic, Whole
from zoogan.interfaces.world import World


class Moments:
    """Count, sum and sum of outer products in float64: all that a Frechet distance knows of a set."""

    def __init__(self, dimensions: int, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.count = torch.zeros((), dtype=torch.float64)
        self.total = torch.zeros(dimensions, dtype=torch.float64)
        self.outer = torch.zeros(dimensions, dimensions, dtype=torch.float64)

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> Moments:
        """Those of a whole set."""
        moments = cls(features.shape[1])
        moments.add(features)
        return moments

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """See a batch."""
        rows = features.cpu().double()  # in this order: not every device has float64
        self.count += len(rows)
        self.total += rows.sum(0)
        self.outer += rows.T @ rows

    def joined(self, world: World) -> Moments:
        """Those of all processes' sets together."""
        if world.size == 1:
            return self
        joint = Moments(len(self.total), self.device)
        for name in ("count", "total", "outer"):
            setattr(joint, name, world.gather(getattr(self, name)[None].to(self.device)).sum(0).cpu())
        return joint

    @property
    def mean(self) -> Float64[Tensor, " d"]:
        """Mean of the features."""
        return self.total / self.count

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """Covariance of the features, divided by n - 1."""
        return (self.outer - self.count * self.mean.outer(self.mean)) / (self.count - 1)


def frechet(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)); nan where a set has fewer than two rows.

    tr((C1 C2)^(1/2)) is the sum of the singular values of C1^(1/2) C2^(1/2): real by construction, and as exact for
    covariances of low rank (fewer faces than dimensions) as for others.
    """
    if min(first.count, second.count) < 2:
        return float("nan")
    one, two = first.covariance, second.covariance
    cross = torch.linalg.svdvals(root(one) @ root(two)).sum()
    distance = (first.mean - second.mean).square().sum() + one.trace() + two.trace() - 2 * cross
    return max(0.0, float(distance))  # rounding alone can make it negative


def root(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The symmetric square root; eigenvalues that are only rounding count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return (vectors * torch.where(values > noise, values, 0).sqrt()) @ vectors.T


class Frechet(Distribution[Moments]):
    """Role `metric`: `fd_squeezenet` and `fid`. It falls with the number of faces: compare at equal numbers only."""

    titled = "Frechet distance from {} to {}"
    config: FrechetConfig

    def keep(self, dimensions: int, device: torch.device) -> Moments:
        """Nothing summed yet."""
        return Moments(dimensions, device)

    def ends(self) -> Mapping[str, Better]:
        """One number."""
        return {"": "lower"}

    def compare(
        self, task: Task, generated: Moments, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The distance; its note says how far other real faces are."""
        moments = Moments.of(real)
        note = "biased: compare only at equal numbers"
        if self.config.floor:
            others = self.reals(task, wanted, others=True)
            if others.indices:
                floor = frechet(Moments.of(reference(others, self.features, self.study).features), moments)
                note += f"; {len(others.indices)} other real faces are at {floor:.4g}"
        return {"": (Whole(faces, frechet(generated, moments)), note)}
