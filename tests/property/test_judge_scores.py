"""What a judge says of itself, held against plain counting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.evaluation.judge_scores import attribute_scores, best_threshold

# Few distinct probabilities, so that ties are common.
FACES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(label for _, label in rows) < len(rows)
)


def tensors(rows: list[tuple[int, bool]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([p / 12 for p, _ in rows]), torch.tensor([label for _, label in rows])


@given(FACES)
def test_no_threshold_is_better_than_the_best(rows: list[tuple[int, bool]]) -> None:
    probability, label = tensors(rows)

    def balanced(threshold: float) -> float:
        said = probability > threshold
        return float(said[label].float().mean() + (~said)[~label].float().mean()) / 2

    best = balanced(best_threshold(probability, label))
    assert best >= max(balanced((k + 0.5) / 12) for k in range(-1, 13)) - 1e-6


@given(FACES)
def test_average_precision_is_the_sum_over_thresholds(rows: list[tuple[int, bool]]) -> None:
    positives = sum(label for _, label in rows)
    expected, recall = 0.0, 0.0
    for cut in sorted({p for p, _ in rows}, reverse=True):
        above = [label for p, label in rows if p >= cut]
        expected += sum(above) / len(above) * (sum(above) / positives - recall)
        recall = sum(above) / positives
    assert attribute_scores(*tensors(rows), 0.5)["average_precision"] == pytest.approx(expected)


@given(FACES)
def test_scores_are_counted_per_value(rows: list[tuple[int, bool]]) -> None:
    row = attribute_scores(*tensors(rows), 0.5)
    shows = [p / 12 > 0.5 for p, label in rows if label]
    lacks = [p / 12 > 0.5 for p, label in rows if not label]
    assert row["recall"] == pytest.approx(sum(shows) / len(shows))
    assert row["specificity"] == pytest.approx(1 - sum(lacks) / len(lacks))
    assert row["balanced_accuracy"] == pytest.approx((row["recall"] + row["specificity"]) / 2)
    assert row["accuracy"] == pytest.approx((sum(shows) + len(lacks) - sum(lacks)) / len(rows))
    assert (row["faces"], row["positives"]) == (len(rows), len(shows))
