"""Truth: similarity of edits and the true redraw, inside its region and outside it."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.redraw_metric import RedrawMetric
from zoogan.evaluation.metrics.similarity import add_similarities
from zoogan.interfaces import Edits


class Truth(RedrawMetric):
    """L1, PSNR and SSIM of the edit and the true redraw, inside the true region and outside it. Drawn faces only."""

    title = "Against the true redraw, inside the region where the attribute truly shows and outside it"
    default_for: ClassVar = {"edits": 20}
    better: ClassVar = {
        "truth.inside.l1": "lower", "truth.inside.psnr": "higher", "truth.inside.ssim": "higher",
        "truth.outside.l1": "lower", "truth.outside.psnr": "higher", "truth.outside.ssim": "higher",
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Add six values a face."""
        assert edits.true_redraw is not None and edits.region is not None
        add_similarities(self, "truth.inside", edits, edits.edited_image, edits.true_redraw, edits.region)
        add_similarities(self, "truth.outside", edits, edits.edited_image, edits.true_redraw, ~edits.region)
