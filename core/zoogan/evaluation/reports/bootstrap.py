"""The bootstrap over faces: how far a number would differ if other faces of the same kind had been measured."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import SetStatistic, Statistic

RESAMPLES = 400
FEWEST = 20  # finite values that an interval needs


def draw_face_weights(faces: int, resamples: int, seed: int) -> Float[Tensor, "resamples faces"]:
    """Draw the number of times that each face occurs in each resample, the same for every run."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(faces, (resamples, faces), generator=generator)
    return torch.zeros(resamples, faces).scatter_add_(1, drawn, torch.ones(resamples, faces))


def resample(statistic: Statistic, weights: Float[Tensor, "resamples faces"]) -> Float[Tensor, " resamples"] | None:
    """Compute a statistic on every resample of the faces; None for a statistic without rows, or of one face alone."""
    if isinstance(statistic, SetStatistic) or statistic.count_faces() < 2:
        return None
    return torch.tensor([statistic.compute(drawn[statistic.face]) for drawn in weights], dtype=torch.float64)


def compute_interval(values: Float[Tensor, " resamples"] | None) -> tuple[float | None, float | None]:
    """Compute the central 95 % of resampled values; (None, None) with fewer than 20 finite values."""
    if values is None:
        return None, None
    values = values[values.isfinite()]
    if len(values) < FEWEST:
        return None, None
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
