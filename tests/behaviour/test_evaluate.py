"""Evaluation: the best and the worst editors get the report they deserve, and only equal measurements are compared."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.errors import ConfigError
from zoogan.evaluation.build_report import build_report, collect_rows
from zoogan.evaluation.metric_runner import StudyMeasures, run_metrics
from zoogan.evaluation.metrics.diversity import Diversity
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.evaluation.metrics.locality import Locality
from zoogan.evaluation.metrics.lookup import collect_headlines
from zoogan.evaluation.metrics.preservation import Preservation
from zoogan.evaluation.metrics.reconstruction import Reconstruction
from zoogan.evaluation.metrics.similarity import BEST_PSNR
from zoogan.evaluation.metrics.success import Success
from zoogan.evaluation.metrics.truth import Truth
from zoogan.evaluation.reports.comparison import EvaluatedRun, group_entrants, make_columns, read_evaluated_run
from zoogan.evaluation.reports.comparison_text import choose_headlines, format_markdown, list_key_differences
from zoogan.evaluation.reports.report import Key, MeasuredRun, Report, read_report, read_rows, write_report
from zoogan.evaluation.sheets import make_comparison_sheet
from zoogan.evaluation.study import iterate_edits, make_edit_targets, open_study
from zoogan.interfaces import Editor, Metric, Study, World
from zoogan.pictures.photo import normalize_image
from zoogan.plugins.host import get_zoo
from zoogan.testing.editors import Change, KnownEditor, TrueRedraw

DATA = DrawnData(
    image_size=24, attributes=("Eyeglasses", "Black_Hair", "Blond_Hair"), faces=32, held_out=24,
    probabilities={"Eyeglasses": 0.5},
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fast_bootstrap", "temporary_cache")]


def known(change: Change | None = None) -> KnownEditor:
    return KnownEditor(DATA.attributes, change)


class Eye:
    """A judge that recognises the study's faces and their redraws, and tells their true labels."""

    attributes = (*DATA.attributes, "Male")
    thresholds = torch.full((4,), 0.5)
    digest, backbone, resizer = "0" * 64, "eye", "none"
    table: ClassVar = {name: {"balanced_accuracy": 1.0, "error": 0.0} for name in attributes}

    def __init__(self, source: DrawnSource) -> None:
        full = DrawnSource(DATA.model_copy(update={"attributes": self.attributes}))
        self.labels: dict[bytes, Tensor] = {}
        everybody = list(range(source.count_faces("test")))
        for change in ({}, {"Eyeglasses": 0.0}, {"Eyeglasses": 1.0}, {"Black_Hair": 1.0}, {"Blond_Hair": 1.0}):
            sample = full.redraw("test", everybody, **change)
            pairs = zip(sample["image"], sample["attributes"])
            self.labels |= {face.numpy().tobytes(): labels for face, labels in pairs}

    def read_attributes(self, image: Tensor) -> Tensor:
        pixels = ((image + 1) * 127.5).round().to(torch.uint8)
        return torch.stack([self.labels[face.numpy().tobytes()] for face in pixels])

    def read_poses(self, image: Tensor) -> Tensor | None:
        return None

    def read_parts(self, image: Tensor) -> Tensor | None:
        return None


@pytest.fixture(scope="module")
def source() -> DrawnSource:
    return DrawnSource(DATA)


@pytest.fixture(scope="module")
def study(source: DrawnSource, tmp_path_factory: pytest.TempPathFactory) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return open_study(source, "drawn", judge=Eye(source))


def all_metrics() -> dict[str, Metric]:
    return {
        "edit_error": EditError(), "truth": Truth(), "success": Success(), "preservation": Preservation(),
        "locality": Locality(), "reconstruction": Reconstruction(), "diversity": Diversity(),
    }  # fmt: skip


def values_of(found: StudyMeasures) -> dict[str, float]:
    return {f"{m.name} {m.attribute or 'all'}": m.statistic.compute() for _, m in found.measures}


def about(run: str, **changes: Any) -> MeasuredRun:
    values: dict[str, Any] = {
        "run": run, "method": "known", "recipe": None, "config": run, "seed": 0, "iteration": 1, "images": 4,
        "attributes": DATA.attributes, "parameters": {"generator": 8}, "edits_per_second": 100.0, "device": "cpu",
    }  # fmt: skip
    return MeasuredRun(**(values | changes))


