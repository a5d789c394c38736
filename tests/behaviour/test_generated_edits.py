"""Edits of generated faces: which faces, by hand, whatever the batches; the verb, its report and its refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoogan
from support.composite_editors import (
    BRIGHT,
    CORNER,
    DARKER,
    DIMMED,
    PAINTED,
    SIDE,
    PastingEditor,
    make_pasting_editor,
    paste_square,
)
from support.set_metrics import NoiseSource, make_study, run_in_two_threads
from support.toy_faces import ROWS, SIZE, STYLE, ToyJudge, make_toy_axes, make_toy_editor
from zoogan.cli import main
from zoogan.conditions.latent import LatentCondition
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import invert_photos
from zoogan.errors import ConfigError
from zoogan.evaluation.metric_runner import StudyMeasures, explain_mismatch, run_metrics
from zoogan.evaluation.metrics.composite import CompositeMatch
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.evaluation.metrics.inverted import InvertedConfig, InvertedEditError
from zoogan.evaluation.metrics.locality import Locality
from zoogan.evaluation.metrics.preservation import Preservation
from zoogan.evaluation.metrics.success import Success
from zoogan.evaluation.study import get_kind, iterate_generated, list_kinds, open_study
from zoogan.interfaces import Edit, Metric, Study, World
from zoogan.interfaces.edits import make_face_seeds, round_as_saved
from zoogan.pictures.photo import normalize_image
from zoogan.testing.editors import KnownEditor
from zoogan.training.periodic_evaluation import choose_kind

pytestmark = pytest.mark.slow
FACES = 70
AXES = make_toy_axes()


@pytest.fixture(scope="module")
def editor() -> PastingEditor:
    return make_pasting_editor(AXES)


def make_generated_study(cache: Path, faces: int = FACES, **options: Any) -> Study:
    fields = {"judge": ToyJudge(), "kind": "generated", "generated_attributes": ("Red", "Green")}
    return make_study(NoiseSource(), cache, faces=faces, **{**fields, **options})


def make_metrics() -> dict[str, Metric]:
    return {
        "composite": CompositeMatch(), "success": Success(), "preservation": Preservation(), "locality": Locality()
    }  # fmt: skip


def read_values(found: StudyMeasures) -> dict[str, float]:
    return {f"{m.name} {m.attribute or 'all'}": m.statistic.compute() for _, m in found.measures}


# ---- by hand ----


def test_only_faces_without_the_attribute_gain_it(editor: PastingEditor, tmp_path: Path) -> None:
    judge, study = ToyJudge(), make_generated_study(tmp_path)
    sample = editor.sample(make_face_seeds(0, torch.arange(FACES)))
    shown = judge.read_attributes(round_as_saved(sample.image)) > 0.5
    batches = list(iterate_generated(editor, study, "Red", 16))
    faces = torch.cat([batch.faces for batch in batches])
    assert 5 < len(faces) < FACES - 5 and torch.equal(faces, (~shown[:, 0]).nonzero().flatten())
    assert torch.equal(torch.cat([batch.image for batch in batches]), round_as_saved(sample.image)[faces])
    own, target = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("own", "target"))
    assert torch.equal(own, shown[faces][:, :2].float()) and own[:, 1].any()
    assert bool((target[:, 0] == 1).all()) and torch.equal(target[:, 1], own[:, 1])
    assert all(batch.true_redraw is None and batch.region is None for batch in batches)
    with pytest.raises(ValueError, match="edited by their latents"):
        batches[0].cycled_image  # noqa: B018
    direction = editor.directions["Red"]
    reached = direction.measure_distance(torch.cat([batch.edit.extras["latents"] for batch in batches]))
    torch.testing.assert_close(reached, torch.full_like(reached, direction.sides[1]))


def test_composite_measures_equal_hand_computation(editor: PastingEditor, tmp_path: Path) -> None:
    found = run_metrics(editor, make_generated_study(tmp_path), make_metrics(), ["Red", "Green"], strict=True)
    values = read_values(found)
    assert not found.skipped
    sample = editor.sample(make_face_seeds(0, torch.arange(FACES)))
    face = round_as_saved(sample.image)
    rows = ToyJudge().read_attributes(face)[:, 0] <= 0.5
    assert found.edited["Red"] == int(rows.sum()) and found.left_out["Red"] == FACES - int(rows.sum())
    face, latents = face[rows], sample.extras["latents"][rows]
    request = editor.condition.parse({"Red": 1})
    basis = SynthesisBasis(editor, replace(request, latents=latents)).image
    edit = round_as_saved(paste_square((basis - DARKER).clamp(-1, 1), PAINTED))
    composite = round_as_saved(paste_square(DIMMED * sample.image[rows], BRIGHT))
    basis = round_as_saved(basis)
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[CORNER - 1 : CORNER + SIDE + 1, CORNER - 1 : CORNER + SIDE + 1] = True  # one pixel wider

    def average(one: Tensor, other: Tensor, region: Tensor) -> float:
        return float((one - other).abs()[:, :, region].double().mean())

    expected = {
        "inside.l1": average(edit, composite, inside), "outside.l1": average(edit, face, ~inside),
        "origin.inside.l1": average(face, composite, inside), "basis.inside.l1": average(basis, composite, inside),
        "basis.outside.l1": average(basis, face, ~inside),
    }  # fmt: skip
    for name, value in expected.items():
        assert values[f"composite.{name} Red"] == pytest.approx(value, abs=1e-6), name
    judge = ToyJudge()
    for name, image in (("composite.basis.success", basis), ("composite.success", composite), ("success", edit)):
        share = float((judge.read_attributes(image)[:, 0] > 0.5).double().mean())
        assert values[f"{name} Red"] == pytest.approx(share)
    assert values["success Red"] < values["composite.basis.success Red"] == 1 > values["composite.success Red"]
    assert "success.removing Red" not in values and "success.average_precision Red" not in values
    assert values["success.unedited Red"] == 0 and 0 < values["preservation Red"] <= 1


class SynthesisBasis:
    """The move along the directions alone."""

    def __init__(self, editor: PastingEditor, request: Any) -> None:
        targets = editor.resolve(request, torch.zeros(len(request.latents), 3, SIZE, SIZE))
        self.image = editor.synthesise(targets["latents"] + targets["move"][:, None]).image


def test_measures_do_not_depend_on_processes(editor: PastingEditor, tmp_path: Path) -> None:
    def measure(rank: int, world: World) -> dict[str, float]:
        study = make_generated_study(tmp_path, world=world)
        found = run_metrics(editor, study, make_metrics(), ["Red"])
        return read_values(found) | {"left out": found.left_out["Red"]}

    one, two = run_in_two_threads(measure)
    assert one == two == pytest.approx(measure(0, World.make_single()))


def test_editors_without_composites_show_no_distance(tmp_path: Path) -> None:
    class Plain(PastingEditor):
        def apply(self, image: Tensor, targets: Any, **options: Any) -> Edit:  # type: ignore[override]
            edit = super().apply(image, targets, **options)
            return Edit(edit.extras["basis"], extras={"latents": edit.extras["latents"]})

    known = make_pasting_editor(AXES)
    plain = Plain(known.networks, known.condition, known.mean_latent)
    plain.set_directions(known.directions)
    found = run_metrics(plain, make_generated_study(tmp_path), make_metrics(), ["Red"])
    assert "come without composites" in found.skipped["composite"] and "success" not in found.skipped
    known.set_directions({"Square": known.directions["Red"]})
    found = run_metrics(known, make_generated_study(tmp_path), {"locality": Locality()}, ["Square"])
    assert "the judge does not read it" in found.skipped["Square"] and not found.measures


def test_kinds_follow_the_editor(editor: PastingEditor) -> None:
    plain = make_toy_editor(AXES)
    plain.set_directions(editor.directions)
    assert list_kinds(plain) == ("samples",) and list_kinds(editor) == ("generated", "samples")
    assert get_kind(editor) == "generated" and get_kind(editor, "samples") == "samples"
    assert list_kinds(PastingEditor(plain.networks, plain.condition, plain.mean_latent)) == ("samples",), "no attribute"
    for kind in ("generated", "edits", "sample"):
        with pytest.raises(ConfigError, match=f"--kind {kind}: of this run can be measured: samples"):
            get_kind(plain, kind)
    photos = KnownEditor(("Red",))
    assert list_kinds(photos) == ("edits",)
    photos.also_samples = True
    assert list_kinds(photos) == ("edits", "samples") and get_kind(photos) == "edits"
    assert "no true redraw" in (explain_mismatch(EditError(), "generated", editor) or "")
    assert choose_kind(editor, [Success(), Preservation()]) == "generated" and choose_kind(editor, []) == "generated"
    from zoogan.evaluation.metrics.frequency import Frequency

    assert choose_kind(editor, [Frequency()]) == "samples"
    assert "add --kind samples" in (explain_mismatch(Frequency(), "generated", editor) or "")


# ---- held-out faces that are inverted ----


def make_drawn_source() -> DrawnSource:
    return DrawnSource(DrawnData(
        image_size=SIZE, faces=30, held_out=20, attributes=("Eyeglasses",), probabilities={"Eyeglasses": 0.4}
    ))  # fmt: skip


class RedrawingEditor(PastingEditor):
    """Edits the first held-out faces without eyeglasses to their true redraws, whatever their latents."""

    redraw: Tensor

    def apply(self, image: Tensor, targets: Any, **options: Any) -> Edit:  # type: ignore[override]
        self.latents = targets["latents"]
        edit = super().apply(image, targets, **options)
        extras = {**edit.extras, "basis": self.synthesise(targets["latents"]).image}
        if len(image) == len(self.redraw):
            return Edit(self.redraw, extras={**extras, "composite": (self.redraw + image) / 2})
        return Edit(edit.image, extras=extras)


def test_inverted_faces_are_measured_against_the_redraw(
    editor: PastingEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[InversionConfig] = []

    def invert(*arguments: Any, **options: Any) -> Any:
        searches.append(arguments[3])
        return invert_photos(*arguments, **options)

    monkeypatch.setattr("zoogan.evaluation.metrics.inverted.invert_photos", invert)
    source = make_drawn_source()
    faces = (source.read_labels("test")[:, 0] < 0.5).nonzero().flatten()[:3].tolist()
    redraw = normalize_image(source.redraw("test", faces, Eyeglasses=torch.ones(3))["image"])  # type: ignore[index]
    face = normalize_image(source.read("test", faces)["image"])
    known = RedrawingEditor(editor.networks, LatentCondition(), editor.mean_latent)
    known.redraw = redraw
    known.set_directions({"Eyeglasses": editor.directions["Red"]})

    class Glasses(ToyJudge):
        attributes = ("Eyeglasses", "Green", "Never")

    options = {"judge": Glasses(), "generated_attributes": ("Eyeglasses",), "faces": 12}
    study = make_study(source, tmp_path, kind="generated", **options)
    metric = InvertedEditError(InvertedConfig(faces=3, iterations=4))
    found = run_metrics(known, study, {"inverted": metric}, ["Eyeglasses"], strict=True)
    told = {m.name: m for _, m in found.measures}
    inverted = round_as_saved(known.synthesise(known.latents).image)
    assert known.latents.shape == (3, ROWS, STYLE) and not torch.equal(known.latents[0], known.latents[1])
    (search,) = searches
    assert (search.space, search.noise, search.iterations) == ("w+", "fixed", 4)
    region = (redraw != face).any(1, keepdim=True)
    needed = ((face - redraw).abs() * region).double().sum()
    none = float(((inverted - redraw).abs() * region).double().sum() / needed)
    for name, value in (("none", none), ("basis", none), ("full", 0.0)):
        assert told[f"inverted.edit_error.{name}"].statistic.compute() == pytest.approx(value, abs=1e-5), name
    assert 0 < told["inverted.edit_error.composite"].statistic.compute() < none
    assert told["inverted.edit_error.full"].statistic.count_faces() == 3
    assert told["inverted.edit_error.full"].reference and "4 iterations" in told["inverted.edit_error.full"].note
    noise = make_generated_study(tmp_path)
    assert "true redraw" in run_metrics(editor, noise, {"inverted": InvertedEditError()}, ["Red"]).skipped["inverted"]


# ---- the verb ----


class Facts:
    source, pictures = "drawn", None

    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"source": "drawn", "table": {}, "segmentation": None, "pose_error": None}


class FileJudge(ToyJudge):
    """Says what it was trained on."""

    facts = Facts()


@pytest.fixture
def pasting_run(stylegan2_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_bootstrap: None) -> Path:
    """A run whose edits paste a square, with a direction of Red; the named judge reads it."""
    mean = zoogan.load(stylegan2_run).sample(64).image.mean((0, 2, 3))[:2].mean()
    monkeypatch.setattr("zoogan.judges.judge.load_judge", lambda path: FileJudge(-float(mean)))
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    run = Path(shutil.copytree(stylegan2_run, tmp_path / "faces"))
    assert main(["direction", str(run), "--judge", "judge", "-n", "100", "--attribute", "Red", "--device", "cpu"]) == 0
    monkeypatch.setattr("zoogan.games.synthesis.SynthesisEditor", PastingEditor)
    assert zoogan.load(run).editor.edits_generated
    return run


def evaluate(run: Path, *options: object) -> int:
    return main(["evaluate", str(run), "--faces", "24", "--device", "cpu", *map(str, options)])


def test_verb_reports_generated_edits(pasting_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(pasting_run, "--judge", "judge") == 0
    said = capsys.readouterr()
    report = json.loads((pasting_run / "report/report.json").read_text())
    count = report["left_out"]["Red"]
    assert 0 < count < 24 and f"Red: {count} of 24 generated faces are left out" in said.err
    assert list(report["titles"]) == ["success", "composite", "preservation"] and "pose" in report["skipped"]
    values = {value["name"]: value for value in report["values"]}
    inside = values["composite.inside.l1"]
    assert inside["n"] == 24 - count and inside["key"]["n"] == 24 and inside["key"]["truncation"] == 1
    assert inside["key"]["backbone"] is None and values["composite.basis.success"]["key"]["backbone"] == "judge none"
    assert report["about"]["generated_per_second"] > 0 and report["about"]["samples_per_second"] is None
    page = (pasting_run / "report/report.html").read_text()
    for text in ("24 generated faces", "Distance to the composite", "no truth", f"Red {count} of 24", "edits a second"):
        assert text in page, text
    assert evaluate(pasting_run, "--kind", "samples", "--judge", "judge", "--metrics", "diversity,frequency") == 0
    samples = json.loads((pasting_run / "report-samples/report.json").read_text())
    assert samples["about"]["samples_per_second"] and samples["about"]["run"] == "faces (samples)"
    assert samples["left_out"] == {} and {value["attribute"] for value in samples["values"]} >= {"Red", None}
    assert json.loads((pasting_run / "report/report.json").read_text()) == report, "no report replaces the other"


def test_comparison_shows_generated_edits(
    pasting_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    other = Path(shutil.copytree(pasting_run, tmp_path / "others"))
    measured = ["--data", "drawn", "--judge", "judge", "--faces", "12", "--metrics", "composite,success"]
    assert main(["compare", str(pasting_run), str(other), *measured, "--device", "cpu"]) == 0
    content = json.loads((tmp_path / "comparison/compare.json").read_text())
    column = next(one for one in content["columns"] if one["name"] == "composite.outside.l1")
    assert set(column["cells"]) == {"faces", "others"} and not column["apart"]
    assert (tmp_path / "comparison/grid-Red.png").exists()
    assert (
        "edits/s" in capsys.readouterr().out and "generated faces" in (tmp_path / "comparison/compare.html").read_text()
    )
    for run in (pasting_run, other):
        assert evaluate(run, "--judge", "judge", "--kind", "samples", "--metrics", "diversity") == 0
    assert main(["compare", str(pasting_run), str(other), "--kind", "samples", "--device", "cpu"]) == 0
    assert "samples/s" in capsys.readouterr().out
    assert main(["compare", str(pasting_run), str(other), "--kind", "edits", "--device", "cpu"]) == 2
    assert "--kind edits: of this run can be measured: generated, samples" in capsys.readouterr().err


def test_verb_refuses_what_cannot_be_measured(
    pasting_run: Path, stylegan2_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*options: object, run: Path = pasting_run) -> str:
        capsys.readouterr()
        assert evaluate(run, *options) == 2
        told = capsys.readouterr().err
        assert "Traceback" not in told and not (run / "report").exists()
        return told

    said = refuse()
    assert "there is no judge" in said and "zoo judge train --data drawn --size 16" in said and "--kind samples" in said
    assert "--iterations 5: counts those of inversions; add --inverted N" in refuse("--iterations", 5)
    assert "--inverted 3" in refuse("--inverted", 3, "--kind", "samples")
    assert "did you mean 'samples'?" in refuse("--kind", "smaples")
    assert "of this run can be measured: samples" in refuse("--kind", "generated", run=stylegan2_run)
    load = zoogan.runs.opening.load

    def load_with_stage(*args: Any, **options: Any) -> Any:
        loaded = load(*args, **options)
        loaded.stages["classifier"] = FileJudge()
        return loaded

    monkeypatch.setattr("zoogan.runs.opening.load", load_with_stage)
    assert "the judge is stage classifier of this run" in refuse("--judge", "judge")


def test_inverted_option_names_the_metric(pasting_run: Path) -> None:
    result = zoogan.evaluate(
        pasting_run, faces=12, judge="judge", metrics=["success"], inverted=2, iterations=3, device="cpu"
    )
    assert "the source labels none of the edited attributes" in result.report.skipped["inverted"]
    from zoogan.evaluation.evaluate import add_inverted_faces
    from zoogan.plugins.host import get_zoo

    names, settings = add_inverted_faces(get_zoo().registry, None, {"inverted": {"seed": 4}}, "generated", 7, None)
    assert names is not None and names[-1] == "inverted" and len(names) == 5
    assert settings == {"inverted": {"seed": 4, "faces": 7}}


def test_plain_runs_are_measured_by_samples(pasting_run: Path) -> None:
    source = make_drawn_source()
    study = open_study(source, "drawn", faces=300, editor=make_toy_editor(AXES))
    assert study.kind == "samples" and study.faces == 300 and study.edited_attributes == ("Eyeglasses",)
    loaded = zoogan.load(pasting_run)
    study = open_study(source, "drawn", faces=300, editor=loaded.editor)
    assert study.kind == "generated" and study.faces == 300 and study.edited_attributes == ("Red",)
