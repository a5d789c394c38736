"""What a judge says of itself, held against numbers by hand and plain counting."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoogan import ConfigError
from zoogan.judges.network import BACKBONE, JudgeNetwork, plan_network
from zoogan.judges.scores import choose_threshold, score_attribute, score_each_part, score_parts, score_pose
from zoogan.judges.training import compute_part_weights
from zoogan.testing.tensors import make_segmentation

# Few distinct probabilities, so that ties are common.
FACES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(label for _, label in rows) < len(rows)
)


def tensors(rows: list[tuple[int, bool]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([p / 12 for p, _ in rows]), torch.tensor([label for _, label in rows])


def test_judge_scores_equal_hand_computation() -> None:
    probability = torch.tensor([0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.1, 0.05])
    label = torch.tensor([True, True, True, False, False, False, False, False])
    row = score_attribute(probability, label, 0.5)
    assert row["recall"] == pytest.approx(2 / 3) and row["specificity"] == pytest.approx(4 / 5)
    assert row["balanced_accuracy"] == pytest.approx(11 / 15) and row["accuracy"] == pytest.approx(6 / 8)
    assert row["error"] == pytest.approx(math.sqrt(2 / 9 / 3 + 4 / 25 / 5) / 2)
    assert row["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_calibration_finds_best_threshold_in_gap_middle() -> None:
    label = torch.tensor([False, False, False, True, True])
    assert choose_threshold(torch.tensor([0.01, 0.02, 0.04, 0.08, 0.2]), label) == pytest.approx(0.06)
    # One mistake is inevitable: a rare value's mistake is the dearer one.
    assert choose_threshold(torch.tensor([0.1, 0.2, 0.6, 0.5, 0.9]), label) == pytest.approx(0.35)
    # Saturated probabilities still have a side on either side.
    assert choose_threshold(torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]), label) == pytest.approx(0.5)


def test_pose_and_part_scores_equal_hand_computation() -> None:
    true = torch.tensor([[0.0, 0.0, 0.0], [10.0, -2.0, 4.0], [20.0, 2.0, 8.0]])
    row = score_pose(true + torch.tensor([1.0, -2.0, 3.0]), true)
    assert (row["yaw"], row["pitch"], row["roll"]) == (1, 2, 3)
    assert row["yaw_of_median"] == pytest.approx(20 / 3)
    counts = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    scores = score_parts(counts)
    assert scores["mean_iou"] == pytest.approx((6 / 9 + 3 / 6) / 2) and scores["classes"] == 2
    assert scores["pixel_accuracy"] == pytest.approx(9 / 12)
    table = score_each_part(counts, ("sky", "face", "hat"))
    assert table["sky"] == pytest.approx({"iou": 6 / 9, "share": 8 / 12, "recall": 6 / 8, "precision": 6 / 7})
    assert table["face"] == pytest.approx({"iou": 3 / 6, "share": 4 / 12, "recall": 3 / 4, "precision": 3 / 5})
    assert set(table) == {"sky", "face"}, "no hat was there"


@given(FACES)
def test_calibrated_threshold_is_optimal(rows: list[tuple[int, bool]]) -> None:
    probability, label = tensors(rows)

    def balanced(threshold: float) -> float:
        said = probability > threshold
        return float(said[label].float().mean() + (~said)[~label].float().mean()) / 2

    best = balanced(choose_threshold(probability, label))
    assert best >= max(balanced((k + 0.5) / 12) for k in range(-1, 13)) - 1e-6


@given(FACES)
def test_average_precision_equals_threshold_sum(rows: list[tuple[int, bool]]) -> None:
    positives = sum(label for _, label in rows)
    expected, recall = 0.0, 0.0
    for cut in sorted({p for p, _ in rows}, reverse=True):
        above = [label for p, label in rows if p >= cut]
        expected += sum(above) / len(above) * (sum(above) / positives - recall)
        recall = sum(above) / positives
    assert score_attribute(*tensors(rows), 0.5)["average_precision"] == pytest.approx(expected)


@given(FACES)
def test_scores_are_counted_per_label_value(rows: list[tuple[int, bool]]) -> None:
    row = score_attribute(*tensors(rows), 0.5)
    shows = [p / 12 > 0.5 for p, label in rows if label]
    lacks = [p / 12 > 0.5 for p, label in rows if not label]
    assert row["recall"] == pytest.approx(sum(shows) / len(shows))
    assert row["specificity"] == pytest.approx(1 - sum(lacks) / len(lacks))
    assert row["balanced_accuracy"] == pytest.approx((row["recall"] + row["specificity"]) / 2)
    assert row["accuracy"] == pytest.approx((sum(shows) + len(lacks) - sum(lacks)) / len(rows))
    assert (row["faces"], row["positives"]) == (len(rows), len(shows))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), classes=st.integers(1, 6), balance=st.sampled_from([0.25, 0.5, 1.0]))
def test_part_weights_have_a_mean_of_1_over_the_pixels(seed: int, classes: int, balance: float) -> None:
    maps = make_segmentation(seed, 4, 16, classes)
    weights = compute_part_weights(maps, classes, balance)
    assert weights.shape == (classes,)
    shown = weights[maps.long()]
    torch.testing.assert_close(shown.mean(), torch.tensor(1.0))
    shares = torch.bincount(maps.flatten().long(), minlength=classes) / maps.numel()
    totals = (weights * shares)[shares > 0]
    if balance == 1.0:
        torch.testing.assert_close(totals, totals.mean().expand(len(totals)))
    order = shares.argsort()
    assert (weights[order].diff() <= 1e-6).all(), "a rarer part never weighs less"


def test_parts_as_they_come_weigh_alike() -> None:
    assert compute_part_weights(make_segmentation(0, 4, 16, 3), 3, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_fine_maps_have_the_size_of_the_faces() -> None:
    plain, fine = (plan_network(BACKBONE, 32, 2, classes=3, fine=fine) for fine in (False, True))
    assert (plain.zoom, fine.zoom) == (1, 2)
    maps = [JudgeNetwork(build).compute_maps(torch.zeros(1, 3, 32, 32))[0] for build in (plain, fine)]
    assert [one.shape[2] for one in maps] == [16, 32]
    assert maps[1].shape[1] * 2 == maps[0].shape[1]


@pytest.mark.parametrize("width", [8, 16, 32])
def test_width_is_that_of_the_first_maps(width: int) -> None:
    network = JudgeNetwork(plan_network(BACKBONE, 32, 2, classes=3, width=width))
    assert [level.shape[1] for level in network.compute_maps(torch.zeros(1, 3, 32, 32))][-3:] == [
        2 * width, 4 * width, 8 * width,
    ]  # fmt: skip
    assert plan_network(BACKBONE, 32, 2, width=32) == plan_network(BACKBONE, 32, 2)
    assert plan_network(BACKBONE, 32, 2, fine=True, width=16) == plan_network(BACKBONE, 32, 2, fine=True)


def test_only_the_default_network_has_a_width() -> None:
    with pytest.raises(ConfigError, match="width 16: only the default network"):
        plan_network("resnet18", 32, 2, width=16)
