"""Edit error: how far edits are from the true redraw inside its region."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.redraw_metric import RedrawMetric
from zoogan.interfaces import Edits, Headline


class EditError(RedrawMetric):
    """Mean L1(edit, redraw) / mean L1(input, redraw) inside the true region; 0 = the true redraw, 1 = no edit.

    Also reported for adding alone and for removing alone. Faces on which the attribute is hidden do not count. For
    drawn faces only.
    """

    title = "Edit error: L1 to the true redraw inside its region; 0 = the truth, 1 = no edit"
    default_for: ClassVar = {"edits": 10}
    headlines: ClassVar = {"edit_error": Headline("Edit error", "0 is the true redraw, 1 no edit at all", 10, 10)}
    better: ClassVar = {"edit_error": "lower", "edit_error.adding": "lower", "edit_error.removing": "lower"}

    def update(self, edits: Edits) -> None:
        """Add the sums over the region of each face."""
        assert edits.true_redraw is not None and edits.region is not None
        wrong = ((edits.edited_image - edits.true_redraw).abs() * edits.region).flatten(1).sum(1)
        needed = ((edits.image - edits.true_redraw).abs() * edits.region).flatten(1).sum(1)
        visible = needed > 0
        self.add_rows("edit_error", edits, wrong, needed, where=visible)
        self.add_rows("edit_error.adding", edits, wrong, needed, where=visible & (edits.target_value > 0.5))
        self.add_rows("edit_error.removing", edits, wrong, needed, where=visible & (edits.target_value <= 0.5))
