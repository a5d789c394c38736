"""What a judge sees: whether the target is there, and whether everything else stayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoogan.data.label_sets import built_in, built_in_names
from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.interfaces import Edits, Measure, Ranking, Reader, Statistic, Study, Unavailable
from zoogan.pictures.photo import to_range


def judge_of(study: Study) -> Reader:
    """The study's judge.

    Raises:
        Unavailable: it has none.
    """
    if study.judge is None:
        raise Unavailable("no judge: train one with `zoo judge train`, or name one with --judge DIR")
    return study.judge


def accuracy(judge: Reader, names: Sequence[str]) -> str:
    """Its balanced accuracy on faces that nobody edited: of one attribute with its error, or the mean of several."""
    rows = [judge.table[name] for name in names if name in judge.table]
    if not rows:
        return ""
    mean = sum(row["balanced_accuracy"] for row in rows) / len(rows)
    error = f" ± {rows[0]['error']:.3f}" if len(rows) == 1 else f" over {len(rows)} attributes"
    return f"judge: balanced accuracy {mean:.3f}{error}"


class JudgedMetric(FaceMetric):
    """A metric that looks through the study's judge; its numbers carry the judge's own accuracy."""

    def start(self, study: Study) -> None:
        """Refuses a study without a judge, and one whose judge knows none of the attributes.

        Raises:
            Unavailable: so it is.
        """
        self.judge = judge_of(study)
        if not set(self.judge.attributes) & set(study.source.attributes):
            asked, has = ", ".join(study.source.attributes), ", ".join(self.judge.attributes) or "no attributes"
            raise Unavailable(f"the judge knows {has}, none of {asked}: train another with `zoo judge train`")
        super().start(study)

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """With the judge as backbone, and what is known of its own mistakes."""
        judge = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, note=self.note(attribute), libraries=("timm",),
        )  # fmt: skip

    def note(self, attribute: str | None) -> str:
        """How far this metric's judge can be trusted."""
        return ""


class Success(JudgedMetric):
    """Whether the judge sees the asked-for value after the edit.

    `success`: balanced accuracy (mean of adding and removing); `success.accuracy`: over all edits alike. Average
    precision and best F1 rank the edits by the judge's probability. `success.unedited`: `success` of not editing at
    all, so what the judge's own mistakes are worth.
    """

    title = "Success: the judge sees what was asked for"
    better: ClassVar[dict[str, Better]] = {
        "success": "higher", "success.adding": "higher", "success.removing": "higher", "success.accuracy": "higher",
        "success.average_precision": "higher", "success.best_f1": "higher", "success.unedited": None,
    }  # fmt: skip

    def note(self, attribute: str | None) -> str:
        """Its accuracy on that attribute."""
        return accuracy(self.judge, [attribute] if attribute else self.study.source.attributes)

    def start(self, study: Study) -> None:
        """Ready, with nothing ranked."""
        super().start(study)
        self._scores: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def update(self, edits: Edits) -> None:
        """Reads the edits, and the inputs."""
        if edits.attribute not in self.judge.attributes:
            return
        column = self.judge.attributes.index(edits.attribute)
        threshold = self.judge.thresholds[column].to(edits.image)
        before, after = (self.judge.probabilities(x)[:, column] for x in (edits.image, edits.edited))
        wanted = edits.wanted > 0.5
        right = ((after > threshold) == wanted).float()
        self.add("success", edits, right, stratum=wanted)
        self.add("success.accuracy", edits, right)
        self.add("success.adding", edits, right, where=wanted)
        self.add("success.removing", edits, right, where=~wanted)
        self.add("success.unedited", edits, ((before > threshold) == wanted).float(), stratum=wanted)
        row = (edits.faces.cpu(), after.cpu().double(), wanted.cpu().double())
        self._scores.setdefault(edits.attribute, []).append(row)

    def measures(self) -> list[Measure]:
        """The ratios, and the two rankings of each attribute."""
        together: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for mine in self.study.world.everyone(self._scores):
            for attribute, rows in mine.items():
                together.setdefault(attribute, []).extend(rows)
        told = super().measures()
        for attribute, rows in together.items():
            face, score, label = (torch.cat(parts) for parts in zip(*rows))
            order = face.argsort(stable=True)
            for kind in ("average_precision", "best_f1"):
                ranking = Ranking(face[order], score[order], label[order], kind)
                told.append(self.measure(f"success.{kind}", attribute, ranking))
        return told


class Preservation(JudgedMetric):
    """Whether the judge reads every other attribute as before: the share of unchanged readings, mean over attributes.

    Attributes that exclude the edited one are left out, by the source's word or the run's, whether or not the run knows
    them: setting a hair colour must clear the others. `preservation.truth`: the same of the true redraw, where it is
    known; so the judge's own wavering.
    """

    title = "Preservation: the judge reads everything else as before the edit"
    better: ClassVar[dict[str, Better]] = {"preservation": "higher", "preservation.truth": None}

    def update(self, edits: Edits) -> None:
        """One row a face and off-target attribute."""
        thresholds = self.judge.thresholds.to(edits.image)
        before, after = (self.judge.probabilities(x) > thresholds for x in (edits.image, edits.edited))
        best = None if edits.truth is None else self.judge.probabilities(edits.truth) > thresholds
        for name in self.others(edits.attribute):
            k = self.judge.attributes.index(name)
            stratum = torch.full_like(edits.faces, k)
            self.add("preservation", edits, (before[:, k] == after[:, k]).float(), stratum=stratum)
            if best is not None:
                self.add("preservation.truth", edits, (before[:, k] == best[:, k]).float(), stratum=stratum)

    def others(self, attribute: str) -> list[str]:
        """The attributes that an edit of this one must leave alone."""
        groups = (*self.study.source.groups, *self.study.exclusive)
        rivals = {name for group in groups if attribute in group for name in group}
        return [name for name in self.judge.attributes if name != attribute and name not in rivals]

    def note(self, attribute: str | None) -> str:
        """Its mean accuracy on what should stay."""
        return accuracy(self.judge, self.others(attribute)) if attribute else ""


