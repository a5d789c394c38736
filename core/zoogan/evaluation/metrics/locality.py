"""Locality: an edit should leave the rest of the picture alone."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.evaluation.metrics.similarity import compare
from zoogan.interfaces import Edits

SHUT, OPEN = 0.1, 0.5  # a mask below SHUT does not edit; one above OPEN does


class Locality(FaceMetric):
    """The change off the region of the attribute: the true one where it is known, and the method's own mask.

    `mask.iou` holds the method's mask (above .5) against the true region; `mask.area` is its mean.
    """

    title = "Locality: how much changes outside the true region, and where the method's own mask is shut"
    better: ClassVar[dict[str, Better]] = {
        "outside_truth.l1": "lower", "outside_truth.psnr": "higher", "outside_truth.ssim": "higher",
        "outside_mask.l1": "lower", "outside_mask.psnr": "higher", "outside_mask.ssim": "higher",
        "mask.iou": "higher", "mask.area": None, "change.l1": None,
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """What the source and the editor know decides which of the names are told."""
        self.add("change.l1", edits, (edits.edited - edits.image).abs().flatten(1).mean(1))
        if edits.region is not None:
            compare(self, "outside_truth", edits, edits.edited, edits.image, ~edits.region)
        mask = edits.edit.mask
        if mask is None:
            return
        compare(self, "outside_mask", edits, edits.edited, edits.image, mask < SHUT)
        self.add("mask.area", edits, mask.flatten(1).mean(1))
        if edits.region is not None:
            opened = mask > OPEN
            both, either = opened & edits.region, opened | edits.region
            self.add("mask.iou", edits, both.flatten(1).sum(1), either.flatten(1).sum(1))
