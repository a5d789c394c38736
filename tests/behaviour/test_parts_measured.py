"""Makers of faces with parts: masks that fit the picture, parts that stay apart, and what is said without parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.part_metrics import PARTS, SIDE, ColourJudge, make_painted_editor, make_rectangle_painter
from support.set_metrics import NoiseSource, RandomFilters, make_study, run_in_two_threads
from zoogan.cli.evaluate import print_values
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.evaluation.build_report import build_report, collect_rows
from zoogan.evaluation.inputs import choose_metrics
from zoogan.evaluation.metric_runner import StudyMeasures, run_metrics
from zoogan.evaluation.metrics.diversity import Diversity
from zoogan.evaluation.metrics.frechet import FrechetSqueezeNet
from zoogan.evaluation.metrics.frequency import Frequency
from zoogan.evaluation.metrics.kernel import KernelSqueezeNet
from zoogan.evaluation.metrics.manifold import PrecisionRecallSqueezeNet
from zoogan.evaluation.metrics.mask_agreement import MaskAgreement
from zoogan.evaluation.metrics.part_leak import PartLeak, count_label_pairs
from zoogan.evaluation.part_sheet import make_part_legend, make_part_sheet
from zoogan.evaluation.reports.page import render_report
from zoogan.evaluation.reports.report import MeasuredRun, read_report, read_rows, write_report
from zoogan.interfaces import Editor, Metric, Study, World
from zoogan.interfaces.edits import make_face_seeds
from zoogan.pictures.palette import choose_colours
from zoogan.plugins.host import open_zoo
from zoogan.testing.editors import KnownGenerator


def parts_study(cache: Path, faces: int = 40, judge: Any = None, **options: Any) -> Study:
    return make_study(NoiseSource(), cache, faces=faces, judge=judge or ColourJudge(), kind="samples", **options)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return parts_study(tmp_path)


def both() -> dict[str, Metric]:
    return {"mask_agreement": MaskAgreement(), "part_leak": PartLeak(PartLeak.Config(faces=30))}


def values_of(found: StudyMeasures) -> dict[str, float]:
    assert not found.skipped, found.skipped
    return {f"{m.name} {m.attribute or 'all'}": m.statistic.compute() for _, m in found.measures}


# ---- by hand ----


def test_mask_agreement_equals_hand_computation(tmp_path: Path) -> None:
    """Two by two pixels, of which the judge calls one hair, one a hat and two the background."""
    image = torch.tensor([[-1.0, -1.0], [-0.8, -0.6]]).expand(1, 3, 2, 2)
    labels = torch.tensor([[[0, 1], [1, 1]]])
    fixed = make_painted_editor(
        lambda latents: (image.expand(len(latents), -1, -1, -1), labels.expand(len(latents), -1, -1))
    )
    parts = ("background", "hair", "hat", "nose")
    fixed.generator.parts = parts
    judge = ColourJudge(("nose", "hair", "background", "hat"), parts)
    found = run_metrics(fixed, parts_study(tmp_path, 3, judge), {"mask_agreement": MaskAgreement()}, [])
    told = {(m.name, m.attribute): m for _, m in found.measures}
    iou = {part: told["mask_agreement.miou", part].statistic for part in parts}
    assert iou["background"].compute() == 1 / 2, "one pixel of two"
    assert iou["hair"].compute() == pytest.approx(1 / 3) and iou["hat"].compute() == 0
    assert iou["nose"].compute() != iou["nose"].compute() and iou["nose"].count_faces() == 0, "neither sees one"
    assert told["mask_agreement.miou", None].statistic.compute() == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert told["mask_agreement.accuracy", None].statistic.compute() == 1 / 2
    own = told["mask_agreement.judge", None]
    assert (own.statistic.compute(), own.statistic.count_faces(), own.better) == (0.85, 30, None)
    assert told["mask_agreement.miou", None].note == "judge: mean IoU 0.850 on real faces"
    assert told["mask_agreement.miou", "hair"].note == "judge: IoU 0.750 on real faces"
    assert (own.backbone, own.weights) == ("judge marked", "2" * 64)


def test_part_leak_equals_known_leak(study: Study) -> None:
    """Every part's colour reaches all other pixels, a quarter as strong; shapes touch nothing else."""
    values = values_of(run_metrics(make_painted_editor(make_rectangle_painter(leak=0.25)), study, both(), []))
    for part in (*PARTS[1:], "all"):
        assert values[f"part_leak.texture {part}"] == pytest.approx(0.25, rel=1e-4)
        assert values[f"part_leak.others.both {part}"] == 1 and values[f"part_leak.relabelled {part}"] == 0
    assert "part_leak.texture background" not in values
    assert values["mask_agreement.miou all"] == values["mask_agreement.accuracy all"] == 1


