"""Kernel distance: the unbiased squared maximum mean discrepancy under a cubic kernel (KID, Binkowski et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from zoogan.evaluation.metrics.distribution import Better, Distribution, Rows, Task
from zoogan.interfaces.statistic import Statistic, Whole

BLOCK = 512  # rows of the kernel matrix that are held at once


def cubic(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """(x.y / d + 1)^3."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_sums(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, " n"]:
    """For each x the sum of its kernel with every y, without the whole matrix in memory."""
    return torch.cat([cubic(part, y).sum(1) for part in x.split(BLOCK)])


def kernel_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> tuple[float, float]:
    """The distance and its standard error by the jackknife; 0 in expectation for two samples of one distribution.

    Mean of k(x, x') over pairs of one set, the same for the other, minus twice the mean over pairs of both. A sample
    may come out below 0. nan with fewer than two rows, the error with fewer than three.
    """
    x, y = first.double(), second.double()
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return float("nan"), float("nan")
    xx = kernel_sums(x, x) - (x.square().mean(1) + 1) ** 3
    yy = kernel_sums(y, y) - (y.square().mean(1) + 1) ** 3
    xy, yx = kernel_sums(x, y), kernel_sums(y, x)
    within_x, within_y, across = xx.sum() / (n * (n - 1)), yy.sum() / (m * (m - 1)), xy.sum() / (n * m)
    if min(n, m) < 3:
        return float(within_x + within_y - 2 * across), float("nan")
    # The distance without row i, for every i.
    without_x = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2)) + within_y - 2 * (xy.sum() - xy) / ((n - 1) * m)
    without_y = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2)) + within_x - 2 * (yx.sum() - yx) / ((m - 1) * n)
    variance = sum((len(w) - 1) * w.var(correction=0) for w in (without_x, without_y))
    return float(within_x + within_y - 2 * across), float(variance) ** 0.5


class KernelDistance(Distribution[Rows]):
    """Role `metric`: `kd_squeezenet` and `kid`. Unbiased, so that numbers of different sets can be compared."""

    titled = "Kernel distance from {} to {}"

    def keep(self, dimensions: int, device: torch.device) -> Rows:
        """No rows yet."""
        return Rows(dimensions, device)

    def ends(self) -> Mapping[str, Better]:
        """One number."""
        return {"": "lower"}

    def compare(
        self, task: Task, generated: Rows, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The distance and its error."""
        distance, error = kernel_distance(generated.all(), real)
        known = (
            error if self.config.draws == 1 else None
        )  # the jackknife leaves out rows, not faces with all their edits
        return {"": (Whole(faces, distance, known), "not scaled; 0 or below is no difference seen")}
