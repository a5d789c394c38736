"""Reconstruction: an edit taken back, and a face that is asked to stay as it is."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.similarity import add_similarities
from zoogan.interfaces import Edits, Headline


class Reconstruction(FaceMetric):
    """`cycle`: the edit taken back, against the input. `identity`: an edit to the input's own labels, against it."""

    title = "Reconstruction: the edit taken back (cycle), and a face asked to stay as it is (identity)"
    default_for: ClassVar = {"edits": 60}
    headlines: ClassVar = {
        "cycle.l1": Headline("Edit taken back", "mean L1 to the face as it was", 50, 70),
        "identity.l1": Headline("Left alone", "mean L1 of a face asked to stay as it is", 130, 60),
    }
    better: ClassVar = {
        "cycle.l1": "lower", "cycle.psnr": "higher", "cycle.ssim": "higher",
        "identity.l1": "lower", "identity.psnr": "higher", "identity.ssim": "higher",
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Run the editor twice more and add six values a face."""
        add_similarities(self, "cycle", edits, edits.cycled_image, edits.image)
        add_similarities(self, "identity", edits, edits.identity_image, edits.image)
