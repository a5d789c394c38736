"""Runs that make faces: their samples against real faces, by hand, whatever the batches, and never beside edits."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import zoogan
from support.runs import list_settings, make_set_options, tiny_run
from support.set_metrics import FunctionEditor, NoiseSource, RandomFilters, keep_image, make_study, run_in_two_threads
from zoogan.cli import main
from zoogan.evaluation.build_report import build_report, collect_rows
from zoogan.evaluation.metric_runner import StudyMeasures, run_metrics
from zoogan.evaluation.metrics.diversity import Diversity
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.evaluation.metrics.frechet import FrechetSqueezeNet
from zoogan.evaluation.metrics.frequency import Frequency
from zoogan.evaluation.metrics.kernel import KernelSqueezeNet
from zoogan.evaluation.metrics.locality import Locality
from zoogan.evaluation.metrics.lookup import collect_headlines
from zoogan.evaluation.metrics.manifold import PrecisionRecallSqueezeNet
from zoogan.evaluation.metrics.real_faces import choose_any_faces
from zoogan.evaluation.reports.comparison import EvaluatedRun, group_entrants, make_columns
from zoogan.evaluation.reports.comparison_text import choose_headlines, list_key_differences
from zoogan.evaluation.reports.report import MeasuredRun, read_report, read_rows, write_report
from zoogan.evaluation.study import iterate_samples
from zoogan.interfaces import Metric, Samples, Study, World
from zoogan.interfaces.edits import make_face_seeds, round_as_saved
from zoogan.judges.judge import Judge, get_judge_folder, load_judge
from zoogan.pictures.photo import normalize_image
from zoogan.plugins.host import get_zoo
from zoogan.testing.editors import KnownGenerator

pytestmark = pytest.mark.slow


class Eye:
    """A judge that can be followed by hand: A = a bright face, Corner = a red first pixel."""

    attributes = ("A", "Corner")
    thresholds = torch.tensor([0.5, 0.5])
    digest, backbone, resizer = "1" * 64, "eye", "none"
    table: ClassVar = {"A": {"balanced_accuracy": 0.9, "error": 0.01}}

    def read_attributes(self, image: Tensor) -> Tensor:
        return torch.stack([(image.mean((1, 2, 3)) > 0).float(), (image[:, 0, 0, 0] > 0).float()], 1)

    def read_poses(self, image: Tensor) -> Tensor | None:
        return None

    def read_parts(self, image: Tensor) -> Tensor | None:
        return None


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return samples_study(tmp_path)


def samples_study(cache: Path, faces: int = 60, **options: Any) -> Study:
    return make_study(NoiseSource(), cache, faces=faces, judge=Eye(), kind="samples", **options)


def drawn(seeds: Sequence[int]) -> Tensor:
    """A face of noise for each seed, some brighter than others."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.rand(3, 16, 16, generator=g) * 1.4 - torch.rand(1, generator=g) for g in generators])


def shows(faces: Tensor) -> KnownGenerator:
    """A maker whose sample k is face k; of other seeds it makes face 0."""
    places = {seed: k for k, seed in enumerate(make_face_seeds(0, torch.arange(len(faces))))}
    return KnownGenerator(lambda seeds: faces[[places.get(seed, 0) for seed in seeds]])


def real(split: Any, faces: int) -> Tensor:
    return normalize_image(NoiseSource().read(split, range(faces))["image"])


def all_metrics() -> dict[str, Metric]:
    network = RandomFilters()
    return {
        "fd": FrechetSqueezeNet(FrechetSqueezeNet.Config(), features=network),
        "kd": KernelSqueezeNet(KernelSqueezeNet.Config(), features=network),
        "prdc": PrecisionRecallSqueezeNet(PrecisionRecallSqueezeNet.Config(), features=network),
        "frequency": Frequency(), "diversity": Diversity(),
    }  # fmt: skip


