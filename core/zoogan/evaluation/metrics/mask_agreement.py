"""Mask agreement: whether the generated segmentation of a face matches its picture."""

from __future__ import annotations

from typing import ClassVar

import torch

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.parts import check_parts, read_parts_like, require_part_editor, require_part_judge
from zoogan.interfaces import Headline, Measure, Samples, SetStatistic, Statistic, Study


class MaskAgreement(FaceMetric):
    """The generated segmentation of each sample compared with the judge's segmentation of its picture.

    - `mask_agreement.miou`: intersection over union of each part, summed over faces, and its mean over the parts that
    occur in either segmentation.
    - `mask_agreement.accuracy`: share of pixels on which both agree.
    - `mask_agreement.judge`: the judge's mean IoU on real held-out faces, over the parts that occur there: an upper
    limit of what can be expected.
    """

    kinds = ("samples",)
    title = "Mask agreement: the generated segmentation against what the judge reads off the generated picture"
    default_for: ClassVar = {"parts": 10}
    headlines: ClassVar = {
        "mask_agreement.miou": Headline("Mask agreement", "mean IoU of the generated masks and the judge's", 100, 130),
    }
    better: ClassVar = {
        "mask_agreement.miou": "higher", "mask_agreement.accuracy": "higher", "mask_agreement.judge": None,
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Check that there is a judge that reads parts.

        Raises:
            Unavailable: There is none.
        """
        self.judge = require_part_judge(study)
        super().start(study)

    def update_samples(self, samples: Samples) -> None:
        """Add one row a face and part that occurs in either segmentation.

        Raises:
            Unavailable: The samples have no parts, or others than the judge reads.
        """
        parts = require_part_editor(samples.editor).generator.parts
        check_parts(self.judge, parts, self.study)
        made = samples.edit.segmentation
        assert made is not None
        read = read_parts_like(self.judge, samples.image, parts, made)
        for k, part in enumerate(parts):
            a, b = made == k, read == k
            both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
            self.add_rows("mask_agreement.miou", samples, both, either, where=either > 0, attribute=part)
        self.add_rows("mask_agreement.accuracy", samples, (made == read).float().flatten(1).mean(1))

    def compute(self) -> list[Measure]:
        """Compute each part's value, the mean, and the accuracy of the judge itself."""
        scores = self.judge.part_scores
        faces = torch.arange(int(scores.get("faces", 0)))
        own = SetStatistic(faces, scores.get("mean_iou", float("nan")))
        return [*super().compute(), self.make_measure("mask_agreement.judge", None, own)]

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure with the judge as backbone."""
        judge = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, note=self._describe_judge(name, attribute), libraries=("timm",),
        )  # fmt: skip

    def _describe_judge(self, name: str, attribute: str | None) -> str:
        """Describe the accuracy of the judge on real faces."""
        if name == "mask_agreement.judge":
            return "of real held-out faces, as the judge stated when it was trained"
        if attribute is not None:
            row = self.judge.part_table.get(attribute)
            return "" if row is None else f"judge: IoU {row['iou']:.3f} on real faces"
        scores = {
            "mask_agreement.miou": ("mean_iou", "mean IoU"),
            "mask_agreement.accuracy": ("pixel_accuracy", "share"),
        }
        score, word = scores[name]
        value = self.judge.part_scores.get(score)
        return "" if value is None else f"judge: {word} {value:.3f} on real faces"
