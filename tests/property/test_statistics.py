"""Statistics against scikit-learn and by their laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, jaccard_score

from zoogan.interfaces import Ranking, Ratio, SetStatistic

rows = st.integers(4, 40)
seeds = st.integers(0, 10_000)


def drawn(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faces, scores with ties, and labels of which both occur."""
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(0, 8, (n,), generator=generator).double() / 8
    label = (torch.rand(n, generator=generator) < 0.4).double()
    label[0], label[1] = 0.0, 1.0
    return torch.arange(n), score, label


@given(rows, seeds)
def test_ranking_statistics_equal_scikit_learn(n: int, seed: int) -> None:
    face, score, label = drawn(n, seed)
    precision = Ranking(face, score, label, "average_precision").compute()
    assert precision == pytest.approx(average_precision_score(label, score), abs=1e-9)
    best = max(f1_score(label, (score >= t).double()) for t in score.unique())
    assert Ranking(face, score, label, "best_f1").compute() == pytest.approx(best, abs=1e-9)


@given(rows, seeds)
def test_two_strata_ratio_is_balanced_accuracy(n: int, seed: int) -> None:
    face, score, label = drawn(n, seed)
    said = (score > 0.5).double()
    right = Ratio(face, (said == label).double(), torch.ones(n, dtype=torch.float64), label.long())
    assert right.compute() == pytest.approx(balanced_accuracy_score(label, said))


@given(seeds)
def test_class_strata_ratio_is_mean_iou(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    true, seen = (torch.randint(0, 4, (5, 30), generator=generator) for _ in range(2))
    parts = [
        (torch.arange(5), ((true == k) & (seen == k)).sum(1), ((true == k) | (seen == k)).sum(1), torch.full((5,), k))
        for k in range(4)
    ]
    face, both, either, stratum = (torch.cat(column) for column in zip(*parts))
    expected = jaccard_score(true.flatten(), seen.flatten(), average="macro")
    assert Ratio(face, both.double(), either.double(), stratum).compute() == pytest.approx(expected)


@given(rows, seeds)
def test_statistic_weights_equal_repeated_rows(n: int, seed: int) -> None:
    face, score, label = drawn(n, seed)
    weights = torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(seed + 1)).float()
    weights[:2] = 1
    copies = torch.repeat_interleave(torch.arange(n), weights.long())
    for kind in ("average_precision", "best_f1"):
        whole, copied = (
            Ranking(face, score, label, kind),
            Ranking(face[copies], score[copies], label[copies], kind),
        )
        assert whole.compute(weights) == pytest.approx(copied.compute(), abs=1e-9)
    ratio = Ratio(face, score, label + 1, label.long())
    same = Ratio(face[copies], score[copies], label[copies] + 1, label[copies].long())
    assert ratio.compute(weights) == pytest.approx(same.compute(), abs=1e-9)


@given(rows, seeds)
def test_statistics_ignore_row_order(n: int, seed: int) -> None:
    face, score, label = drawn(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    one = Ranking(face, score, label).compute()
    assert Ranking(face[order], score[order], label[order]).compute() == pytest.approx(one, abs=1e-12)
    ratio = Ratio(face, score, label + 1, label.long()).compute()
    shuffled = Ratio(face[order], score[order], label[order] + 1, label[order].long()).compute()
    assert shuffled == pytest.approx(ratio, abs=1e-12)


def test_empty_statistics_are_nan() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert math.isnan(Ratio(none, none.double(), none.double(), none).compute())
    assert math.isnan(Ranking(torch.arange(3), torch.rand(3).double(), torch.ones(3).double()).compute())
    assert SetStatistic(torch.arange(3), 2.5).compute(torch.ones(3)) == 2.5


def test_empty_stratum_is_ignored() -> None:
    face = torch.arange(2)
    ratio = Ratio(face, torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0, 2]))
    assert ratio.compute() == 0.5


def test_group_mean_differs_from_strata_mean() -> None:
    face, one = torch.arange(3), torch.ones(3, dtype=torch.float64)
    ratio = Ratio(face, torch.tensor([1.0, 0.0, 0.0]), one, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]))
    assert ratio.compute() == 0.5