def values_of(found: StudyMeasures) -> dict[str, float]:
    assert not found.skipped, found.skipped
    return {f"{m.name} {m.attribute or 'all'}": m.statistic.compute() for _, m in found.measures}


# ---- by hand ----


def test_frequency_equals_hand_computation(study: Study) -> None:
    found = run_metrics(KnownGenerator(drawn), study, {"frequency": Frequency()}, [])
    told = {(m.name, m.attribute): m for _, m in found.measures}
    made = Eye().read_attributes(torch.cat([s.image for s in iterate_samples(KnownGenerator(drawn), study)])).double()
    true = Eye().read_attributes(real("test", 60)).double()
    gaps, errors = [], []
    for k, name in enumerate(Eye.attributes):
        p, q = float(made[:, k].mean()), float(true[:, k].mean())
        assert 0.02 < p < 0.98, "a share that tells something"
        gaps.append(abs(p - q))
        errors.append(math.sqrt(p * (1 - p) / 60 + q * (1 - q) / 60))
        statistic: Any = told["frequency", name].statistic
        assert statistic.compute() == pytest.approx(gaps[k]) and statistic.error == pytest.approx(errors[k])
        assert f"{p:.3f} of 60 samples, {q:.3f} of 60 test faces" in told["frequency", name].note
    labels = NoiseSource().read_labels("test")[:60, 0].mean()
    assert f"({labels:.3f} by their labels); judge: balanced accuracy 0.900 ± 0.010" in told["frequency", "A"].note
    assert "labels" not in told["frequency", "Corner"].note, "the source knows nothing of it"
    mean, worst = (told[f"frequency.{end}", None] for end in ("mean", "worst"))
    assert mean.statistic.compute() == pytest.approx(sum(gaps) / 2)
    assert worst.statistic.compute() == pytest.approx(max(gaps))
    assert worst.note == Eye.attributes[gaps.index(max(gaps))]
    signs = (made.mean(0) - true.mean(0)).sign()
    variance = sum(signs @ torch.cov(x.T, correction=0) @ signs / 4 / 60 for x in (made, true))
    assert mean.statistic.error == pytest.approx(math.sqrt(float(variance)))  # type: ignore[attr-defined]
    assert (mean.better, mean.backbone, mean.weights) == ("lower", "judge eye", "1" * 64)


def test_frequency_of_real_faces_is_zero(study: Study) -> None:
    metrics = {"frequency": Frequency(), "diversity": Diversity()}
    same = values_of(run_metrics(shows(real("test", 60)), study, metrics, []))
    assert same["frequency.worst all"] == same["frequency.mean all"] == 0
    white = torch.ones(60, 3, 16, 16)
    one = values_of(run_metrics(shows(white), study, metrics, []))
    assert one["frequency A"] == pytest.approx(1 - float(Eye().read_attributes(real("test", 60))[:, 0].mean()))
    assert one["frequency.worst all"] > 0.4 and one["diversity.l1 all"] == 0
    faces = real("test", 60)
    assert one["diversity.l1.real all"] == pytest.approx(float((faces - faces.roll(-1, 0)).abs().mean()), rel=1e-5)


def test_reference_set_has_zero_distance_to_itself(tmp_path: Path) -> None:
    """All 120 train faces, in another order, are what 120 samples are held against."""
    study = samples_study(tmp_path, faces=120)
    metrics = {name: metric for name, metric in all_metrics().items() if name in ("fd", "prdc")}
    found = run_metrics(shows(real("train", 120)), study, metrics, [])
    values = values_of(found)
    assert values["fd_squeezenet all"] == pytest.approx(0, abs=1e-6)
    assert values["prdc_squeezenet.precision all"] == values["prdc_squeezenet.coverage all"] == 1
    (note,) = (m.note for _, m in found.measures if m.name == "fd_squeezenet")
    assert note.startswith("120 samples, 120 train faces (set ") and "other real faces" not in note
    assert found.titles["fd"] == "Frechet distance from samples to real faces, through squeezenet"
    far = values_of(run_metrics(shows(torch.ones(120, 3, 16, 16)), study, metrics, []))
    assert far["fd_squeezenet all"] > 1 and far["prdc_squeezenet.recall all"] == 0