# ---- the best and the worst ----


def test_identity_editor_scores_no_edit(study: Study) -> None:
    values = values_of(run_metrics(known(), study, all_metrics(), DATA.attributes))
    for name in ("Eyeglasses", "Black_Hair", "all"):
        assert values[f"edit_error {name}"] == pytest.approx(1.0)
        assert values[f"success {name}"] == 0.0
        assert values[f"preservation {name}"] == 1.0
        assert values[f"outside_truth.l1 {name}"] == 0.0
        assert values[f"outside_truth.psnr {name}"] == pytest.approx(BEST_PSNR)
        assert values[f"cycle.l1 {name}"] == values[f"identity.l1 {name}"] == values[f"diversity.l1 {name}"] == 0.0
    assert values["success.unedited Eyeglasses"] == 0.0


def test_true_redraw_scores_perfectly(source: DrawnSource, study: Study) -> None:
    values = values_of(run_metrics(known(TrueRedraw(source, "Eyeglasses")), study, all_metrics(), ["Eyeglasses"]))
    assert values["edit_error Eyeglasses"] == values["truth.inside.l1 Eyeglasses"] == 0.0
    assert values["truth.inside.ssim Eyeglasses"] == pytest.approx(1.0, abs=1e-5)
    for name in ("success", "success.adding", "success.removing", "success.average_precision", "success.best_f1"):
        assert values[f"{name} Eyeglasses"] == 1.0
    assert values["preservation Eyeglasses"] == 1.0
    assert values["cycle.l1 Eyeglasses"] == values["outside_truth.l1 Eyeglasses"] == 0.0


def test_grey_editor_scores_badly(study: Study) -> None:
    metrics: dict[str, Metric] = {"edit_error": EditError(), "locality": Locality(), "cycle": Reconstruction()}
    values = values_of(
        run_metrics(known(lambda image, target: torch.zeros_like(image)), study, metrics, ["Eyeglasses"])
    )
    assert values["outside_truth.l1 Eyeglasses"] > 0.2
    assert values["identity.l1 Eyeglasses"] > 0.2
    assert values["outside_truth.psnr Eyeglasses"] < 15


def test_edit_error_equals_hand_computation(source: DrawnSource, study: Study) -> None:
    half = known(lambda image, target: image * 0.5)
    value = values_of(run_metrics(half, study, {"e": EditError()}, ["Eyeglasses"]))["edit_error Eyeglasses"]
    wrong = needed = 0.0
    for i in range(source.count_faces("test")):
        image = normalize_image(source.read("test", [i])["image"])
        own = float(source.read_labels("test")[i, 0])
        truth = normalize_image(source.redraw("test", [i], Eyeglasses=1 - own)["image"])
        edit = ((image * 0.5 + 1) * 127.5).round() / 127.5 - 1
        inside = (truth != image).any(1, keepdim=True)
        wrong += float(((edit - truth).abs() * inside).sum())
        needed += float(((image - truth).abs() * inside).sum())
    assert value == pytest.approx(wrong / needed, rel=1e-5)


# ---- what is edited ----


def test_exclusive_attributes_are_set_and_others_flipped(study: Study) -> None:
    own = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    target, some = make_edit_targets(study, own, "Blond_Hair")
    assert target.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert some.tolist() == [True, False]
    target, some = make_edit_targets(study, own, "Eyeglasses")
    assert target.tolist() == [[0, 1, 0], [1, 0, 1]]
    assert bool(some.all())


def excluding(*groups: tuple[str, ...]) -> KnownEditor:
    editor = known()
    editor.exclusive = groups
    return editor


def test_run_exclusive_labels_are_never_requested_together(source: DrawnSource) -> None:
    editor = excluding(("Eyeglasses", "Blond_Hair"))
    study = open_study(source, "drawn", editor=editor, judge=Eye(source))
    own = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    target, some = make_edit_targets(study, own, "Eyeglasses")
    assert target.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert some.tolist() == [False, True]
    assert make_edit_targets(study, own, "Blond_Hair")[0].tolist() == [[0, 0, 1], [0, 0, 1]], (
        "the source's group counts too"
    )
    (edits,) = iterate_edits(editor, study, "Eyeglasses")
    assert edits.redraw_sample is not None and bool((edits.own - edits.target)[:, 2].any())
    assert torch.equal(edits.redraw_sample["attributes"], edits.target), "the truth is what was asked for"
    metric = Preservation()
    metric.start(study)
    assert metric.list_others("Eyeglasses") == ["Black_Hair", "Male"]


