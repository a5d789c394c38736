"""Reconstruction: reversing an edit, and editing a face to its own labels."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.similarity import add_similarities
from zoogan.interfaces import Edits, Headline


class Reconstruction(FaceMetric):
    """`cycle`: L1 of the input and the reversed edit. `identity`: L1 of the input and an edit to its own labels."""

    title = "Reconstruction: the reversed edit (cycle), and an edit to the face's own labels (identity)"
    default_for: ClassVar = {"edits": 60}
    headlines: ClassVar = {
        "cycle.l1": Headline("Reversed edit", "mean L1 to the original face", 50, 70),
        "identity.l1": Headline("Unchanged face", "mean L1 of an edit to the face's own labels", 130, 60),
    }
    better: ClassVar = {
        "cycle.l1": "lower", "cycle.psnr": "higher", "cycle.ssim": "higher",
        "identity.l1": "lower", "identity.psnr": "higher", "identity.ssim": "higher",
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Run the editor twice more and add six values a face."""
        add_similarities(self, "cycle", edits, edits.cycled_image, edits.image)
        add_similarities(self, "identity", edits, edits.identity_image, edits.image)