def test_faces_without_part_are_excluded(study: Study) -> None:
    found = run_metrics(
        make_painted_editor(make_rectangle_painter()), study, {"part_leak": PartLeak(PartLeak.Config(faces=30))}, []
    )
    told = {(m.name, m.attribute): m for _, m in found.measures}
    editor = make_painted_editor(make_rectangle_painter())
    one, two = (editor.draw_latents(make_face_seeds(seed, torch.arange(30))) for seed in (0, 1))
    for k, part in enumerate(PARTS[1:], 1):
        before, after = (
            editor.synthesise(latents).segmentation for latents in (one, editor.replace_part(one, two, part))
        )
        assert before is not None and after is not None
        shown, shows = ((labels == k).flatten(1).any(1) for labels in (before, after))
        assert told["part_leak.present", part].statistic.compute() == pytest.approx(float(shown.float().mean()))
        rows = told["part_leak.both", part].statistic
        assert rows.face.tolist() == (shown | shows).nonzero().flatten().tolist() != list(range(30))
        assert told["part_leak.both", part].note == "of the first 30 samples"


def test_dragged_parts_lower_other_masks(study: Study) -> None:
    values = values_of(run_metrics(make_painted_editor(make_rectangle_painter(drag=True)), study, both(), []))
    assert values["part_leak.others.shape hair"] < 0.9 and values["part_leak.shape hair"] > 0.05
    assert values["part_leak.others.shape nose"] == 1, "its own shape does nothing"
    assert values["part_leak.others.texture hair"] == 1 and values["part_leak.texture hair"] == 0


def test_texture_changes_of_labels_are_counted(tmp_path: Path) -> None:
    """Hair is the left half; where its texture says so, a quarter of the hair becomes a nose."""

    def paint(latents: Tensor) -> tuple[Tensor, Tensor]:
        labels = torch.zeros(len(latents), 4, 4, dtype=torch.int64)
        labels[:, :, :2] = 1
        labels[:, 0, :2] = torch.where(latents[:, 3, :1] > 0, 2, 1)
        return latents[:, 3, :1, None, None].expand(-1, 3, 4, 4) * (labels == 1)[:, None], labels

    found = run_metrics(make_painted_editor(paint), parts_study(tmp_path), {"part_leak": PartLeak()}, [])
    values = values_of(found)
    signs = [
        make_painted_editor(paint).draw_latents(make_face_seeds(seed, torch.arange(40)))[:, 3, 0] > 0 for seed in (0, 1)
    ]
    changed = float((signs[0] != signs[1]).float().mean())
    assert 0.2 < changed < 0.8, "a share that tells something"
    assert values["part_leak.relabelled hair"] == pytest.approx(changed * 2 / 16)
    assert values["part_leak.relabelled nose"] == 0 and values["part_leak.texture hair"] == 0


def test_label_pairs_are_counted_per_face() -> None:
    draw = torch.Generator().manual_seed(0)
    before, after = (torch.randint(3, (2, 4, 5), generator=draw) for _ in range(2))
    where = torch.rand(2, 4, 5, generator=draw) > 0.5
    pairs = count_label_pairs(before, after, 3, where)
    for n in range(2):
        for a in range(3):
            for b in range(3):
                assert pairs[n, a, b] == ((before[n] == a) & (after[n] == b) & where[n]).sum()
    assert count_label_pairs(before, after, 3).sum() == 40


@pytest.mark.slow
def test_part_distances_need_no_attributes(tmp_path: Path) -> None:
    """Makers of parts are trained on faces without a label."""
    source = DrawnSource(DrawnData(image_size=16, faces=60, held_out=60, attributes=(), label_set="celebamask-13"))
    study = make_study(source, tmp_path, faces=60, judge=ColourJudge(), kind="samples")
    metrics = {
        "fd": FrechetSqueezeNet(FrechetSqueezeNet.Config(), features=RandomFilters()),
        "kd": KernelSqueezeNet(KernelSqueezeNet.Config(), features=RandomFilters()),
        "prdc": PrecisionRecallSqueezeNet(PrecisionRecallSqueezeNet.Config(), features=RandomFilters()),
        "diversity": Diversity(),
    }
    values = values_of(run_metrics(make_painted_editor(make_rectangle_painter()), study, metrics, []))
    assert values["fd_squeezenet all"] > 0 and values["kd_squeezenet all"] > 0 and values["diversity.l1 all"] > 0


# ---- what does not show ----


def test_two_processes_measure_like_one(tmp_path: Path) -> None:
    alone = values_of(
        run_metrics(
            make_painted_editor(make_rectangle_painter(0.1)), parts_study(tmp_path / "one", faces=41), both(), []
        )
    )

    def work(rank: int, world: World) -> StudyMeasures:
        return run_metrics(
            make_painted_editor(make_rectangle_painter(0.1)),
            parts_study(tmp_path / "two", faces=41, world=world),
            both(),
            [],
        )

    for found in run_in_two_threads(work):
        assert values_of(found) == pytest.approx(alone, rel=1e-6, nan_ok=True)


# ---- refusals ----


