"""Locality: how much an edit changes where it should change nothing."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.similarity import add_similarities
from zoogan.interfaces import Edits, Headline

SHUT, OPEN = 0.1, 0.5  # a mask below SHUT does not edit; one above OPEN does


class Locality(FaceMetric):
    """The change outside the region of the attribute: outside the true region where it is known, and outside the mask.

    `mask.iou` compares the method's mask (above 0.5) with the true region; `mask.area` is the mean of the mask.
    """

    title = "Locality: how much changes outside the true region, and where the method's own mask is shut"
    kinds = ("edits", "generated")
    default_for: ClassVar = {"edits": 50}
    headlines: ClassVar = {
        "outside_truth.l1": Headline("Change outside", "mean L1 where the true redraw changes nothing", 40, 40),
        "outside_mask.l1": Headline("Change outside its mask", "mean L1 where the method's own mask is shut", 140, 50),
    }
    better: ClassVar = {
        "outside_truth.l1": "lower", "outside_truth.psnr": "higher", "outside_truth.ssim": "higher",
        "outside_mask.l1": "lower", "outside_mask.psnr": "higher", "outside_mask.ssim": "higher",
        "mask.iou": "higher", "mask.area": None, "change.l1": None,
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Add the measures that the true redraw and the editor's mask allow."""
        self.add_rows("change.l1", edits, (edits.edited_image - edits.image).abs().flatten(1).mean(1))
        if edits.region is not None:
            add_similarities(self, "outside_truth", edits, edits.edited_image, edits.image, ~edits.region)
        mask = edits.edit.mask
        if mask is None:
            return
        add_similarities(self, "outside_mask", edits, edits.edited_image, edits.image, mask < SHUT)
        self.add_rows("mask.area", edits, mask.flatten(1).mean(1))
        if edits.region is not None:
            opened = mask > OPEN
            both, either = opened & edits.region, opened | edits.region
            self.add_rows("mask.iou", edits, both.flatten(1).sum(1), either.flatten(1).sum(1))
