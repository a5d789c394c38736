"""Kernel distance between two sets of features, `kd_squeezenet` and `kid`.

The unbiased squared maximum mean discrepancy under a cubic kernel. Source: Binkowski et al. 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from zoogan.evaluation.metrics.distribution import (
    Distribution,
    DistributionConfig,
    FaceSet,
    FeatureRows,
    InceptionConfig,
)
from zoogan.interfaces import Headline, SetStatistic, Statistic

BLOCK = 512  # rows of the kernel matrix that are in memory at once


def apply_cubic_kernel(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """Compute (x.y / d + 1)^3 of every pair of rows."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def sum_kernel(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, " n"]:
    """Sum the kernel of each x with every y, without the whole matrix in memory."""
    return torch.cat([apply_cubic_kernel(part, y).sum(1) for part in x.split(BLOCK)])


def compute_kernel_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> tuple[float, float]:
    """Compute the distance and its standard error by the jackknife.

    Mean of k(x, x') over the pairs of each set, minus twice the mean over the pairs of a row from each. The
    expectation is 0 for two samples of one distribution, so a single value may be negative.

    Returns:
        The distance, nan with fewer than two rows, and its error, nan with fewer than three.
    """
    x, y = first.double(), second.double()
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return float("nan"), float("nan")
    xx = sum_kernel(x, x) - (x.square().mean(1) + 1) ** 3
    yy = sum_kernel(y, y) - (y.square().mean(1) + 1) ** 3
    xy, yx = sum_kernel(x, y), sum_kernel(y, x)
    within_x, within_y, across = xx.sum() / (n * (n - 1)), yy.sum() / (m * (m - 1)), xy.sum() / (n * m)
    if min(n, m) < 3:
        return float(within_x + within_y - 2 * across), float("nan")
    # The distance without row i, for every i.
    without_x = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2)) + within_y - 2 * (xy.sum() - xy) / ((n - 1) * m)
    without_y = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2)) + within_x - 2 * (yx.sum() - yx) / ((m - 1) * n)
    variance = sum((len(w) - 1) * w.var(correction=0) for w in (without_x, without_y))
    return float(within_x + within_y - 2 * across), float(variance) ** 0.5


class KernelDistance(Distribution[FeatureRows]):
    """Kernel distance over the whole sets rather than subsets of them. Unbiased: sets of any sizes can be compared."""

    title_template = "Kernel distance from {} to {}"
    better: ClassVar = {"": "lower"}

    def make_store(self, dimensions: int, device: torch.device) -> FeatureRows:
        """Make an empty store of rows."""
        return FeatureRows(dimensions, device)

    def compare_sets(
        self, face_set: FaceSet, generated: FeatureRows, real: Float[Tensor, "m d"], faces: Tensor, target: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """Compute the distance and its error."""
        distance, error = compute_kernel_distance(generated.stack(), real)
        # The jackknife leaves out single rows. With several draws the edits of one face depend on each other.
        usable_error = error if self.config.draws == 1 else None
        return {"": (SetStatistic(faces, distance, usable_error), "not scaled; 0 or below: no difference measured")}


class KernelSqueezeNet(KernelDistance):
    """Kernel distance on SqueezeNet 1.1 features: not comparable with KID."""

    class Config(DistributionConfig):
        """Options of `kd_squeezenet`."""

        use: Literal["kd_squeezenet"] = "kd_squeezenet"

    backbone = "squeezenet"
    default_for: ClassVar = {"edits": 110, "samples": 20}
    headlines: ClassVar = {
        "kd_squeezenet": Headline(
            "Kernel distance", "to real faces, SqueezeNet features; not KID", comparison_place=90
        ),
    }


class KernelInception(KernelDistance):
    """Kernel Inception Distance."""

    class Config(InceptionConfig):
        """Options of `kid`."""

        use: Literal["kid"] = "kid"

    backbone = "inception"
