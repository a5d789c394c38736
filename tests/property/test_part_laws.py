"""Laws of the metrics of parts, whatever the faces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.part_metrics import PARTS, Marked, maker, rectangles
from support.set_metrics import Noise, study_of
from zoogan.evaluation.metrics.mask_agreement import MaskAgreement
from zoogan.evaluation.metrics.part_leak import PartLeak
from zoogan.interfaces import Metric, Samples

SEEDS = st.integers(0, 10_000)
FACES = 8


def told(metric: Metric, batches: list[list[int]], seed: int, leak: float = 0.0) -> dict[tuple[str, str | None], float]:
    study = study_of(Noise(), Path("unused"), faces=FACES, judge=Marked(PARTS[::-1]), kind="samples", seed=seed)
    metric.start(study)
    for faces in batches:
        metric.update_samples(Samples(maker(rectangles(leak)), torch.tensor(faces), seed=seed))
    return {(m.name, m.attribute): m.statistic.compute() for m in metric.compute()}


@settings(max_examples=8)
@given(SEEDS)
def test_parts_that_are_apart_leak_nothing_and_masks_that_are_right_agree(seed: int) -> None:
    everyone = [list(range(FACES))]
    leaks = told(PartLeak(), everyone, seed)
    assert all(leaks[f"part_leak.{kind}", None] == 0 for kind in ("shape", "texture", "both", "relabelled"))
    assert all(leaks[f"part_leak.others.{kind}", None] == 1 for kind in ("shape", "texture", "both"))
    assert told(MaskAgreement(), everyone, seed)["mask_agreement.miou", None] == 1


@settings(max_examples=8)
@given(SEEDS, st.floats(0.05, 0.5))
def test_a_leak_is_its_share_of_the_change(seed: int, leak: float) -> None:
    leaks = told(PartLeak(), [list(range(FACES))], seed, leak)
    assert leaks["part_leak.texture", None] == pytest.approx(leak, rel=1e-3)


@settings(max_examples=6)
@given(SEEDS, st.permutations(range(FACES)), st.integers(1, FACES), st.integers(1, FACES))
def test_neither_order_nor_batches_show(seed: int, order: list[int], size: int, looked_at: int) -> None:
    batches = [list(order[k : k + size]) for k in range(0, FACES, size)]
    for metric in (PartLeak(PartLeak.Config(faces=looked_at)), MaskAgreement()):
        whole = told(metric, [list(range(FACES))], seed, 0.3)
        assert told(metric, batches, seed, 0.3) == pytest.approx(whole, rel=1e-5, nan_ok=True)
