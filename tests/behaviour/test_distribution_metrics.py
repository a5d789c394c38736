"""The set metrics as a study uses them: protocol, cache, processes, and what they say when they cannot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.set_metrics import (
    BATCHES,
    FunctionEditor,
    MeanDifference,
    NoiseSource,
    RandomFilters,
    keep_image,
    make_flips,
    make_study,
    measure_edits,
    run_in_two_threads,
)
from zoogan.evaluation.metrics.frechet import FrechetSqueezeNet, Moments, compute_frechet_distance
from zoogan.evaluation.metrics.kernel import KernelSqueezeNet
from zoogan.evaluation.metrics.lpips import Lpips
from zoogan.evaluation.metrics.manifold import PrecisionRecallSqueezeNet
from zoogan.evaluation.metrics.real_faces import choose_matching_faces
from zoogan.interfaces import Metric, Source, Unavailable, World
from zoogan.plugins.host import get_zoo

SETS: dict[str, Any] = {
    "fd_squeezenet": (FrechetSqueezeNet, FrechetSqueezeNet.Config),
    "kd_squeezenet": (KernelSqueezeNet, KernelSqueezeNet.Config),
    "prdc_squeezenet": (PrecisionRecallSqueezeNet, PrecisionRecallSqueezeNet.Config),
}


def built(name: str, **options: Any) -> Any:
    metric, config = SETS[name]
    return metric(config(**options), features=RandomFilters())


# ---- the protocol ----


def test_set_metrics_are_registered_and_built() -> None:
    registry = get_zoo().registry
    for name in (*SETS, "fid", "kid", "lpips"):
        metric = registry.build("metric", registry.components["metric", name].config())
        assert isinstance(metric, Metric) and metric.title


def test_edits_are_compared_with_matching_train_faces(tmp_path: Path) -> None:
    source, network = NoiseSource(), RandomFilters()
    (measure,) = measure_edits(
        built("fd_squeezenet"), make_study(source, tmp_path), FunctionEditor(keep_image), BATCHES
    )
    test, train = (source.read(split, range(source.count_faces(split))) for split in ("test", "train"))
    chosen = choose_matching_faces(
        source, "A", test["attributes"][:, 0] < 0.5, seed=0
    )  # a flip wants what the face lacks
    expected = compute_frechet_distance(
        Moments.from_features(network(test["image"].float() / 127.5 - 1)),
        Moments.from_features(network(train["image"][list(chosen.indices)].float() / 127.5 - 1)),
    )
    assert (measure.name, measure.attribute, measure.better) == ("fd_squeezenet", "A", "lower")
    assert measure.statistic.compute() == pytest.approx(expected, rel=1e-6)
    assert measure.statistic.count_faces() == 80
    assert (measure.backbone, measure.weights, measure.resizer) == ("filters", "0" * 64, "none")
    assert measure.note.startswith(f"80 edits, {len(chosen.indices)} train faces (set ")


def test_floor_is_measured_if_split_allows(tmp_path: Path) -> None:
    notes = [
        measure_edits(
            built("fd_squeezenet", floor=floor),
            make_study(NoiseSource(train), tmp_path),
            FunctionEditor(keep_image),
            BATCHES,
        )[0].note
        for train, floor in ((900, True), (900, False), (120, True))
    ]
    assert ["other real faces" in note for note in notes] == [True, False, False]


@pytest.mark.parametrize("name", SETS)
def test_set_metrics_ignore_batching(name: str, tmp_path: Path) -> None:
    study, split = make_study(NoiseSource(), tmp_path), [range(60, 80), range(7), range(7, 60)]
    whole, parts = (
        measure_edits(built(name), study, FunctionEditor(keep_image), batches) for batches in (BATCHES, split)
    )
    assert [m.name for m in whole] == [m.name for m in parts]
    for one, two in zip(whole, parts):
        assert one.statistic.compute() == pytest.approx(two.statistic.compute(), rel=1e-6), one.name


def test_better_editor_has_smaller_distance(tmp_path: Path) -> None:
    """A makes faces brighter: an editor that knows that beats one that does nothing, and any beats grey."""

    def right(image: Tensor, target: Tensor, seed: int) -> Tensor:
        bright = image.mean((1, 2, 3), keepdim=True) > 0
        wish = target[:, :1, None, None] > 0.5
        return (image + 0.6 * (wish.float() - bright.float())).clamp(-1, 1)

    editors = [
        FunctionEditor(right),
        FunctionEditor(keep_image),
        FunctionEditor(lambda image, target, seed: torch.zeros_like(image)),
    ]
    for name, end in (("fd_squeezenet", ""), ("kd_squeezenet", "")):
        values = []
        for editor in editors:
            found = measure_edits(built(name), make_study(NoiseSource(900), tmp_path), editor, BATCHES)
            values.append(next(m.statistic.compute() for m in found if m.name == name + end))
        assert values == sorted(values), name


def test_set_metrics_share_features_of_edits(tmp_path: Path) -> None:
    calls = []

    class Counted(RandomFilters):
        def extract(self, image: Tensor) -> Tensor:
            calls.append(len(image))
            return super().extract(image)

    source, network = NoiseSource(), Counted()
    metrics = [metric(config(), features=network) for metric, config in SETS.values()]
    edits = make_flips(source, FunctionEditor(keep_image), "A", range(10))
    for metric in metrics:
        metric.start(make_study(source, tmp_path))
        metric.update(edits)
    assert calls == [10]


# ---- the cache ----


def test_real_features_are_computed_once(tmp_path: Path) -> None:
    def run(source: NoiseSource, **options: Any) -> tuple[float, str]:
        (measure,) = measure_edits(
            built("fd_squeezenet"), make_study(source, tmp_path, **options), FunctionEditor(keep_image), BATCHES
        )
        return measure.statistic.compute(), measure.note

    first, second, other = NoiseSource(), NoiseSource(), NoiseSource()
    assert run(first) == run(second), "also the note, with its hash of the real pictures"
    assert first.read_faces > 80
    assert second.read_faces == 80, "only the faces that are edited"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    measure_edits(built("kd_squeezenet"), make_study(second, tmp_path), FunctionEditor(keep_image), BATCHES)
    assert second.read_faces == 160, "another metric looks at the same real faces"
    assert run(other, seed=1) != run(first)
    assert other.read_faces > 80, "another seed means other faces"


def test_damaged_feature_cache_is_recomputed(tmp_path: Path) -> None:
    (before,) = measure_edits(
        built("kd_squeezenet"), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), BATCHES
    )
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    (after,) = measure_edits(
        built("kd_squeezenet"), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), BATCHES
    )
    assert before.statistic.compute() == after.statistic.compute()


def test_unhashable_sources_are_not_cached(tmp_path: Path) -> None:
    class Nameless(NoiseSource):
        compute_fingerprint = Source.compute_fingerprint  # it has neither files nor a config to be told by

    for source in (Nameless(), Nameless()):
        measure_edits(built("fd_squeezenet"), make_study(source, tmp_path), FunctionEditor(keep_image), BATCHES)
        assert source.read_faces > 80, "computed anew"
    assert not list(tmp_path.rglob("*.safetensors"))


# ---- too few ----


@pytest.mark.parametrize("name", SETS)
def test_too_few_images_give_no_number(name: str, tmp_path: Path) -> None:
    for source in (NoiseSource(train=49), NoiseSource(test=49)):
        with pytest.raises(Unavailable, match=rf"too few images: 49 t\w+ faces, 50 needed \({name}.minimum\)"):
            built(name).start(make_study(source, tmp_path))
    for found in measure_edits(
        built(name), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), [range(12)]
    ):
        assert math.isnan(found.statistic.compute()) and found.note.startswith(
            "12 edits, 12 train faces; too few images"
        )
    few = NoiseSource(share=0.01)  # hardly a face has the attribute, and nearly every edit wants it
    assert all(
        "too few images" in m.note
        for m in measure_edits(built(name), make_study(few, tmp_path), FunctionEditor(keep_image), BATCHES)
    )
    small = {"minimum": 2}
    assert measure_edits(
        built(name, **small), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), [range(4)]
    )


@pytest.mark.parametrize("name", SETS)
def test_unedited_attributes_have_no_number(name: str, tmp_path: Path) -> None:
    assert measure_edits(built(name), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), []) == []
    found = measure_edits(built(name), make_study(NoiseSource(), tmp_path), FunctionEditor(keep_image), BATCHES, "B")
    assert {m.attribute for m in found} == {"B"}


# ---- processes ----


@pytest.mark.parametrize("name", [*SETS, "lpips"])
def test_two_processes_measure_like_one(name: str, tmp_path: Path) -> None:
    def build() -> Any:
        return Lpips(Lpips.Config(), distance=MeanDifference()) if name == "lpips" else built(name)

    source = NoiseSource()
    source.image_size = 32 if name == "lpips" else 16
    alone = measure_edits(build(), make_study(source, tmp_path / "one"), FunctionEditor(keep_image), BATCHES)

    def work(rank: int, world: World) -> Any:
        study = make_study(source, tmp_path / "two", world=world)
        return measure_edits(build(), study, FunctionEditor(keep_image), [range(rank, 80, 2)])

    found = run_in_two_threads(work)
    for rank in range(2):
        assert [m.name for m in found[rank]] == [m.name for m in alone]
        for one, two in zip(alone, found[rank]):
            assert one.statistic.compute() == pytest.approx(two.statistic.compute(), rel=1e-9, abs=1e-12)
            assert sorted(one.statistic.face.tolist()) == sorted(two.statistic.face.tolist())
