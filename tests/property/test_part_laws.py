"""Laws of the metrics of parts, whatever the faces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.part_metrics import PARTS, ColourJudge, make_painted_editor, make_rectangle_painter
from support.set_metrics import NoiseSource, make_study
from zoogan.evaluation.metrics.mask_agreement import MaskAgreement
from zoogan.evaluation.metrics.part_leak import PartLeak
from zoogan.interfaces import Metric, Samples

SEEDS = st.integers(0, 10_000)
FACES = 8


def told(metric: Metric, batches: list[list[int]], seed: int, leak: float = 0.0) -> dict[tuple[str, str | None], float]:
    study = make_study(
        NoiseSource(), Path("unused"), faces=FACES, judge=ColourJudge(PARTS[::-1]), kind="samples", seed=seed
    )
    metric.start(study)
    for faces in batches:
        metric.update_samples(
            Samples(make_painted_editor(make_rectangle_painter(leak)), torch.tensor(faces), seed=seed)
        )
    return {(m.name, m.attribute): m.statistic.compute() for m in metric.compute()}


@settings(max_examples=8)
@given(SEEDS)
def test_disjoint_parts_have_no_leak_and_full_agreement(seed: int) -> None:
    everyone = [list(range(FACES))]
    leaks = told(PartLeak(), everyone, seed)
    assert all(leaks[f"part_leak.{kind}", None] == 0 for kind in ("shape", "texture", "both", "relabelled"))
    assert all(leaks[f"part_leak.others.{kind}", None] == 1 for kind in ("shape", "texture", "both"))
    assert told(MaskAgreement(), everyone, seed)["mask_agreement.miou", None] == 1


@settings(max_examples=8)
@given(SEEDS, st.floats(0.05, 0.5))
def test_part_leak_equals_its_share_of_change(seed: int, leak: float) -> None:
    leaks = told(PartLeak(), [list(range(FACES))], seed, leak)
    assert leaks["part_leak.texture", None] == pytest.approx(leak, rel=1e-3)


@pytest.mark.slow
@settings(max_examples=6)
@given(SEEDS, st.permutations(range(FACES)), st.integers(1, FACES), st.integers(1, FACES))
def test_part_metrics_ignore_order_and_batching(seed: int, order: list[int], size: int, looked_at: int) -> None:
    batches = [list(order[k : k + size]) for k in range(0, FACES, size)]
    for metric in (PartLeak(PartLeak.Config(faces=looked_at)), MaskAgreement()):
        whole = told(metric, [list(range(FACES))], seed, 0.3)
        assert told(metric, batches, seed, 0.3) == pytest.approx(whole, rel=1e-5, nan_ok=True)
