"""Edit error: edits held against the true redraw, where the source knows the truth (drawn faces)."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.evaluation.metrics.similarity import compare
from zoogan.interfaces import Edits, Study, Unavailable


class TruthMetric(FaceMetric):
    """A metric that holds edits against the true redraw of the same face."""

    def start(self, study: Study) -> None:
        """Get ready.

        Raises:
            Unavailable: the source cannot redraw.
        """
        if not study.source.size(study.split) or study.source.redraw(study.split, [0]) is None:
            raise Unavailable("only drawn faces have a true redraw to compare with; evaluate with --data drawn as well")
        super().start(study)


class EditError(TruthMetric):
    """Mean L1(edit, redraw) / mean L1(input, redraw) inside the true region; 0 = the truth, 1 = no edit at all.

    Also for adding and for removing alone. A face on which the attribute is hidden does not count.
    """

    title = "Edit error: L1 to the true redraw inside its region; 0 = the truth, 1 = no edit"
    better: ClassVar[dict[str, Better]] = {
        "edit_error": "lower",
        "edit_error.adding": "lower",
        "edit_error.removing": "lower",
    }

    def update(self, edits: Edits) -> None:
        """Sums over the region of each face."""
        assert edits.truth is not None and edits.region is not None
        wrong = ((edits.edited - edits.truth).abs() * edits.region).flatten(1).sum(1)
        needed = ((edits.image - edits.truth).abs() * edits.region).flatten(1).sum(1)
        shown = needed > 0
        self.add("edit_error", edits, wrong, needed, where=shown)
        self.add("edit_error.adding", edits, wrong, needed, where=shown & (edits.wanted > 0.5))
        self.add("edit_error.removing", edits, wrong, needed, where=shown & (edits.wanted <= 0.5))


class Truth(TruthMetric):
    """L1, PSNR and SSIM of the edit against the true redraw, inside the true region and outside it."""

    title = "Against the true redraw, inside the region where the attribute truly shows and outside it"
    better: ClassVar[dict[str, Better]] = {
        "truth.inside.l1": "lower", "truth.inside.psnr": "higher", "truth.inside.ssim": "higher",
        "truth.outside.l1": "lower", "truth.outside.psnr": "higher", "truth.outside.ssim": "higher",
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Six values a face."""
        assert edits.truth is not None and edits.region is not None
        compare(self, "truth.inside", edits, edits.edited, edits.truth, edits.region)
        compare(self, "truth.outside", edits, edits.edited, edits.truth, ~edits.region)
