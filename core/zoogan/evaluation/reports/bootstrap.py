"""The bootstrap over faces: how far a number would be elsewhere, had other faces of the same kind been measured."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import Statistic, Whole

RESAMPLES = 400


def face_weights(faces: int, resamples: int, seed: int) -> Float[Tensor, "resamples faces"]:
    """How often each face is drawn in each resample: `faces` draws with replacement. The same for every run."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(faces, (resamples, faces), generator=generator)
    return torch.zeros(resamples, faces).scatter_add_(1, drawn, torch.ones(resamples, faces))


def resampled(statistic: Statistic, weights: Float[Tensor, "resamples faces"]) -> Float[Tensor, " resamples"] | None:
    """The statistic on every resample of the faces; None for one that keeps no rows."""
    if isinstance(statistic, Whole):
        return None
    return torch.tensor([statistic.value(drawn[statistic.face]) for drawn in weights], dtype=torch.float64)


def interval(values: Float[Tensor, " resamples"] | None) -> tuple[float | None, float | None]:
    """The central 95 % of resampled values; (None, None) without enough of them."""
    if values is None:
        return None, None
    values = values[values.isfinite()]
    if len(values) < 20:
        return None, None
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
