"""Reconstruction: an edit taken back, and a face that is asked to stay as it is. Diversity: other seeds."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.evaluation.metrics.similarity import compare
from zoogan.interfaces import Edits, Measure, Samples, Statistic, Study
from zoogan.pictures.photo import to_range


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
    """Mean L1 between two edits of the same face that differ in their seed alone; 0 for methods that draw nothing.

    Of samples: between two of them, and `diversity.l1.real` between two real faces, which is what it should be like:
    more is not better.
    """

    looks_at = ("edits", "samples")
    title = "Diversity: L1 between edits with different seeds"
    better: ClassVar[dict[str, Better]] = {"diversity.l1": "higher", "diversity.l1.real": None}

    def start(self, study: Study) -> None:
        """Forget what was seen."""
        super().start(study)
        if study.shows == "samples":
            self.title = "Diversity: L1 between two samples, and between two real faces"

    def update(self, edits: Edits) -> None:
        """Runs the editor once more."""
        other = edits.again(edits.seed + 1)
        self.add("diversity.l1", edits, (other - edits.edited).abs().flatten(1).mean(1))

    def see(self, samples: Samples) -> None:
        """Runs the editor once more, and reads held-out faces, each beside the next."""
        other = samples.again(samples.seed + 1)
        self.add("diversity.l1", samples, (other - samples.image).abs().flatten(1).mean(1))
        held_out = self.study.held_out
        there = samples.faces < held_out
        real = samples.faces[there]
        if len(real) and held_out > 1:
            apart = (self.held_out(real) - self.held_out((real + 1) % held_out)).abs().flatten(1).mean(1)
            self.add("diversity.l1.real", samples, torch.zeros(len(there)).masked_scatter(there, apart), where=there)

    def held_out(self, faces: Int64[Tensor, " n"]) -> Float[Tensor, "n 3 s s"]:
        """Real faces."""
        return to_range(self.study.source.read(self.study.split, faces.tolist())["image"])

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """More is better among edits, not among samples."""
        better = None if self.study.shows == "samples" else self.better[name]
        return Measure(name, attribute, statistic, better)
