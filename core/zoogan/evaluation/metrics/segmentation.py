"""Segmentation: the parts of the edit against those of the true redraw."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoogan.evaluation.metrics.judged import JudgedMetric, explain_other_parts, read_first_face, resize_labels
from zoogan.interfaces import Edits, Study, Unavailable


class Segmentation(JudgedMetric):
    """The parts of the edit, as the judge or the editor segments them, compared with those of the true redraw.

    - `segmentation.miou`: mean over classes of intersection / union, summed over faces.
    - `segmentation.accuracy`: share of equal pixels.
    - `segmentation.miou.truth`: the judge's segmentation of the true redraw, an upper limit of `miou`.
    - `segmentation.miou.editor`: the editor's own segmentation.
    """

    title = "Segmentation of the edit against that of the true redraw"
    default_for: ClassVar = {"edits": 90}
    better: ClassVar = {
        "segmentation.miou": "higher", "segmentation.accuracy": "higher", "segmentation.miou.truth": None,
        "segmentation.miou.editor": "higher",
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Check that the source has a true segmentation, and that the judge reads the same parts.

        Raises:
            Unavailable: There is no true segmentation, or the judge reads other parts.
        """
        super().start(study)
        if not study.source.count_faces(study.split):
            return
        redraw = study.source.redraw(study.split, [0])
        if redraw is None or "segmentation" not in redraw:
            raise Unavailable("only drawn faces have a true segmentation of the edit")
        if self.judge.read_parts(read_first_face(study)) is None:
            raise Unavailable("this judge reads no segmentation: train one on drawn faces")
        parts = getattr(self.judge, "parts", study.source.parts)  # a user's own judge need not name them
        if tuple(parts) != study.source.parts:
            raise Unavailable(explain_other_parts(parts, study.source.parts, study))

    def update(self, edits: Edits) -> None:
        """Add one row a face and class."""
        assert edits.redraw_sample is not None and edits.true_redraw is not None
        true = edits.redraw_sample["segmentation"].to(edits.image.device).long()
        read, best = (resize_labels(self.judge.read_parts(x), true) for x in (edits.edited_image, edits.true_redraw))
        self._add_overlap("segmentation.miou", edits, read, true)
        self._add_overlap("segmentation.miou.truth", edits, best, true)
        if edits.edit.segmentation is not None:
            self._add_overlap("segmentation.miou.editor", edits, resize_labels(edits.edit.segmentation, true), true)
        self.add_rows("segmentation.accuracy", edits, (read == true).float().flatten(1).mean(1))

    def _add_overlap(self, name: str, edits: Edits, read: Tensor, true: Tensor) -> None:
        """Add intersection and union of every class that occurs in either segmentation."""
        for label in torch.cat([read.unique(), true.unique()]).unique().tolist():
            a, b = read == label, true == label
            stratum = torch.full_like(edits.faces, int(label))
            self.add_rows(name, edits, (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1), stratum)
