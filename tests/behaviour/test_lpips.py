"""LPIPS as a study uses it: what comes back, and what seeds change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from support.set_metrics import (
    BATCHES,
    FunctionEditor,
    MeanDifference,
    NoiseSource,
    keep_image,
    make_study,
    measure_edits,
)
from zoogan.evaluation.metrics.lpips import Lpips
from zoogan.interfaces import Seed, Unavailable
from zoogan.interfaces.edits import make_face_seeds


def test_lpips_measures_cycle_and_diversity(tmp_path: Path) -> None:
    def amounts(seed: Seed) -> Tensor:
        seeds = [seed] if isinstance(seed, int) else seed
        return torch.tensor([one % 3 * 0.1 for one in seeds])

    def darker(image: Tensor, target: Tensor, seed: Seed) -> Tensor:
        return image * 0.5 + amounts(seed).view(-1, 1, 1, 1)

    source = NoiseSource()
    source.image_size = 32
    found = measure_edits(
        Lpips(Lpips.Config(draws=3), distance=MeanDifference()),
        make_study(source, tmp_path), FunctionEditor(darker), BATCHES, "A", "B",
    )  # fmt: skip
    by_name = {(m.name, m.attribute): m for m in found}
    assert set(by_name) == {
        ("lpips.kept", None), ("lpips.cycled", None), ("lpips.diversity", None),
        ("lpips.cycled", "A"), ("lpips.cycled", "B"), ("lpips.diversity", "A"), ("lpips.diversity", "B"),
    }  # fmt: skip
    values = {name: m.statistic.compute() for name, m in by_name.items()}
    image = source.read("test", range(80))["image"].float() / 127.5 - 1
    added = amounts(make_face_seeds(0, torch.arange(80))).view(-1, 1, 1, 1)
    edited = (0.5 * image + added).clamp(-1, 1)
    cycled = (0.5 * edited + added).clamp(-1, 1)
    assert values["lpips.kept", None] == pytest.approx(float((edited - image).abs().mean()), rel=0.02)
    assert values["lpips.cycled", "A"] == pytest.approx(float((cycled - image).abs().mean()), rel=0.02)
    drawn = torch.stack([amounts(make_face_seeds(seed, torch.arange(80))) for seed in range(3)])
    apart = [(drawn[i] - drawn[j]).abs().mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert values["lpips.diversity", "B"] == pytest.approx(float(sum(apart)) / 3, rel=0.02)
    assert values["lpips.cycled", None] == pytest.approx(values["lpips.cycled", "B"])
    assert by_name["lpips.kept", None].statistic.count_faces() == 80
    assert len(by_name["lpips.kept", None].statistic.face) == 80, "once for each face, not for each attribute"
    still = measure_edits(
        Lpips(Lpips.Config(), distance=MeanDifference()),
        make_study(source, tmp_path),
        FunctionEditor(keep_image),
        BATCHES,
    )
    assert {m.statistic.compute() for m in still} == {0.0}


def test_lpips_refuses_small_faces(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="32 pixels or more, these have 16"):
        Lpips(Lpips.Config(), distance=MeanDifference()).start(make_study(NoiseSource(), tmp_path))
