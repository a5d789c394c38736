"""Reconstruction: an edit taken back, and a face that is asked to stay as it is."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.rows import Better, FaceMetric
from zoogan.evaluation.similarity import compare
from zoogan.interfaces import Edits


class Reconstruction(FaceMetric):
    """`cycle`: edit and take back, against the input. `identity`: ask for what the face has, against the input."""

    title = "Reconstruction: the edit taken back (cycle), and a face asked to stay as it is (identity)"
    better: ClassVar[dict[str, Better]] = {
        "cycle.l1": "lower", "cycle.psnr": "higher", "cycle.ssim": "higher",
        "identity.l1": "lower", "identity.psnr": "higher", "identity.ssim": "higher",
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Runs the editor twice more."""
        compare(self, "cycle", edits, edits.cycled, edits.image)
        compare(self, "identity", edits, edits.kept, edits.image)


class Diversity(FaceMetric):
    """Mean L1 between two edits of the same face that differ in their seed alone; 0 for methods that draw nothing."""

    title = "Diversity: L1 between edits with different seeds"
    better: ClassVar[dict[str, Better]] = {"diversity.l1": "higher"}

    def update(self, edits: Edits) -> None:
        """Runs the editor once more."""
        other = edits.again(edits.seed + 1)
        self.add("diversity.l1", edits, (other - edits.edited).abs().flatten(1).mean(1))