class Pose(JudgedMetric):
    """How far the head turns: mean |yaw|, |pitch| and |roll| between edit and input, in degrees, as the judge reads it.

    Only for judges that were trained on faces whose pose is known.
    """

    title = "Pose kept: degrees that the head turns by the edit"
    better: ClassVar[dict[str, Better]] = {"pose_change": "lower"}

    def start(self, study: Study) -> None:
        """Refuses a judge that cannot read poses.

        Raises:
            Unavailable: so it is.
        """
        super().start(study)
        if study.source.size(study.split) and self.judge.poses(first_face(study)) is None:
            raise Unavailable("this judge reads no pose: train one on drawn faces, whose pose is known")

    def update(self, edits: Edits) -> None:
        """One row a face."""
        before, after = self.judge.poses(edits.image), self.judge.poses(edits.edited)
        assert before is not None and after is not None
        self.add("pose_change", edits, (after - before).abs().mean(1))


class Segmentation(JudgedMetric):
    """The parts of the edit, as the judge segments them (or the editor itself), against those of the true redraw.

    `segmentation.miou`: mean over classes of intersection / union, summed over faces. `segmentation.accuracy`: share of
    pixels. `segmentation.miou.truth`: the judge's reading of the true redraw, the most that can be reached.
    """

    title = "Segmentation of the edit against that of the true redraw"
    better: ClassVar[dict[str, Better]] = {
        "segmentation.miou": "higher", "segmentation.accuracy": "higher", "segmentation.miou.truth": None,
        "segmentation.miou.editor": "higher",
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Refuses sources without a true segmentation and judges that read none.

        Raises:
            Unavailable: so it is.
        """
        super().start(study)
        if not study.source.size(study.split):
            return
        redrawn = study.source.redraw(study.split, [0])
        if redrawn is None or "segmentation" not in redrawn:
            raise Unavailable("only drawn faces have a true segmentation of the edit")
        if self.judge.segmentation(first_face(study)) is None:
            raise Unavailable("this judge reads no segmentation: train one on drawn faces")
        told = getattr(self.judge, "parts", study.source.parts)  # somebody's own judge need not name them
        if tuple(told) != study.source.parts:
            raise Unavailable(other_parts(told, study.source.parts, study))

    def update(self, edits: Edits) -> None:
        """One row a face and class."""
        assert edits.redrawn is not None and edits.truth is not None
        true = edits.redrawn["segmentation"].to(edits.image.device).long()
        seen, best = (fitted(self.judge.segmentation(x), true) for x in (edits.edited, edits.truth))
        self.overlap("segmentation.miou", edits, seen, true)
        self.overlap("segmentation.miou.truth", edits, best, true)
        if edits.edit.segmentation is not None:
            self.overlap("segmentation.miou.editor", edits, fitted(edits.edit.segmentation, true), true)
        self.add("segmentation.accuracy", edits, (seen == true).float().flatten(1).mean(1))

    def overlap(self, name: str, edits: Edits, seen: Tensor, true: Tensor) -> None:
        """Intersection and union of every class that either has."""
        for label in torch.cat([seen.unique(), true.unique()]).unique().tolist():
            a, b = seen == label, true == label
            stratum = torch.full_like(edits.faces, int(label))
            self.add(name, edits, (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1), stratum)


def other_parts(has: Sequence[str], wanted: Sequence[str], study: Study) -> str:
    """Why a judge cannot tell these parts, and how to get one that can."""
    named = next((name for name in built_in_names() if built_in(name).names == tuple(wanted)), None)
    sets = f" --set data.label_set={named or 'FILE'}"
    odd = sorted(set(has) ^ set(wanted))
    differ = f"they differ in {', '.join(odd)}" if odd else "in another order"
    return (
        f"the judge tells {len(has)} parts apart, {len(wanted)} are asked for ({differ}): train one that tells these, "
        f"`zoo judge train --data {study.source_name}{sets} --size {study.source.image_size} --out DIR`, and name it "
        "with --judge DIR"
    )


def fitted(seen: Tensor | None, true: Tensor) -> Tensor:
    """A segmentation at the size of another: nearest pixels, as classes have no mean."""
    assert seen is not None
    if seen.shape == true.shape:
        return seen
    return F.interpolate(seen[:, None].float(), true.shape[-2:], mode="nearest-exact")[:, 0].long()


def first_face(study: Study) -> Tensor:
    """A face to ask a judge what it can read."""
    return to_range(study.source.read(study.split, [0])["image"]).to(study.device)