@pytest.mark.parametrize(
    ("editor", "judge", "told"),
    [
        (
            KnownGenerator(lambda seeds: torch.zeros(len(seeds), 3, 16, 16)),
            ColourJudge(),
            "this run's faces have no parts",
        ),
        (make_painted_editor(make_rectangle_painter()), ColourJudge(()), "this judge reads no segmentation"),
        (
            make_painted_editor(make_rectangle_painter()),
            ColourJudge(PARTS[:3]),
            "the judge reads 3 parts, 4 are needed (they differ in hat)",
        ),
    ],
)
def test_unmeasurable_parts_are_reported(editor: Editor, judge: Any, told: str, tmp_path: Path) -> None:
    found = run_metrics(editor, parts_study(tmp_path, 4, judge), both(), [])
    assert found.skipped["mask_agreement"].startswith(told)
    if "differ" in told:
        assert (
            "`zoo judge train --data noise --set data.label_set=FILE --size 16 --out DIR`, and name it with --judge DIR"
            in str(found.skipped)
        )
    assert ("part_leak" in found.skipped) is isinstance(editor, KnownGenerator)


def test_part_report_explains_missing_judge(study: Study) -> None:
    found = run_metrics(make_painted_editor(make_rectangle_painter()), replace(study, judge=None), both(), [])
    assert "zoo judge train" in found.skipped["mask_agreement"] and "part_leak" not in found.skipped
    found = run_metrics(make_painted_editor(make_rectangle_painter()), study, {"frequency": Frequency()}, [])
    assert found.skipped["frequency"].startswith("this judge reads no attributes, only parts")


def test_unknown_part_suggests_the_nearest(study: Study) -> None:
    editor = make_painted_editor(make_rectangle_painter())
    latents = editor.draw_latents([1, 2])
    with pytest.raises(ValueError, match="did you mean 'hair'"):
        editor.replace_part(latents, latents, "hairs")
    with pytest.raises(ValueError, match="did you mean 'texture'"):
        editor.replace_part(latents, latents, "hair", ("textur",))


def test_part_leak_replaces_only_its_rows() -> None:
    editor = make_painted_editor(make_rectangle_painter())
    one, other = editor.draw_latents([1, 2]), editor.draw_latents([3, 4])
    for kinds, rows in ((("shape", "texture"), [2, 3]), (("shape",), [2]), (("texture",), [3])):
        mixed = editor.replace_part(one, other, "hair", kinds)
        for row in range(8):
            assert torch.equal(mixed[:, row], (other if row in rows else one)[:, row])


# ---- reports ----


def test_part_metrics_are_default_with_parts() -> None:
    registry = open_zoo().registry
    sets = ["fd_squeezenet", "kd_squeezenet", "prdc_squeezenet"]
    assert list(choose_metrics(registry, None, {}, "samples")) == [*sets, "frequency", "diversity"]
    of_parts = [*sets, "frequency", "diversity", "mask_agreement", "part_leak"]
    assert list(choose_metrics(registry, None, {}, "samples", True)) == of_parts
    assert list(choose_metrics(registry, None, {}, "edits")) == [
        "edit_error", "truth", "success", "preservation", "locality", "reconstruction", "diversity", "pose",
        "segmentation", *sets,
    ]  # fmt: skip
    chosen = choose_metrics(registry, ["part_leak"], {"part_leak": {"faces": 7}}, "samples", True)
    assert registry.build("metric", chosen["part_leak"]).config.faces == 7


def test_report_shows_part_metrics(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zoogan.evaluation.build_report.RESAMPLES", 40)
    editor = make_painted_editor(make_rectangle_painter(0.1))
    found = run_metrics(editor, study, both(), [])
    about = MeasuredRun(
        run="known", method="known", recipe=None, config="known", seed=0, iteration=1, images=4, attributes=(),
        parameters={"generator": 8}, samples_per_second=90.0, device="cpu",
    )  # fmt: skip
    report = write_report(tmp_path / "r", build_report(found, study, about, None, "2026-11-21"), collect_rows(found))
    kept = read_report(tmp_path / "r")
    assert kept == report and len(read_rows(tmp_path / "r", kept)) == len(kept.values)
    leak = kept.find("part_leak.texture")
    assert leak is not None and leak.value == pytest.approx(0.1, rel=1e-3) and leak.low is not None
    hair = kept.find("mask_agreement.miou", "hair")
    assert hair is not None and hair.key.backbone == "judge marked"
    print_values(kept, PARTS)
    told = capsys.readouterr().out
    assert "part_leak.texture" in told and "hair" not in told, "what is told of each part is left to the page"
    print_values(kept)
    assert "hair" in capsys.readouterr().out
    sheet = make_part_sheet(editor, study)
    assert sheet is not None and sheet.shape[0] == 3
    bare = make_part_sheet(editor, replace(study, judge=None))
    assert bare is not None and bare.shape[2] == sheet.shape[2] - (sheet.shape[2] - 4) // 6, "a column less"
    page = render_report(kept, {}, {"parts": sheet}, make_part_legend(editor)).replace("<wbr>", "")
    assert 'alt="samples with their parts"' in page and page.count("■") == len(PARTS)
    assert "mask_agreement.judge" in page and "#{:02x}{:02x}{:02x}".format(*choose_colours(2)[1]) in page
    assert make_part_sheet(KnownGenerator(lambda seeds: torch.zeros(len(seeds), 3, SIDE, SIDE)), study) is None
