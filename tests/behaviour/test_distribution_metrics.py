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
    Difference,
    Filters,
    Lens,
    Noise,
    edits_of,
    in_two_processes,
    keep,
    measured,
    study_of,
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
    return metric(config(**options), features=Filters())


# ---- the protocol ----


def test_all_are_registered_and_built_from_their_configs() -> None:
    registry = get_zoo().registry
    for name in (*SETS, "fid", "kid", "lpips"):
        metric = registry.build("metric", registry.components["metric", name].config())
        assert isinstance(metric, Metric) and metric.title


def test_edits_are_held_against_train_faces_with_the_wished_labels(tmp_path: Path) -> None:
    source, network = Noise(), Filters()
    (measure,) = measured(built("fd_squeezenet"), study_of(source, tmp_path), Lens(keep), BATCHES)
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


def test_the_floor_is_told_where_the_split_allows_it(tmp_path: Path) -> None:
    notes = [
        measured(built("fd_squeezenet", floor=floor), study_of(Noise(train), tmp_path), Lens(keep), BATCHES)[0].note
        for train, floor in ((900, True), (900, False), (120, True))
    ]
    assert ["other real faces" in note for note in notes] == [True, False, False]


@pytest.mark.parametrize("name", SETS)
def test_batches_do_not_show(name: str, tmp_path: Path) -> None:
    study, split = study_of(Noise(), tmp_path), [range(60, 80), range(7), range(7, 60)]
    whole, parts = (measured(built(name), study, Lens(keep), batches) for batches in (BATCHES, split))
    assert [m.name for m in whole] == [m.name for m in parts]
    for one, two in zip(whole, parts):
        assert one.statistic.compute() == pytest.approx(two.statistic.compute(), rel=1e-6), one.name


def test_a_better_editor_is_nearer(tmp_path: Path) -> None:
    """A makes faces brighter: an editor that knows that beats one that does nothing, and any beats grey."""

    def right(image: Tensor, target: Tensor, seed: int) -> Tensor:
        bright = image.mean((1, 2, 3), keepdim=True) > 0
        wish = target[:, :1, None, None] > 0.5
        return (image + 0.6 * (wish.float() - bright.float())).clamp(-1, 1)

    editors = [Lens(right), Lens(keep), Lens(lambda image, target, seed: torch.zeros_like(image))]
    for name, end in (("fd_squeezenet", ""), ("kd_squeezenet", "")):
        values = []
        for editor in editors:
            found = measured(built(name), study_of(Noise(900), tmp_path), editor, BATCHES)
            values.append(next(m.statistic.compute() for m in found if m.name == name + end))
        assert values == sorted(values), name


def test_three_metrics_look_at_an_edit_once(tmp_path: Path) -> None:
    calls = []

    class Counted(Filters):
        def extract(self, image: Tensor) -> Tensor:
            calls.append(len(image))
            return super().extract(image)

    source, network = Noise(), Counted()
    metrics = [metric(config(), features=network) for metric, config in SETS.values()]
    edits = edits_of(source, Lens(keep), "A", range(10))
    for metric in metrics:
        metric.start(study_of(source, tmp_path))
        metric.update(edits)
    assert calls == [10]


# ---- the cache ----


def test_real_features_are_read_once_for_all_metrics_and_runs(tmp_path: Path) -> None:
    def run(source: Noise, **options: Any) -> tuple[float, str]:
        (measure,) = measured(built("fd_squeezenet"), study_of(source, tmp_path, **options), Lens(keep), BATCHES)
        return measure.statistic.compute(), measure.note

    first, second, other = Noise(), Noise(), Noise()
    assert run(first) == run(second), "also the note, with its hash of the real pictures"
    assert first.read_faces > 80
    assert second.read_faces == 80, "only the faces that are edited"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    measured(built("kd_squeezenet"), study_of(second, tmp_path), Lens(keep), BATCHES)
    assert second.read_faces == 160, "another metric looks at the same real faces"
    assert run(other, seed=1) != run(first)
    assert other.read_faces > 80, "another seed means other faces"


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    (before,) = measured(built("kd_squeezenet"), study_of(Noise(), tmp_path), Lens(keep), BATCHES)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    (after,) = measured(built("kd_squeezenet"), study_of(Noise(), tmp_path), Lens(keep), BATCHES)
    assert before.statistic.compute() == after.statistic.compute()


def test_nothing_is_kept_of_faces_that_cannot_be_told_from_others(tmp_path: Path) -> None:
    class Nameless(Noise):
        compute_fingerprint = Source.compute_fingerprint  # it has neither files nor a config to be told by

    for source in (Nameless(), Nameless()):
        measured(built("fd_squeezenet"), study_of(source, tmp_path), Lens(keep), BATCHES)
        assert source.read_faces > 80, "computed anew"
    assert not list(tmp_path.rglob("*.safetensors"))


# ---- too few ----


@pytest.mark.parametrize("name", SETS)
def test_too_few_images(name: str, tmp_path: Path) -> None:
    for source in (Noise(train=49), Noise(test=49)):
        with pytest.raises(Unavailable, match=rf"too few images: 49 t\w+ faces, 50 needed \({name}.minimum\)"):
            built(name).start(study_of(source, tmp_path))
    for found in measured(built(name), study_of(Noise(), tmp_path), Lens(keep), [range(12)]):
        assert math.isnan(found.statistic.compute()) and found.note.startswith(
            "12 edits, 12 train faces; too few images"
        )
    few = Noise(share=0.01)  # hardly a face has the attribute, and nearly every edit wants it
    assert all("too few images" in m.note for m in measured(built(name), study_of(few, tmp_path), Lens(keep), BATCHES))
    small = {"minimum": 2}
    assert measured(built(name, **small), study_of(Noise(), tmp_path), Lens(keep), [range(4)])


@pytest.mark.parametrize("name", SETS)
def test_attributes_that_nobody_edited_have_no_number(name: str, tmp_path: Path) -> None:
    assert measured(built(name), study_of(Noise(), tmp_path), Lens(keep), []) == []
    found = measured(built(name), study_of(Noise(), tmp_path), Lens(keep), BATCHES, "B")
    assert {m.attribute for m in found} == {"B"}


# ---- processes ----


@pytest.mark.parametrize("name", [*SETS, "lpips"])
def test_two_processes_say_what_one_says(name: str, tmp_path: Path) -> None:
    def build() -> Any:
        return Lpips(Lpips.Config(), distance=Difference()) if name == "lpips" else built(name)

    source = Noise()
    source.image_size = 32 if name == "lpips" else 16
    alone = measured(build(), study_of(source, tmp_path / "one"), Lens(keep), BATCHES)

    def work(rank: int, world: World) -> Any:
        study = study_of(source, tmp_path / "two", world=world)
        return measured(build(), study, Lens(keep), [range(rank, 80, 2)])

    found = in_two_processes(work)
    for rank in range(2):
        assert [m.name for m in found[rank]] == [m.name for m in alone]
        for one, two in zip(alone, found[rank]):
            assert one.statistic.compute() == pytest.approx(two.statistic.compute(), rel=1e-9, abs=1e-12)
            assert sorted(one.statistic.face.tolist()) == sorted(two.statistic.face.tolist())
