"""Diversity: how much edits with different seeds differ, or samples."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.interfaces import Edits, Measure, Samples, Statistic, Study
from zoogan.pictures.photo import normalize_image


class Diversity(FaceMetric):
    """Mean L1 between two edits of the same face that differ only in their seed; 0 for deterministic methods.

    For samples: mean L1 between two samples, and `diversity.l1.real` between two real faces. Both should be
    close; a larger value is not better.
    """

    title = "Diversity: L1 between edits with different seeds"
    kinds = ("edits", "samples")
    default_for: ClassVar = {"edits": 70, "samples": 50}
    better: ClassVar = {"diversity.l1": "higher", "diversity.l1.real": None}

    def start(self, study: Study) -> None:
        """Clear the rows, and choose the title."""
        super().start(study)
        if study.kind == "samples":
            self.title = "Diversity: L1 between two samples, and between two real faces"

    def update(self, edits: Edits) -> None:
        """Run the editor once more and add the difference."""
        other = edits.edit_with_seed(edits.seed + 1)
        self.add_rows("diversity.l1", edits, (other - edits.edited_image).abs().flatten(1).mean(1))

    def update_samples(self, samples: Samples) -> None:
        """Compare each sample with another sample, and each held-out face with the next."""
        other = samples.sample_with_seed(samples.seed + 1)
        self.add_rows("diversity.l1", samples, (other - samples.image).abs().flatten(1).mean(1))
        count = self.study.held_out_count
        in_split = samples.faces < count
        real = samples.faces[in_split]
        if len(real) and count > 1:
            difference = (self._read_faces(real) - self._read_faces((real + 1) % count)).abs().flatten(1).mean(1)
            values = torch.zeros(len(in_split)).masked_scatter(in_split, difference)
            self.add_rows("diversity.l1.real", samples, values, where=in_split)

    def _read_faces(self, faces: Int64[Tensor, " n"]) -> Float[Tensor, "n 3 s s"]:
        """Read real faces of the study's split by their numbers."""
        return normalize_image(self.study.source.read(self.study.split, faces.tolist())["image"])

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; more is better among edits, not among samples."""
        better = None if self.study.kind == "samples" else self.better[name]
        return Measure(name, attribute, statistic, better)
