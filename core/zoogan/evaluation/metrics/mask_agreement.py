"""Whether the segmentation that a maker gives with a face fits that face."""

from __future__ import annotations

from typing import ClassVar

import torch

from zoogan.evaluation.metrics.parts import check_parts, maker_of_parts, parser_of, reading
from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.interfaces import Measure, Samples, Statistic, Study, Whole


class MaskAgreement(FaceMetric):
    """The segmentation of each sample against what the judge reads off the sample's picture.

    `mask_agreement.miou`: intersection over union of each part, summed over faces, and its mean over the parts that
    occur in either. `mask_agreement.accuracy`: the share of pixels on which both agree. `mask_agreement.judge`: the
    judge's own mean on real held-out faces, which is the most that can be expected; parts that do not occur among those
    are not in it.
    """

    looks_at = ("samples",)
    title = "Mask agreement: the generated segmentation against what the judge reads off the generated picture"
    better: ClassVar[dict[str, Better]] = {
        "mask_agreement.miou": "higher", "mask_agreement.accuracy": "higher", "mask_agreement.judge": None,
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Refuses a study without a judge that tells parts apart.

        Raises:
            Unavailable: so it is.
        """
        self.judge = parser_of(study)
        super().start(study)

    def see(self, samples: Samples) -> None:
        """One row a face and part that either sees on it.

        Raises:
            Unavailable: the samples have no parts, or others than the judge knows.
        """
        parts = maker_of_parts(samples.editor).generator.parts
        check_parts(self.judge, parts, self.study)
        made = samples.made.segmentation
        assert made is not None
        seen = reading(self.judge, samples.image, parts, made)
        for k, part in enumerate(parts):
            a, b = made == k, seen == k
            union = (a | b).flatten(1).sum(1)
            self.add("mask_agreement.miou", samples, (a & b).flatten(1).sum(1), union, where=union > 0, attribute=part)
        self.add("mask_agreement.accuracy", samples, (made == seen).float().flatten(1).mean(1))

    def measures(self) -> list[Measure]:
        """Each part's, the mean, and how right the judge itself is."""
        scores = self.judge.part_scores
        tested = torch.arange(int(scores.get("faces", 0)))
        own = self.measure("mask_agreement.judge", None, Whole(tested, scores.get("mean_iou", float("nan"))))
        return [*super().measures(), own]

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """With the judge as backbone, and what is known of its own mistakes."""
        judge = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, note=self.note(name, attribute), libraries=("timm",),
        )  # fmt: skip

    def note(self, name: str, attribute: str | None) -> str:
        """What the judge itself reaches on real faces."""
        if name == "mask_agreement.judge":
            return "of real held-out faces, as the judge stated when it was trained"
        if attribute is not None:
            row = self.judge.part_table.get(attribute)
            return "" if row is None else f"judge: IoU {row['iou']:.3f} on real faces"
        told = {"mask_agreement.miou": ("mean_iou", "mean IoU"), "mask_agreement.accuracy": ("pixel_accuracy", "share")}
        score, word = told[name]
        value = self.judge.part_scores.get(score)
        return "" if value is None else f"judge: {word} {value:.3f} on real faces"
