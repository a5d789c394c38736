"""Layout: the edited map of the parts of a face against that of its true redraw, beside the unedited map."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Int64
from pydantic import Field
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.judged import resize_labels
from zoogan.interfaces import Better, Edits, Headline, Measure, Statistic, Study, Unavailable
from zoogan.judges.layout_judge import LayoutJudge, open_layout_judge
from zoogan.layers.layout import make_layout

PARTS = {"Eyeglasses": "eye_g", "Wearing_Hat": "hat", "Bangs": "hair", "Bald": "hair", "Wearing_Earrings": "ear_r"}
LOOKED_AT = 50  # faces whose true redraws decide which part an attribute changes
REMOVED = 0.5  # the truth removes a part where it leaves less than this share of its pixels
Map = Int64[Tensor, "n h w"]
BOTH_WAYS = ("", ".adding", ".removing")


class LayoutConfig(ComponentConfig):
    """Options of the metric `layout`.

    Attributes:
        parts: The part that edits of an attribute are about, by its name. Attributes without an entry take the part
            whose area the true redraws change most.
        success: Train a judge of layouts if there is none yet, for `layout.success`; it takes seconds.
        reference: Edit once more, in the style of the true redraw, for `layout.reference`.
    """

    use: Literal["layout"] = "layout"
    parts: dict[str, str] = Field(default_factory=partial(dict, PARTS))
    success: bool = True
    reference: bool = True


def list_measures() -> dict[str, Better]:
    """List the measures in the order of the report."""
    names: dict[str, Better] = {}
    for figure in ("changed", "kept", "iou"):
        for way in BOTH_WAYS:
            names |= {f"layout.{figure}{way}": "higher", f"layout.{figure}{way}.unedited": None}
    names |= {"layout.left": "lower", "layout.left.truth": None, "layout.left.unedited": None}
    names |= {f"layout.success{way}": "higher" for way in BOTH_WAYS}
    names |= {"layout.success.unedited": None, "layout.success.truth": None}
    names |= {f"layout.reference.{figure}{way}": "higher" for figure in ("changed", "kept", "iou") for way in BOTH_WAYS}
    for figure in ("accuracy", "miou"):
        names |= {f"layout.{figure}": "higher", f"layout.{figure}.unedited": None}
    return names


class Layout(FaceMetric):
    """The parts of edited faces compared with those of the true redraws. A copy of the input has changed 0, kept 1.

    Each figure of the edit has the same figure of the unedited map beside it, `.unedited`.

    - `layout.changed`: share of the pixels that the truth changes which are right.
    - `layout.kept`: share of the other pixels which are left alone.
    - `layout.iou`: intersection / union, summed over faces, of the part that the attribute is about, on the faces
      whose true redraw shows it; `layout.left` measures the others.
    - `layout.left`: share of the picture that still shows that part where the truth removes it; `.truth` is the
      truth's own share.
    - `layout.success`: how often a judge of layouts reads the requested value, the mean of adding and removing. The
      judge was trained on true maps of the source and no run has a share in it; `.truth` is its reading of the true
      redraws, an upper limit.
    - `layout.reference`: changed, kept and iou of the edit in the style of the true redraw itself.
    - `layout.accuracy`: share of equal elements of the one-hot maps, which SMILE's authors call mIoU.
    - `layout.miou`: mean over parts of intersection / union, summed over faces.
    """

    Config = LayoutConfig
    config: LayoutConfig
    title = "Layout: the parts of the edit against those of the true redraw, and the unedited map for comparison"
    default_for: ClassVar = {"layouts": 10}
    reads: ClassVar = ("segmentation",)
    headlines: ClassVar = {
        "layout.changed": Headline("Changed pixels right", "of those that the true redraw changes", 10, 10),
        "layout.kept": Headline("Other pixels kept", "of those that the true redraw leaves alone", 12, 12),
        "layout.iou": Headline("IoU of the part", "of glasses, hat or hair with the true redraw's", 14, 14),
        "layout.success": Headline("Success on layouts", "of the edits show the requested value", 21, 21),
        "layout.reference.iou": Headline("IoU, true reference", "with the true redraw as the reference", 22, 22),
    }
    better: ClassVar = list_measures()

    def start(self, study: Study) -> None:
        """Check that the source has what the metric reads; open the judge and choose the part of each attribute.

        Raises:
            Unavailable: The source has no segmentations, or neither true redraws nor a judge.
        """
        super().start(study)
        source = study.source
        if "segmentation" not in source.fields or not source.parts:
            raise Unavailable("these faces have no segmentations: evaluate with --data drawn, or with label maps")
        unknown = sorted({part for part in self.config.parts.values()} - set(source.parts) - set(PARTS.values()))
        if unknown:
            raise Unavailable(
                f"layout.parts: {', '.join(unknown)} is no part of these faces; their parts: {', '.join(source.parts)}"
            )
        has_faces = bool(source.count_faces(study.split))
        self.has_truth = has_faces and source.redraw(study.split, [0]) is not None
        self.judge, problem = self._open_judge(study) if self.config.success else (None, "")
        self.problem = f"no layout.success: {problem}" if problem else ""
        if not self.has_truth and self.judge is None:
            reason = problem or "layout.success=false"
            raise Unavailable(f"these faces have no true redraw to compare with, and there is no judge: {reason}")
        self._parts: dict[str, int | None] = {}

    def _open_judge(self, study: Study) -> tuple[LayoutJudge | None, str]:
        """Open the judge of layouts, which the first process trains if necessary; or explain why there is none."""

        def open_judge() -> tuple[LayoutJudge | None, str]:
            try:
                return open_layout_judge(study.source, study.source_name, study.cache), ""
            except (ValueError, OSError) as error:
                return None, str(error)

        judge, problem = open_judge() if study.world.rank == 0 else (None, "")
        study.world.barrier()
        return open_judge() if study.world.rank > 0 else (judge, problem)

    def get_part(self, attribute: str) -> int | None:
        """Return the part that edits of an attribute are about; None if the true redraws change no part."""
        if attribute not in self._parts:
            parts, named = self.study.source.parts, self.config.parts.get(attribute)
            self._parts[attribute] = parts.index(named) if named in parts else self.find_changed_part(attribute)
        return self._parts[attribute]

    def find_changed_part(self, attribute: str) -> int | None:
        """Find the part whose area the true redraws of the first faces, with the attribute flipped, change most."""
        study, source = self.study, self.study.source
        numbers = list(range(min(LOOKED_AT, study.faces)))
        sample, column = source.read(study.split, numbers), source.attributes.index(attribute)
        redraw = source.redraw(study.split, numbers, **{attribute: 1 - sample["attributes"][:, column]})
        if redraw is None:
            return None
        areas = [make_layout(x["segmentation"].long(), len(source.parts)).sum((2, 3)) for x in (sample, redraw)]
        change = (areas[1] - areas[0]).abs().sum(0)
        return int(change.argmax()) if bool(change.any()) else None

    def update(self, edits: Edits) -> None:
        """Add the edited and the unedited maps, and the edit in the style of the true redraw."""
        if edits.editor.parts != self.study.source.parts:
            raise Unavailable(
                f"this run's parts are {', '.join(edits.editor.parts)}, those of the faces "
                f"{', '.join(self.study.source.parts)}: choose the run's label set, --set data.label_set=NAME"
            )
        before, truth = edits.segmentation, edits.true_segmentation
        assert before is not None
        after = resize_labels(edits.edited_segmentation, before)
        self._add_success(edits, before, after, truth)
        if truth is None:
            return
        for kind, shown in (("", after), (".unedited", before)):
            self._add_figures("layout", kind, edits, before, shown, truth)
            self._add_agreement(kind, edits, shown, truth)
        self._add_left(edits, before, after, truth)
        if self.config.reference and edits.editor.takes_reference and not edits.editor.makes_images:
            reference = make_layout(truth, len(self.study.source.parts))
            again = edits.edit_with_reference(reference).segmentation
            self._add_figures("layout.reference", "", edits, before, resize_labels(again, before).long(), truth)

    def _add_both_ways(
        self, name: str, kind: str, edits: Edits, numerator: Tensor, denominator: Tensor, rows: Tensor | None = None
    ) -> None:
        """Add rows to a measure and to those of adding and of removing; `rows` are the faces that count."""
        adding = edits.target_value > 0.5
        rows = torch.ones_like(adding) if rows is None else rows
        for way, where in (("", rows), (".adding", rows & adding), (".removing", rows & ~adding)):
            if bool(where.any()):
                self.add_rows(f"{name}{way}{kind}", edits, numerator, denominator, where=where)

    def _add_figures(self, group: str, kind: str, edits: Edits, before: Map, shown: Map, truth: Map) -> None:
        """Add changed, kept and iou."""
        changes = before != truth
        right, kept = (shown == truth) & changes, (shown == before) & ~changes
        self._add_both_ways(f"{group}.changed", kind, edits, count(right), count(changes))
        self._add_both_ways(f"{group}.kept", kind, edits, count(kept), count(~changes))
        part = self.get_part(edits.attribute)
        if part is not None:
            a, b = shown == part, truth == part
            shows = count(b) > 0
            self._add_both_ways(f"{group}.iou", kind, edits, count(a & b), count(a | b), shows)

    def _add_left(self, edits: Edits, before: Map, after: Map, truth: Map) -> None:
        """Add the share of the part that is left, of faces from which the truth removes it."""
        part = self.get_part(edits.attribute)
        if part is None:
            return
        removed = count(truth == part) < REMOVED * count(before == part)
        if bool(removed.any()):
            for kind, shown in (("", after), (".truth", truth), (".unedited", before)):
                share = (shown == part).double().flatten(1).mean(1)
                self.add_rows(f"layout.left{kind}", edits, share, where=removed)

    def _add_agreement(self, kind: str, edits: Edits, shown: Map, truth: Map) -> None:
        """Add accuracy and miou."""
        classes = len(self.study.source.parts)
        wrong = (shown != truth).double().flatten(1).mean(1)
        self.add_rows(f"layout.accuracy{kind}", edits, 1 - 2 * wrong / classes)  # a wrong pixel has 2 wrong elements
        for part in range(classes):
            a, b = shown == part, truth == part
            union = count(a | b)
            stratum = torch.full_like(edits.faces, part)
            self.add_rows(f"layout.miou{kind}", edits, count(a & b), union, stratum, where=union > 0)

    def _add_success(self, edits: Edits, before: Map, after: Map, truth: Map | None) -> None:
        """Add whether the judge reads the requested value."""
        if self.judge is None or edits.attribute not in self.judge.attributes:
            return
        column, adding = self.judge.attributes.index(edits.attribute), edits.target_value > 0.5

        def is_right(shown: Map) -> Bool[Tensor, " n"]:
            assert self.judge is not None
            return (self.judge.read_labels(shown)[:, column] > 0.5) == adding

        right = is_right(after).double()
        self.add_rows("layout.success", edits, right, stratum=adding)
        for way, where in ((".adding", adding), (".removing", ~adding)):
            if bool(where.any()):
                self.add_rows(f"layout.success{way}", edits, right, where=where)
        self.add_rows("layout.success.unedited", edits, is_right(before).double(), stratum=adding)
        if truth is not None:
            self.add_rows("layout.success.truth", edits, is_right(truth).double(), stratum=adding)

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; its note names the part or the judge."""
        if not name.startswith("layout.success"):
            part = None if attribute is None else self._parts.get(attribute)
            is_about = part is not None and (".iou" in name or ".left" in name)
            note = f"of {self.study.source.parts[part]}" if is_about and part is not None else ""
            note = self.problem if name == "layout.changed" else note
            return Measure(name, attribute, statistic, self.better[name], note=note)
        judge = self.judge
        assert judge is not None
        names = [attribute] if attribute is not None else list(judge.attributes)
        scores = [judge.table[name]["balanced_accuracy"] for name in names if name in judge.table]
        note = f"judge of layouts: balanced accuracy {sum(scores) / len(scores):.3f} on true maps" if scores else ""
        return Measure(
            name, attribute, statistic, self.better[name], backbone="judge of layouts", weights=judge.digest,
            resizer=f"nearest-{judge.size}", note=note,
        )  # fmt: skip


def count(where: Bool[Tensor, "n h w"]) -> Int64[Tensor, " n"]:
    """Count the pixels of each face where a condition holds."""
    return where.flatten(1).sum(1)
