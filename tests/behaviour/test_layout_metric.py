"""The metric `layout`, the judge of layouts, and the targets and redraws that edits of layouts are measured with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from support.layout_editors import ChangeMap, KnownLayoutEditor, TrueMap
from zoogan.data import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.evaluation.metric_runner import run_metrics
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.evaluation.metrics.layout import Layout, LayoutConfig
from zoogan.evaluation.metrics.lookup import list_default_metrics
from zoogan.evaluation.sheets import make_comparison_sheet, make_edit_sheet
from zoogan.evaluation.study import iterate_edits, open_study
from zoogan.interfaces import Edit, Edits, Ratio, Study
from zoogan.judges import layout_judge
from zoogan.judges.layout_judge import open_layout_judge
from zoogan.plugins.host import get_zoo
from zoogan.testing.editors import KnownEditor

ATTRIBUTES = ("Male", "Eyeglasses", "Wearing_Hat", "Bangs", "Bald")
HIDDEN = {"Wearing_Hat": ("Bangs", "Bald")}
PLAIN = LayoutConfig(success=False)


@pytest.fixture(scope="module")
def source() -> DrawnSource:
    chances = {"Eyeglasses": 0.5, "Wearing_Hat": 0.4, "Bangs": 0.4}
    return DrawnSource(DrawnData(image_size=32, attributes=ATTRIBUTES, probabilities=chances, faces=300, held_out=40))


def measure(
    source: DrawnSource, attribute: str, change: ChangeMap | None, config: LayoutConfig = PLAIN
) -> dict[str, float]:
    editor = KnownLayoutEditor(source, change)
    study = open_study(source, "drawn", editor=editor)
    result = run_metrics(editor, study, {"layout": Layout(config)}, [attribute], strict=True)
    return {m.name.removeprefix("layout."): m.statistic.compute() for _, m in result.measures if m.attribute}


@pytest.mark.parametrize("attribute", ["Eyeglasses", "Wearing_Hat", "Bald"])
def test_copy_changes_nothing_and_keeps_everything(source: DrawnSource, attribute: str) -> None:
    values = measure(source, attribute, None)
    assert values["changed"] == 0 and values["kept"] == 1
    for figure in ("changed", "kept", "left", "accuracy", "miou"):
        assert values[figure] == values[f"{figure}.unedited"]
    assert values.get("iou") == values.get("iou.unedited")
    assert values["left"] > 0.03 and values["miou"] < 0.95


@pytest.mark.parametrize("attribute", ["Eyeglasses", "Wearing_Hat", "Bald"])
def test_true_redraw_scores_one_everywhere(source: DrawnSource, attribute: str) -> None:
    values = measure(source, attribute, TrueMap(source, attribute))
    for figure in ("changed", "changed.adding", "kept", "accuracy", "miou"):
        assert values[figure] == 1
    assert values.get("iou") == (None if attribute == "Bald" else 1)  # no hair is left to overlap
    assert values["left"] == values["left.truth"] < 0.01 < values["left.unedited"]


def test_metric_of_hand_made_maps_is_as_computed_by_hand(source: DrawnSource) -> None:
    metric = Layout(LayoutConfig(success=False, parts={"Eyeglasses": "eye_g"}))
    editor = KnownLayoutEditor(source)
    metric.start(open_study(source, "drawn", editor=editor))
    assert source.parts.index("eye_g") == 3
    before, after, truth = (
        torch.tensor([values], dtype=torch.uint8).view(1, 3, 3)
        for values in ([0, 1, 1, 1, 2, 0, 4, 4, 4], [0, 3, 1, 1, 3, 3, 4, 4, 4], [0, 3, 3, 1, 2, 0, 4, 4, 4])
    )
    labels, image = torch.zeros(1, len(ATTRIBUTES)), torch.zeros(1, 3, 3, 3)
    target = labels.clone()
    target[:, 1] = 1
    edits = Edits(
        editor, "Eyeglasses", faces=torch.tensor([0]), image=image, own=labels, target=target,
        edit=Edit(None, segmentation=after.long()), true_redraw=image, sample={"segmentation": before},
        redraw_sample={"segmentation": truth},
    )  # fmt: skip
    metric.update(edits)
    values = {m.name: m.statistic.compute() for m in metric.compute()}
    assert values["layout.changed"] == 1 / 2  # of two pixels of glasses
    assert values["layout.kept"] == pytest.approx(5 / 7)
    assert values["layout.iou"] == pytest.approx(1 / 4)  # once right, twice where there are none, once missing
    assert values["layout.accuracy"] == pytest.approx(1 - 2 * 3 / (9 * len(source.parts)))
    assert "layout.left" not in values and "layout.changed.removing" not in values


def test_metric_has_a_row_for_each_face(source: DrawnSource) -> None:
    editor = KnownLayoutEditor(source)
    study = open_study(source, "drawn", editor=editor)
    result = run_metrics(editor, study, {"layout": Layout(PLAIN)}, ["Eyeglasses", "Wearing_Hat"], strict=True)
    pooled = {m.name: m.statistic for _, m in result.measures if m.attribute is None}["layout.kept"]
    assert isinstance(pooled, Ratio) and pooled.group is not None
    assert len(pooled.face) == 80 and pooled.count_faces() == 40 and pooled.group.unique().tolist() == [0, 1]


def test_part_of_unnamed_attribute_is_what_redraws_change_most(source: DrawnSource) -> None:
    metric = Layout(LayoutConfig(success=False, parts={}))
    metric.start(open_study(source, "drawn", editor=KnownLayoutEditor(source)))
    parts = {name: metric.get_part(name) for name in ("Wearing_Hat", "Bald", "Bangs")}
    named = {name: source.parts[part] for name, part in parts.items() if part is not None}
    assert named["Wearing_Hat"] in ("hat", "hair") and (named["Bald"], named["Bangs"]) == ("hair", "hair")


# ---- which metrics measure such editors ----


def test_metrics_of_images_are_refused_with_the_reason(source: DrawnSource) -> None:
    editor = KnownLayoutEditor(source)
    result = run_metrics(
        editor, open_study(source, "drawn", editor=editor), {"edit_error": EditError(), "layout": Layout(PLAIN)},
        ["Eyeglasses"], strict=True,
    )  # fmt: skip
    assert result.skipped["edit_error"].endswith("this run's edits are maps of parts and have no image")
    assert set(result.titles) == {"layout"}


def test_layout_metric_is_refused_for_edits_without_segmentation(source: DrawnSource) -> None:
    editor = KnownEditor(source.attributes)
    study = open_study(source, "drawn", editor=editor)
    result = run_metrics(editor, study, {"layout": Layout(PLAIN), "e": EditError()}, ["Eyeglasses"], strict=True)
    assert result.skipped["layout"].endswith("this run's edits have none") and set(result.titles) == {"e"}


def test_default_metrics_of_layouts_are_layout_alone() -> None:
    registry = get_zoo().registry
    assert list_default_metrics(registry, "edits", layouts=True) == ["layout"]
    assert "layout" not in list_default_metrics(registry, "edits")


# ---- targets and redraws ----


def iterate_with_clears(source: DrawnSource, attribute: str) -> tuple[Study, list[Edits]]:
    editor = KnownLayoutEditor(source)
    editor.clears, editor.exclusive = HIDDEN, (("Bangs", "Bald"),)
    study = open_study(source, "drawn", editor=editor)
    return study, list(iterate_edits(editor, study, attribute))


def test_hat_clears_what_it_hides_in_target_and_redraw(source: DrawnSource) -> None:
    _, batches = iterate_with_clears(source, "Wearing_Hat")
    own, target, redrawn = (
        torch.cat(parts) for parts in zip(*((e.own, e.target, (e.redraw_sample or {})["attributes"]) for e in batches))
    )
    gains = target[:, 2] == 1
    assert bool((own[gains][:, [3, 4]] == 1).any()), "no face that gains a hat has bangs or a bald head"
    assert bool((target[gains][:, [3, 4]] == 0).all())
    assert torch.equal(target, redrawn), "the truth shows other labels than were asked for"


def test_hat_without_clears_keeps_the_labels_that_it_hides(source: DrawnSource) -> None:
    editor = KnownEditor(source.attributes)
    batches = list(iterate_edits(editor, open_study(source, "drawn", editor=editor), "Wearing_Hat"))
    own, target = (torch.cat(parts) for parts in zip(*((e.own, e.target) for e in batches)))
    assert torch.equal(own[:, [0, 1, 3, 4]], target[:, [0, 1, 3, 4]])


def test_clearing_is_one_way_and_part_of_the_key(source: DrawnSource) -> None:
    study, batches = iterate_with_clears(source, "Bangs")
    own, target = (torch.cat(parts) for parts in zip(*((e.own, e.target) for e in batches)))
    assert torch.equal(own[:, 2], target[:, 2])
    assert study.list_added_rivals("Wearing_Hat") == ("Bald", "Bangs") and not study.list_added_rivals("Bangs")
    with pytest.raises(ValueError, match="cleared attributes differ"):
        other = dataclasses.replace(study, clears={})
        editor = batches[0].editor
        run_metrics(editor, other, {"layout": Layout(PLAIN)}, ["Bangs"])


# ---- sheets ----


def test_sheets_show_coloured_maps(source: DrawnSource) -> None:
    editor = KnownLayoutEditor(source)
    study = open_study(source, "drawn", editor=editor)
    sheet = make_edit_sheet(editor, study, "Eyeglasses")
    assert sheet is not None
    glasses = torch.tensor([15, 255, 15], dtype=torch.uint8)[:, None, None]
    assert int((sheet == glasses).all(0).sum()) > 1000
    both = make_comparison_sheet([("one", editor), ("two", editor)], [study, study], "Eyeglasses")
    assert both is not None and int((both == glasses).all(0).sum()) > 1000


# ---- the judge of layouts ----


@pytest.fixture
def quick_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_judge, "ITERATIONS", 60)
    monkeypatch.setattr(layout_judge, "MOST_TRAINING", 300)


def test_judge_reads_labels_and_is_trained_once(
    source: DrawnSource, quick_judge: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = open_layout_judge(source, "drawn", tmp_path)
    sample = source.read("test", list(range(40)))
    agree = (judge.read_labels(sample["segmentation"])[:, 1:3] == sample["attributes"][:, 1:3]).float().mean(0)
    assert agree.tolist() >= [0.85, 0.85]
    assert judge.table["Eyeglasses"]["balanced_accuracy"] > 0.9
    with monkeypatch.context() as patch:
        patch.setattr(layout_judge, "train_layout_judge", lambda _: pytest.fail("it trained again"))
        again = open_layout_judge(source, "drawn", tmp_path)
    assert again.digest == judge.digest
    assert torch.equal(again.read_attributes(sample["segmentation"]), judge.read_attributes(sample["segmentation"]))
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    assert open_layout_judge(source, "drawn", tmp_path).table.keys() == judge.table.keys()


@pytest.mark.usefixtures("quick_judge", "temporary_cache")
def test_success_is_high_for_the_truth_and_low_for_a_copy(source: DrawnSource) -> None:
    config = LayoutConfig(reference=False)
    truth = measure(source, "Eyeglasses", TrueMap(source, "Eyeglasses"), config)
    copy = measure(source, "Eyeglasses", None, config)
    assert truth["success"] > 0.9 and truth["success"] == truth["success.truth"]
    assert copy["success"] < 0.1 and copy["success"] == copy["success.unedited"]


def test_judge_needs_both_values_of_every_attribute(source: DrawnSource) -> None:
    class OneSided(DrawnSource):
        def read(self, split: str, indices: list[int]) -> dict[str, Tensor]:  # type: ignore[override]
            sample = super().read(split, indices)  # type: ignore[arg-type]
            return sample | {"attributes": sample["attributes"] * 0}

    with pytest.raises(ValueError, match="the same value of Male"):
        open_layout_judge(OneSided(source.config), "drawn", Path("unused"))