def test_real_set_matches_sample_count() -> None:
    source = NoiseSource()
    some, others = (choose_any_faces(source, 50, 3, others=flag) for flag in (False, True))
    assert len(set(some.indices)) == 50 and not set(some.indices) & set(others.indices) and len(others.indices) == 50
    assert choose_any_faces(source, 50, 4) != some
    assert (
        len(choose_any_faces(source, 500, 3).indices) == 120
        and not choose_any_faces(source, 500, 3, others=True).indices
    )


# ---- what does not show ----


def test_sample_depends_on_seed_and_index_only(study: Study) -> None:
    whole = torch.cat([s.image for s in iterate_samples(KnownGenerator(drawn), study)])
    parts = torch.cat([s.image for s in iterate_samples(KnownGenerator(drawn), study, batch=7)])
    assert torch.equal(whole, parts) and len(whole) == 60
    fewer = next(iterate_samples(KnownGenerator(drawn), replace(study, faces=9)))
    assert torch.equal(fewer.image, whole[:9]) and fewer.faces.tolist() == list(range(9))
    assert torch.equal(whole, round_as_saved(whole)) and not torch.equal(
        whole, drawn(make_face_seeds(0, torch.arange(60)))
    )
    assert not torch.equal(next(iterate_samples(KnownGenerator(drawn), replace(study, seed=1))).image, whole[:50])


@pytest.mark.parametrize("name", all_metrics())
def test_sample_metrics_ignore_batching(name: str, study: Study) -> None:
    metric = all_metrics()[name]
    told = []
    for split in ([range(50), range(50, 60)], [range(30, 60), range(7), range(7, 30)]):
        metric.start(study)
        for faces in split:
            metric.update_samples(Samples(KnownGenerator(drawn), torch.tensor(faces)))
        told.append([(m.name, m.attribute, pytest.approx(m.statistic.compute(), rel=1e-6)) for m in metric.compute()])
    assert told[0] == told[1] and told[0]


def test_two_processes_measure_like_one(tmp_path: Path) -> None:
    alone = run_metrics(KnownGenerator(drawn), samples_study(tmp_path / "one", faces=101), all_metrics(), [])

    def work(rank: int, world: World) -> StudyMeasures:
        return run_metrics(
            KnownGenerator(drawn), samples_study(tmp_path / "two", faces=101, world=world), all_metrics(), []
        )

    for found in run_in_two_threads(work):
        assert values_of(found) == pytest.approx(values_of(alone), rel=1e-6)
        for (_, one), (_, two) in zip(alone.measures, found.measures):
            assert sorted(one.statistic.face.tolist()) == sorted(two.statistic.face.tolist())
            assert (one.note, one.reference) == (two.note, two.reference)


# ---- who looks at what ----


def test_metrics_apply_to_their_kind_only(study: Study, tmp_path: Path) -> None:
    metrics: dict[str, Metric] = {"edit_error": EditError(), "locality": Locality(), "diversity": Diversity()}
    found = run_metrics(KnownGenerator(drawn), study, metrics, ["A"])
    why = "it measures edits of faces, and this run generates faces"
    assert found.skipped == {"edit_error": why, "locality": why}
    assert [m.name for _, m in found.measures] == ["diversity.l1", "diversity.l1.real"]
    assert found.measures[0][1].better is None, "more than real faces is not better"
    edits = make_study(NoiseSource(), tmp_path, judge=Eye())
    found = run_metrics(FunctionEditor(keep_image), edits, {"frequency": Frequency(), "diversity": Diversity()}, ["A"])
    assert found.skipped["frequency"].startswith("it measures generated faces")
    assert [(m.name, m.better) for _, m in found.measures] == [("diversity.l1", "higher")]
    with pytest.raises(ValueError, match="a study of samples, but FunctionEditor shows edits"):
        run_metrics(FunctionEditor(keep_image), study, {}, [])


