"""Statistics of metrics: a number with the rows behind it, so that the faces can be resampled (bootstrap)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Statistic(ABC):
    """A number and the rows that it was computed from.

    Attributes:
        arrays: Names of the fields that are stored with a report and sent between processes, row by row.
        face: Number of each row's face in its split; a face may have any number of rows.
    """

    arrays: ClassVar[tuple[str, ...]] = ("face",)
    face: Int64[Tensor, " rows"]

    @abstractmethod
    def compute(self, weights: Float[Tensor, " rows"] | None = None) -> float:
        """Compute the number.

        Args:
            weights: How often each row counts; a bootstrap draws faces, not rows. None = once.

        Returns:
            The number; nan without rows.
        """

    def count_faces(self) -> int:
        """Count the faces that the number was computed from."""
        return int(self.face.unique().numel())


@dataclass(frozen=True)
class Ratio(Statistic):
    """The mean over groups of the mean over strata of sum(numerator) / sum(denominator).

    A mean is a ratio to ones. A balanced accuracy has two strata, present and absent; mean intersection over union has
    one stratum a class; a mean over attributes has a group each. Strata whose denominators sum to 0 do not count.

    Attributes:
        face: Number of each row's face.
        numerator: Values that are summed.
        denominator: Values whose sum divides that sum.
        stratum: Stratum of each row, from 0; strata of different groups have different numbers.
        group: Group of each row; None = all rows are in one.
    """

    arrays = ("face", "numerator", "denominator", "stratum", "group")
    face: Int64[Tensor, " rows"]
    numerator: Float[Tensor, " rows"]
    denominator: Float[Tensor, " rows"]
    stratum: Int64[Tensor, " rows"]
    group: Int64[Tensor, " rows"] | None = None

    def __post_init__(self) -> None:
        if self.group is None:
            object.__setattr__(self, "group", torch.zeros_like(self.stratum))

    def compute(self, weights: Float[Tensor, " rows"] | None = None) -> float:
        """Compute the ratio of sums of each stratum, and average them."""
        if not len(self.face):
            return float("nan")
        weight = torch.ones(len(self.face), dtype=torch.float64) if weights is None else weights.double()
        sums = torch.zeros(2, int(self.stratum.max()) + 1, dtype=torch.float64)
        sums[0].index_add_(0, self.stratum, self.numerator.double() * weight)
        sums[1].index_add_(0, self.stratum, self.denominator.double() * weight)
        used = sums[1] > 0
        if not bool(used.any()):
            return float("nan")
        assert self.group is not None
        groups = torch.zeros(sums.shape[1], dtype=torch.int64).index_copy_(0, self.stratum, self.group)[used]
        ratios = sums[0][used] / sums[1][used]
        return float(torch.stack([ratios[groups == k].mean() for k in groups.unique()]).mean())

    @classmethod
    def from_values(cls, face: Int64[Tensor, " rows"], values: Float[Tensor, " rows"]) -> Ratio:
        """Make the plain mean of one value a row."""
        return cls(face, values.double(), torch.ones(len(face), dtype=torch.float64), torch.zeros_like(face))


@dataclass(frozen=True)
class SetStatistic(Statistic):
    """A number of a whole set that is not a mean over faces, such as a Frechet distance.

    Attributes:
        face: Numbers of the faces of the set.
        number: The number.
        error: Its standard error; None = unknown.
        lower_bound: The least value that it can have; None = unbounded.
    """

    face: Int64[Tensor, " rows"]
    number: float
    error: float | None = None
    lower_bound: float | None = None

    def compute(self, weights: Float[Tensor, " rows"] | None = None) -> float:
        """Return the number; weights do not change it."""
        return self.number


@dataclass(frozen=True)
class Ranking(Statistic):
    """How well scores rank rows with label 1 before the others.

    Average precision: sum over distinct scores of (recall gained) * precision there. Best F1: over all thresholds.

    Attributes:
        face: Number of each row's face.
        score: Score of each row; high = probably label 1.
        label: Label of each row, 0 or 1.
        kind: `average_precision` or `best_f1`.
    """

    arrays = ("face", "score", "label")
    face: Int64[Tensor, " rows"]
    score: Float[Tensor, " rows"]
    label: Float[Tensor, " rows"]
    kind: Literal["average_precision", "best_f1"] = "average_precision"

    def compute(self, weights: Float[Tensor, " rows"] | None = None) -> float:
        """Compute the number; nan unless both labels occur."""
        weight = torch.ones(len(self.face), dtype=torch.float64) if weights is None else weights.double()
        order = self.score.argsort(descending=True, stable=True)
        score, positive = self.score[order], (self.label[order] > 0.5).double() * weight[order]
        hits, taken = positive.cumsum(0), weight[order].cumsum(0)
        if not len(order) or not 0 < float(hits[-1]) < float(taken[-1]):
            return float("nan")
        last = torch.ones(len(score), dtype=torch.bool)  # equal scores are taken together
        last[:-1] = score[:-1] != score[1:]
        hits, taken = hits[last], taken[last]
        if self.kind == "best_f1":
            return float((2 * hits / (taken + hits[-1])).max())
        gained = torch.diff(hits, prepend=hits.new_zeros(1)) / hits[-1]
        return float((gained * hits / taken.clamp(min=1e-12)).sum())
