"""Frechet distance between two sets of features, `fd_squeezenet` and `fid`.

Source: Heusel et al. 2017. Moments are summed as batches come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from zoogan.evaluation.metrics.distribution import Distribution, DistributionConfig, FaceSet, InceptionConfig
from zoogan.evaluation.metrics.real_faces import load_reference
from zoogan.interfaces import Headline, SetStatistic, Statistic, World


class Moments:
    """Count, sum and sum of outer products of a set's features in float64, from which mean and covariance follow.

    Args:
        dimensions: Length of a feature vector.
        device: Device on which processes exchange moments; None = the CPU.
    """

    def __init__(self, dimensions: int, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.count = torch.zeros((), dtype=torch.float64)
        self.total = torch.zeros(dimensions, dtype=torch.float64)
        self.outer = torch.zeros(dimensions, dimensions, dtype=torch.float64)

    @classmethod
    def from_features(cls, features: Float[Tensor, "n d"]) -> Moments:
        """Compute the moments of a whole set."""
        moments = cls(features.shape[1])
        moments.add(features)
        return moments

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Add a batch."""
        rows = features.cpu().double()  # in this order: not every device has float64
        self.count += len(rows)
        self.total += rows.sum(0)
        self.outer += rows.T @ rows

    def gather(self, world: World) -> Moments:
        """Return the moments of the sets of all processes together."""
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


def compute_frechet_distance(first: Moments, second: Moments) -> float:
    """Compute |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)); nan where a set has fewer than two rows.

    tr((C1 C2)^(1/2)) is the sum of the singular values of C1^(1/2) C2^(1/2): real by construction, and as exact for
    covariances of low rank (fewer faces than dimensions) as for others.
    """
    if min(first.count, second.count) < 2:
        return float("nan")
    one, two = first.covariance, second.covariance
    cross = torch.linalg.svdvals(compute_square_root(one) @ compute_square_root(two)).sum()
    distance = (first.mean - second.mean).square().sum() + one.trace() + two.trace() - 2 * cross
    return max(0.0, float(distance))  # rounding alone can make it negative


def compute_square_root(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Compute the symmetric square root of a covariance; eigenvalues that are only rounding count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return (vectors * torch.where(values > noise, values, 0).sqrt()) @ vectors.T


class FrechetConfig(DistributionConfig):
    """Options of a Frechet distance.

    Attributes:
        floor: Also report the distance of other real faces; doubles the real faces that are read, once.
    """

    floor: bool = True


class FrechetDistance(Distribution[Moments]):
    """Frechet distance. It falls with the number of faces: compare at equal numbers only."""

    title_template = "Frechet distance from {} to {}"
    better: ClassVar = {"": "lower"}
    config: FrechetConfig

    def make_store(self, dimensions: int, device: torch.device) -> Moments:
        """Make empty moments."""
        return Moments(dimensions, device)

    def compare_sets(
        self, face_set: FaceSet, generated: Moments, real: Float[Tensor, "m d"], faces: Tensor, target: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """Compute the distance; its note states the distance of other real faces."""
        moments = Moments.from_features(real)
        note = "biased: compare only at equal numbers"
        if self.config.floor:
            others = self.choose_real_faces(face_set, target, others=True)
            if others.indices:
                features = load_reference(others, self.features, self.study).features
                floor = compute_frechet_distance(Moments.from_features(features), moments)
                note += f"; distance of {len(others.indices)} other real faces: {floor:.4g}"
        return {"": (SetStatistic(faces, compute_frechet_distance(generated, moments)), note)}


class FrechetSqueezeNet(FrechetDistance):
    """Frechet distance on SqueezeNet 1.1 features: small, and not comparable with FID."""

    class Config(FrechetConfig):
        """Options of `fd_squeezenet`."""

        use: Literal["fd_squeezenet"] = "fd_squeezenet"

    backbone = "squeezenet"
    default_for: ClassVar = {"edits": 100, "samples": 10}
    headlines: ClassVar = {
        "fd_squeezenet": Headline("Frechet distance", "to real faces, SqueezeNet features; not FID", 70, 80),
    }


class FrechetInception(FrechetDistance):
    """Frechet Inception Distance."""

    class Config(FrechetConfig, InceptionConfig):
        """Options of `fid`."""

        use: Literal["fid"] = "fid"

    backbone = "inception"
    headlines: ClassVar = {"fid": Headline("FID", "Frechet Inception distance to real faces", 60, 100)}