def test_sample_report_explains_skipped_metrics(study: Study) -> None:
    few = replace(study, judge=None, faces=12)
    found = run_metrics(KnownGenerator(drawn), few, all_metrics(), [])
    assert "zoo judge train" in found.skipped["frequency"]
    assert found.skipped["fd"].startswith("too few images: 12 samples, 50 needed")
    assert {metric for metric, _ in found.measures} == {"diversity"}


# ---- reports ----


def stored(folder: Path, study: Study, run: str, make: Any = drawn) -> EvaluatedRun:
    metrics = {name: metric for name, metric in all_metrics().items() if name in ("fd", "frequency", "diversity")}
    found = run_metrics(KnownGenerator(make), study, metrics, [])
    about = MeasuredRun(
        run=run, method="known", recipe=None, config=run, seed=0, iteration=1, images=4, attributes=(),
        parameters={"generator": 8}, samples_per_second=90.0, device="cpu",
    )  # fmt: skip
    write_report(folder, build_report(found, study, about, None, "2026-11-21"), collect_rows(found))
    report = read_report(folder)
    return EvaluatedRun(report, read_rows(folder, report))


def test_truncations_never_share_a_column(study: Study, tmp_path: Path) -> None:
    one = stored(tmp_path / "a", study, "a")
    bright = stored(tmp_path / "b", study, "b", lambda seeds: (drawn(seeds) + 1).clamp(-1, 1))
    cut = stored(tmp_path / "c", replace(study, truncation=0.5), "c")
    columns = make_columns(group_entrants([one, bright, cut]))
    for name in ("fd_squeezenet", "frequency.mean", "diversity.l1"):
        assert [set(c.cells) for c in columns if c.name == name] == [{"a", "b"}, {"c"}], name
    assert any(
        "truncation: 0.5 / 1.0" in line
        for line in list_key_differences(choose_headlines(columns, collect_headlines(get_zoo().registry)))
    )
    mean = next(c for c in columns if c.name == "frequency.mean").cells
    assert mean["a"].best and not mean["b"].best and mean["b"].tied is False
    value = one.report.find("frequency", "A")
    assert value is not None and value.low is not None and value.low >= 0 and value.key.n == 60


def test_keys_of_edits_and_of_samples_differ(study: Study, tmp_path: Path) -> None:
    key = stored(tmp_path, study, "a").report.values[0].key
    edits = key.model_copy(update={"truncation": None})
    assert edits.digest == hashlib.sha256(edits.model_dump_json().encode()).hexdigest()[:10] != key.digest


# ---- the verbs ----

