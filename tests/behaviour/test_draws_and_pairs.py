"""The set metrics on several edits of a face, and on each ordered pair of domains, as StarGAN v2 is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.set_metrics import (
    SIDE,
    FunctionEditor,
    NoiseSource,
    RandomFilters,
    keep_image,
    make_flips,
    make_study,
    measure_edits,
    run_in_two_threads,
)
from zoogan.evaluation.metric_runner import run_metrics
from zoogan.evaluation.metrics.frechet import FrechetSqueezeNet, Moments, compute_frechet_distance
from zoogan.evaluation.metrics.kernel import KernelSqueezeNet
from zoogan.evaluation.metrics.manifold import PrecisionRecallSqueezeNet
from zoogan.evaluation.metrics.real_faces import choose_any_faces, choose_matching_faces
from zoogan.interfaces import Metric, Study, Unavailable, World
from zoogan.pictures.photo import normalize_image

BATCHES = [range(50), range(50, 80)]
NAMES = ("A", "B", "C")
METRICS: dict[str, tuple[Any, Any]] = {
    "fd_squeezenet": (FrechetSqueezeNet, FrechetSqueezeNet.Config),
    "kd_squeezenet": (KernelSqueezeNet, KernelSqueezeNet.Config),
    "prdc_squeezenet": (PrecisionRecallSqueezeNet, PrecisionRecallSqueezeNet.Config),
}


def built(name: str, **options: Any) -> Metric:
    metric, config = METRICS[name]
    made: Metric = metric(config(minimum=2, **options), features=RandomFilters())
    return made


class Kinds(NoiseSource):
    """Faces of three domains, of which each shows one: the later, the brighter."""

    attributes, exclusive = NAMES, (NAMES,)

    def draw_labels(self, split: str) -> Tensor:
        return torch.eye(3)[torch.arange(self.sizes[split]) % 3]

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        read = super().read(split, indices)
        domain = read["attributes"].argmax(1)[:, None, None, None]
        return read | {"image": (read["image"].float() * (0.4 + 0.3 * domain)).to(torch.uint8)}


def speckled(image: Tensor, target: Tensor, seed: Any) -> Tensor:
    """Another pattern for every seed."""
    patterns = [torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(one)) for one in seed]
    return (image + 0.3 * torch.stack(patterns)).clamp(-1, 1)


class Translator(FunctionEditor):
    """Edits between the domains of `Kinds`."""

    attributes = NAMES


def found_by(metric: Metric, study: Study) -> dict[str, Any]:
    """The measures of a metric on all edits between three domains, by name."""
    found = run_metrics(Translator(speckled), study, {"it": metric}, NAMES, strict=True)
    assert all(measure.attribute is None for _, measure in found.measures)
    return {measure.name: measure for _, measure in found.measures}


# ---- several edits of a face ----


def test_draws_add_edits_and_real_faces(tmp_path: Path) -> None:
    source, network, editor = NoiseSource(train=900), RandomFilters(), FunctionEditor(speckled)
    (measure,) = measure_edits(built("fd_squeezenet", draws=3), make_study(source, tmp_path), editor, BATCHES)
    edits = make_flips(source, editor, "A", range(80))
    shown = torch.cat([edits.edited_image, edits.edit_with_seed(1), edits.edit_with_seed(2)])
    chosen = choose_matching_faces(source, "A", (edits.target_value > 0.5).repeat(3), seed=0).indices
    real = normalize_image(source.read("train", chosen)["image"])
    expected = compute_frechet_distance(Moments.from_features(network(shown)), Moments.from_features(network(real)))
    assert measure.statistic.compute() == pytest.approx(expected, rel=1e-6)
    assert measure.statistic.count_faces() == 80 and len(chosen) == 240
    assert measure.note.startswith("240 edits (3 of a face), 240 train faces (set ")


def test_draws_are_computed_once_for_all_metrics(tmp_path: Path) -> None:
    calls = []

    class Counted(RandomFilters):
        def extract(self, image: Tensor) -> Tensor:
            calls.append(len(image))
            return super().extract(image)

    network, edits = Counted(), make_flips(NoiseSource(), FunctionEditor(speckled), "A", range(10))
    for draws in (1, 2, 3, 2):
        metric = FrechetSqueezeNet(FrechetSqueezeNet.Config(draws=draws), features=network)
        metric.start(make_study(NoiseSource(), tmp_path))
        metric.update(edits)
    assert calls == [10, 10, 10]


def test_key_records_draws_and_pairs() -> None:
    def options(**given: Any) -> set[str]:
        config = PrecisionRecallSqueezeNet.Config(**given)
        return set(config.model_dump(exclude={"use", *config.immaterial}))

    assert options() == options(minimum=9) == {"k"}
    assert options(draws=10) == {"k", "draws"} and options(pairs=True) == {"k", "pairs"}


def test_dependent_draws_have_no_error_estimate(tmp_path: Path) -> None:
    for draws, known in ((1, True), (2, False)):
        study = make_study(NoiseSource(), tmp_path)
        (measure,) = measure_edits(built("kd_squeezenet", draws=draws), study, FunctionEditor(speckled), BATCHES)
        assert (measure.statistic.error is not None) is known


# ---- pairs of domains ----


def test_pair_mean_equals_separate_sets(tmp_path: Path) -> None:
    source, network = Kinds(), RandomFilters()
    study = make_study(source, tmp_path)
    measure = found_by(built("fd_squeezenet", pairs=True, draws=2), study)["fd_squeezenet"]
    edits = {name: make_flips(source, Translator(speckled), name, range(80)) for name in NAMES}
    expected = []
    for own, target in permutations(range(3), 2):
        rows = (edits[NAMES[target]].own.argmax(1) == own).repeat(2)
        shown = torch.cat([edits[NAMES[target]].edited_image, edits[NAMES[target]].edit_with_seed(1)])[rows]
        chosen = choose_any_faces(source, int(rows.sum()), 0, domain=target).indices
        assert len(chosen) == 40 and {k % 3 for k in chosen} == {target}, "all that the domain has"
        real = normalize_image(source.read("train", chosen)["image"])
        expected.append(
            compute_frechet_distance(Moments.from_features(network(shown)), Moments.from_features(network(real)))
        )
    assert len(set(expected)) == 6
    assert measure.statistic.compute() == pytest.approx(sum(expected) / 6, rel=1e-5)
    assert measure.statistic.count_faces() == 80
    assert measure.note.startswith(f"mean over 6 pairs: A to B {expected[0]:.4g} (27 faces); A to C ")
    assert "54 edits (2 of a face), 40 train faces" in measure.note


def test_single_attribute_makes_two_pairs(tmp_path: Path) -> None:
    class Plain(NoiseSource):
        attributes = ("A",)

        def draw_labels(self, split: str) -> Tensor:
            return super().draw_labels(split)[:, :1]

    class Flip(FunctionEditor):
        attributes = ("A",)

    metric = built("prdc_squeezenet", pairs=True)
    found = run_metrics(Flip(keep_image), make_study(Plain(), tmp_path), {"it": metric}, ("A",), strict=True).measures
    assert [measure.name.partition(".")[2] for _, measure in found] == ["precision", "recall", "density", "coverage"]
    for _, measure in found:
        assert "mean over 2 pairs: no_A to A " in measure.note and "; A to no_A " in measure.note


def test_reference_faces_differ_within_domain() -> None:
    source = Kinds()
    some, others = (choose_any_faces(source, 15, 3, domain=1, others=flag) for flag in (False, True))
    assert len(some.indices) == len(others.indices) == 15 and not set(some.indices) & set(others.indices)
    assert some != choose_any_faces(source, 15, 4, domain=1)
    assert not choose_any_faces(source, 25, 3, domain=1, others=True).indices


# ---- processes, and what cannot be ----


@pytest.mark.parametrize("name", METRICS)
def test_two_processes_measure_like_one(name: str, tmp_path: Path) -> None:
    options = {"pairs": True, "draws": 2}
    alone = found_by(built(name, **options), make_study(Kinds(), tmp_path / "one"))

    def work(rank: int, world: World) -> dict[str, Any]:
        return found_by(built(name, **options), make_study(Kinds(), tmp_path / "two", world=world))

    for found in run_in_two_threads(work):
        for key, measure in alone.items():
            assert found[key].statistic.compute() == pytest.approx(measure.statistic.compute(), rel=1e-6)
            assert found[key].note == measure.note and found[key].reference == measure.reference


def test_unmeasurable_pairs_are_reported(tmp_path: Path) -> None:
    study = make_study(NoiseSource(), tmp_path)
    with pytest.raises(Unavailable, match=r"fd_squeezenet.draws=2: these edits are the same with every seed: leave it"):
        measure_edits(built("fd_squeezenet", draws=2), study, FunctionEditor(keep_image), BATCHES)
    assert measure_edits(built("fd_squeezenet", draws=2), study, FunctionEditor(keep_image), []) == []
    with pytest.raises(Unavailable, match=r"pairs needs two domains or more.*; these faces have A, B: leave it out"):
        built("fd_squeezenet", pairs=True).start(study)
    for option in ({"draws": 2}, {"pairs": True}):
        with pytest.raises(Unavailable, match=f"{next(iter(option))} applies to edits, and these are samples"):
            built("fd_squeezenet", **option).start(replace(study, kind="samples"))