def test_grid_shows_redraw_only_if_equal_for_all_runs(source: DrawnSource, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[list[str]] = []
    monkeypatch.setattr("zoogan.evaluation.sheets.make_grid", lambda pictures, columns: shown.append(columns))
    for other in (known(), excluding(("Eyeglasses", "Blond_Hair"))):
        editors = [("a", known()), ("b", other)]
        make_comparison_sheet(
            editors, [open_study(source, "drawn", editor=editor) for _, editor in editors], "Eyeglasses"
        )
    assert shown == [["input", "true redraw", "a", "b"], ["input", "a", "b"]]


def test_keys_record_groups_unknown_to_source(source: DrawnSource) -> None:
    def keys(editor: KnownEditor) -> dict[str | None, Key]:
        study = open_study(source, "drawn", editor=editor)
        found = run_metrics(editor, study, {"edit_error": EditError()}, ["Eyeglasses", "Black_Hair"])
        values = build_report(found, study, about("a"), None, "2026-11-21").values
        return {value.attribute: value.key for value in values if value.name == "edit_error"}

    plain, same = keys(known()), keys(excluding(("Blond_Hair", "Black_Hair")))
    assert plain == same
    for key in plain.values():
        assert key.digest == hashlib.sha256(key.model_dump_json().encode()).hexdigest()[:10]
    told = keys(excluding(("Eyeglasses", "Blond_Hair")))
    assert told["Black_Hair"] == plain["Black_Hair"]
    assert told["Eyeglasses"].rivals == told[None].rivals == {"Eyeglasses": ("Blond_Hair",)}
    for name in ("Eyeglasses", None):
        assert told[name].digest != plain[name].digest
        assert Key.model_validate_json(told[name].model_dump_json()) == told[name]


def test_study_belongs_to_its_editor(study: Study) -> None:
    with pytest.raises(ValueError, match="Eyeglasses"):
        run_metrics(excluding(("Eyeglasses", "Blond_Hair")), study, {}, ["Eyeglasses"])


def test_hidden_attributes_are_not_measured(source: DrawnSource, study: Study) -> None:
    visible = source.read("test", list(range(study.faces)))["visible"][:, 1] > 0
    blond = source.read_labels("test")[:, 1] < 0.5
    edited = torch.cat([edits.faces for edits in iterate_edits(known(), study, "Black_Hair")])
    assert edited.tolist() == (visible & blond).nonzero().flatten().tolist()
    assert not bool(visible.all())


def test_evaluation_ignores_batches_and_processes(source: DrawnSource, study: Study) -> None:
    half = known(lambda image, target: image * 0.5)
    whole = EditError()
    whole.start(study)
    parts = [EditError(), EditError()]
    shared: list[Any] = []

    class Joined(World):
        def gather_objects(self, value: Any) -> list[Any]:
            return shared

    for rank, part in enumerate(parts):
        world = Joined()
        world.rank, world.size = rank, 2
        part.start(Study(**{**study.__dict__, "world": world}))
        for edits in iterate_edits(half, part.study, "Eyeglasses", batch=7):
            part.update(edits)
        shared.append(part._rows)
    for edits in iterate_edits(half, study, "Eyeglasses"):
        whole.update(edits)
    for ours, theirs in zip(whole.compute(), parts[1].compute()):
        assert torch.equal(ours.statistic.face, theirs.statistic.face)
        assert torch.equal(ours.statistic.numerator, theirs.statistic.numerator)


def test_report_explains_missing_judge_and_truth(source: DrawnSource, study: Study) -> None:
    blind = Study(**{**study.__dict__, "judge": None})
    found = run_metrics(known(), blind, {"success": Success(), "edit_error": EditError()}, ["Eyeglasses"])
    assert "zoo judge train" in found.skipped["success"]
    assert {metric for metric, _ in found.measures} == {"edit_error"}


def test_failing_metric_skips_only_itself(study: Study) -> None:
    class Broken(EditError):
        def update(self, edits: Any) -> None:
            raise ValueError("seventeen")

    found = run_metrics(known(), study, {"broken": Broken(), "edit_error": EditError()}, ["Eyeglasses"])
    assert found.skipped == {"broken": "it raised ValueError: seventeen"}
    assert {metric for metric, _ in found.measures} == {"edit_error"}
    with pytest.raises(ValueError, match="seventeen"):
        run_metrics(known(), study, {"broken": Broken()}, ["Eyeglasses"], strict=True)


def test_hair_colour_redraw_preserves_other_attributes() -> None:
    data = DATA.model_copy(update={"attributes": ("Black_Hair",)})
    alone = DrawnSource(data)
    metric = Preservation()
    study = open_study(alone, "drawn", judge=Eye(DrawnSource(DATA)))
    metric.start(study)
    assert "Blond_Hair" not in metric.list_others("Black_Hair") and "Eyeglasses" in metric.list_others("Black_Hair")


def test_empty_split_is_an_error() -> None:
    class Empty(DrawnSource):
        def count_faces(self, split: str) -> int:
            return 0 if split != "train" else super().count_faces("train")

    with pytest.raises(ConfigError, match="has no held-out faces"):
        open_study(Empty(DATA), "drawn")


# ---- reports and comparisons ----


def stored(folder: Path, study: Study, editor: Editor, who: MeasuredRun) -> EvaluatedRun:
    metrics = {"edit_error": EditError(), "success": Success(), "locality": Locality()}
    found = run_metrics(editor, study, metrics, ["Eyeglasses"])
    report = build_report(found, study, who, None, "2026-11-21")
    report = write_report(folder, report, collect_rows(found))
    again = read_report(folder)
    assert again == report
    return EvaluatedRun(again, read_rows(folder, again))


def test_report_round_trip_keeps_rows(study: Study, tmp_path: Path) -> None:
    found = run_metrics(known(), study, {"edit_error": EditError(), "success": Success()}, ["Eyeglasses"])
    report = build_report(found, study, about("a"), None, "2026-11-21")
    write_report(tmp_path, report, collect_rows(found))
    for value, statistic in zip(report.values, read_rows(tmp_path, read_report(tmp_path))):
        number = statistic.compute()
        assert (value.value is None and math.isnan(number)) or number == pytest.approx(value.value)
    error = report.find("edit_error", "Eyeglasses")
    assert error is not None and error.low == pytest.approx(1) and error.n == error.key.n


def test_bootstrap_matches_standard_error_of_mean() -> None:
    from zoogan.evaluation.reports.bootstrap import compute_interval, draw_face_weights, resample
    from zoogan.interfaces import Ratio

    values = torch.randn(400, generator=torch.Generator().manual_seed(3)).double()
    samples = resample(Ratio.from_values(torch.arange(400), values), draw_face_weights(400, 400, 0))
    assert samples is not None
    assert float(samples.std()) == pytest.approx(float(values.std()) / 20, rel=0.15)
    low, high = compute_interval(samples)
    assert low is not None and high is not None
    assert low < float(values.mean()) < high


def test_one_face_has_no_interval() -> None:
    """An interval of width 0 would say that the number is certain, and let comparisons call differences significant."""
    from zoogan.evaluation.reports.bootstrap import compute_interval, draw_face_weights, resample
    from zoogan.evaluation.reports.comparison import Cell, is_tied
    from zoogan.interfaces import Ratio

    alone = Ratio.from_values(torch.tensor([3, 3]), torch.tensor([0.25, 0.75]))
    samples = resample(alone, draw_face_weights(10, 40, 0))
    assert samples is None and compute_interval(samples) == (None, None)
    assert is_tied(Cell(0.5, None, None, 1), Cell(0.4, None, None, 1), None, None) is None


def test_only_equal_keys_share_a_column(study: Study, tmp_path: Path) -> None:
    one = stored(tmp_path / "a", study, known(), about("a"))
    two = stored(tmp_path / "b", study, known(), about("b"))
    columns = make_columns(group_entrants([one, two]))
    assert all(set(column.cells) == {"a", "b"} for column in columns)

    def resized(report: Report) -> Report:
        values = [
            v.model_copy(update={"key": v.key.model_copy(update={"resizer": "bicubic"})}) if v.key.backbone else v
            for v in report.values
        ]
        return report.model_copy(update={"values": values})

    headlines = collect_headlines(get_zoo().registry)
    apart = make_columns(group_entrants([one, EvaluatedRun(resized(two.report), two.statistics)]))
    success = [column for column in apart if column.name == "success"]
    assert [set(column.cells) for column in success] == [{"a"}, {"b"}]
    assert any("resizer: bicubic / none" in line for line in list_key_differences(choose_headlines(apart, headlines)))
    assert [set(c.cells) for c in apart if c.name == "edit_error"] == [{"a", "b"}]
    table = format_markdown(group_entrants([one, two]), choose_headlines(columns, headlines), "zoo compare a b")
    assert "edit_error Eyeglasses ↓" in table and "zoo compare a b" in table


def test_better_run_is_marked_and_ties_shown(source: DrawnSource, study: Study, tmp_path: Path) -> None:
    truth = TrueRedraw(source, "Eyeglasses")
    most = known(lambda image, target: 0.9 * truth(image, target) + 0.1 * image)
    some = known(lambda image, target: 0.5 * truth(image, target) + 0.5 * image)
    blind = Study(**{**study.__dict__, "judge": None})
    runs = [stored(tmp_path / n, blind, e, about(n)) for n, e in (("most", most), ("some", some), ("same", most))]
    cells = next(c for c in make_columns(group_entrants(runs)) if c.name == "edit_error").cells
    assert cells["most"].value == pytest.approx(0.1, abs=0.02) and cells["some"].value == pytest.approx(0.5, abs=0.02)
    assert cells["most"].best and cells["same"].tied and not cells["some"].tied


def test_runs_with_equal_names_are_not_averaged(study: Study, tmp_path: Path) -> None:
    """A report knows what its run was called when it was evaluated; both folders may have been renamed since."""
    for k in (0, 1):
        stored(tmp_path / str(k), study, known(), about("sagan", config=str(k)))
    with pytest.raises(ConfigError, match="two runs are called sagan"):
        group_entrants([read_evaluated_run(tmp_path / str(k)) for k in (0, 1)])
    entrants = group_entrants([read_evaluated_run(tmp_path / str(k), f"now {k}") for k in (0, 1)])
    assert [entrant.name for entrant in entrants] == ["now 0", "now 1"]
    assert all(len(column.cells) == 2 for column in make_columns(entrants))


def test_runs_on_other_data_are_not_joined_as_seeds(study: Study, tmp_path: Path) -> None:
    """Where the data lie is no setting that matters; what they are does."""
    told = [("a", 0, "x"), ("b", 1, "x"), ("c", 2, "y"), ("d", 3, None), ("e", 4, None)]
    runs = [stored(tmp_path / n, study, known(), about(n, seed=seed, config="c", data=data)) for n, seed, data in told]
    assert [entrant.name for entrant in group_entrants(runs)] == ["a + b", "c", "d + e"]


def test_seeds_of_one_training_form_one_row(study: Study, tmp_path: Path) -> None:
    blind = Study(**{**study.__dict__, "judge": None})
    runs = [
        stored(tmp_path / str(k), blind, known(lambda i, t, k=k: i * (1 - 0.1 * k)), about(str(k), seed=k, config="c"))
        for k in range(3)
    ]
    entrants = group_entrants(runs)
    assert len(entrants) == 1 and entrants[0].name == "0 + 1 + 2"
    column = next(c for c in make_columns(entrants) if c.name == "outside_truth.l1")
    (cell,) = column.cells.values()
    alone = [s.compute() for r in runs for v, s in zip(r.report.values, r.statistics) if v.name == "outside_truth.l1"]
    assert cell.runs == 3 and cell.value == pytest.approx(sum(alone) / 3)
    assert cell.low is not None and cell.high is not None and cell.low < cell.value < cell.high


def test_report_with_damaged_rows_is_refused(study: Study, tmp_path: Path) -> None:
    stored(tmp_path, study, known(), about("a"))
    (tmp_path / "faces.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="evaluate the run again"):
        read_rows(tmp_path, read_report(tmp_path))