CPU = ["--device", "cpu"]
FEW = {"faces": 80, "held_out": 60}


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("build_report", "reports.comparison"):
            patch.setattr(f"zoogan.evaluation.{module}.RESAMPLES", 60)
        patch.delenv("ZOOGAN_METRIC_WEIGHTS", raising=False)
        yield


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A judge of drawn faces where it is looked for."""
    pytest.importorskip("timm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        tiny = [
            "--size",
            "16",
            "--iterations",
            "1",
            "--set",
            "data.workers=0",
            *make_set_options(list_settings({"data": FEW})),
        ]
        assert main(["judge", "train", "--attributes", "Eyeglasses,Male", *tiny, *CPU]) == 0
        yield load_judge(get_judge_folder("drawn", 16))


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory, judge: Judge) -> list[Path]:
    """A tiny StyleGAN2 that measures itself while it trains, and its twin."""
    folder = tmp_path_factory.mktemp("makers")
    training = {
        "evaluate_every": 1, "evaluate": "frequency,diversity", "evaluate_faces": 20, "best": "frequency.mean",
    }  # fmt: skip
    assert tiny_run("stylegan2", folder / "one", data=FEW, training=training) == 0
    shutil.copytree(folder / "one", folder / "two")
    return [folder / "one", folder / "two"]


def test_training_keeps_best_checkpoint_by_samples(makers: list[Path]) -> None:
    entries = [json.loads(line) for line in (makers[0] / "metrics.jsonl").read_text().splitlines()]
    curve = {e["iteration"]: e["evaluation"] for e in entries if "evaluation" in e}
    assert list(curve) == [1, 2]
    assert set(curve[1]) >= {"frequency.mean", "frequency.worst", "frequency.Male", "diversity.l1"}
    best = json.loads((makers[0] / "best.json").read_text())
    assert best["measure"] == "frequency.mean" and best["value"] == min(e["frequency.mean"] for e in curve.values())
    assert zoogan.load(makers[0], checkpoint="best").iteration == best["iteration"]


def test_edit_metrics_are_refused_for_generators(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run("stylegan2", tmp_path / "run", data=FEW, training={"evaluate_every": 1}) == 2
    said = capsys.readouterr().err
    assert "training.evaluate: edit_error: it measures edits of faces" in said and "frequency" in said


def test_zoo_evaluate_measures_samples(makers: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = makers[1]
    assert main(["evaluate", str(run), "--faces", "70", *CPU]) == 0, "more than are held out: they are made"
    said = capsys.readouterr()
    assert "frequency.mean" in said.out and "not measured: fd_squeezenet" in said.err and "edit_error" not in said.err
    report = read_report(run / "report")
    assert report.about.edits_per_second is None and (report.about.samples_per_second or 0) > 0
    male = report.find("frequency", "Male")  # which the run knows nothing of
    assert male is not None and male.n == 70 and "of 60 test faces" in male.note and "by their labels" in male.note
    assert {(v.key.n, v.key.truncation, v.key.faces) for v in report.values} == {(70, 1.0, "")}
    page = (run / "report" / "report.html").read_text()
    assert page.count("data:image/png;base64") == 1 and "samples a second" in page and "makes faces" in page
    options = ["--faces", "10", "--metrics", "diversity,locality", "--truncation", "0.5", *CPU]
    assert main(["evaluate", str(run), *options]) == 0
    assert "not measured: locality: it measures edits of faces" in capsys.readouterr().err
    cut = read_report(run / "report-truncation-0.5")
    assert cut.about.run == "two (truncation 0.5)" and cut.about.config != report.about.config
    assert {v.key.truncation for v in cut.values} == {0.5}
    for wrong, told in (
        (["--truncation", "1.5"], "less than or equal to 1"),
        (["--styles", "reference"], "takes no style"),
    ):
        assert main(["evaluate", str(run), "--out", str(tmp_path), *wrong, *CPU]) == 2
        assert told in capsys.readouterr().err


def test_zoo_compare_refuses_mixed_kinds(
    makers: list[Path], sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "comparison"
    anew = [
        "--data",
        "drawn",
        "--faces",
        "20",
        "--metrics",
        "frequency",
        *make_set_options(list_settings({"data": FEW})),
        *CPU,
    ]
    assert main(["compare", *map(str, makers), "--out", str(out), *anew]) == 0
    content = json.loads((out / "compare.json").read_text())
    mean = [c for c in content["columns"] if c["name"] == "frequency.mean"]
    assert len(mean) == 1 and set(mean[0]["cells"]) == {"one", "two"}
    assert all(cell["low"] is not None for cell in mean[0]["cells"].values())
    assert "samples/s" in (out / "compare.md").read_text() and (out / "grid-samples.png").exists()
    assert "from the same seeds" in (out / "compare.html").read_text()
    assert "samples/s" in capsys.readouterr().out
    assert main(["compare", str(makers[0]), str(sagan_run), "--out", str(out), *CPU]) == 2
    assert "one: makes faces; attributes: edits faces; no metric measures both" in capsys.readouterr().err
    assert main(["evaluate", str(sagan_run), "--truncation", "0.5", *CPU]) == 2
    assert "edits faces, and only samples can be truncated" in capsys.readouterr().err
