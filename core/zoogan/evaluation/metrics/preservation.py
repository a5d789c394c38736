"""Preservation: whether a judge reads every other attribute as before the edit."""

from __future__ import annotations

from typing import ClassVar

import torch

from zoogan.evaluation.metrics.judged import JudgedMetric, describe_accuracy
from zoogan.interfaces import Edits, Headline


class Preservation(JudgedMetric):
    """The share of other attributes that the judge reads as before the edit, mean over attributes.

    Attributes that exclude the edited one, in the source or in the run, are left out, because the edit must clear them
    (a face has one hair colour). `preservation.truth` is the same of the true redraw, where it is known; it is below 1
    only because of the judge's mistakes.
    """

    title = "Preservation: the judge reads the other attributes as before the edit"
    kinds = ("edits", "generated")
    default_for: ClassVar = {"edits": 40, "generated": 30}
    headlines: ClassVar = {
        "preservation": Headline("Preservation", "of the other attributes, as the judge reads them, stay", 30, 30),
    }
    better: ClassVar = {"preservation": "higher", "preservation.truth": None}

    def update(self, edits: Edits) -> None:
        """Add one row a face and other attribute."""
        thresholds = self.judge.thresholds.to(edits.image)
        before, after = (self.judge.read_attributes(x) > thresholds for x in (edits.image, edits.edited_image))
        best = None if edits.true_redraw is None else self.judge.read_attributes(edits.true_redraw) > thresholds
        for name in self.list_others(edits.attribute):
            k = self.judge.attributes.index(name)
            stratum = torch.full_like(edits.faces, k)
            self.add_rows("preservation", edits, (before[:, k] == after[:, k]).float(), stratum=stratum)
            if best is not None:
                self.add_rows("preservation.truth", edits, (before[:, k] == best[:, k]).float(), stratum=stratum)

    def list_others(self, attribute: str) -> list[str]:
        """List the attributes that an edit of this attribute should not change."""
        groups = (*self.study.source.groups, *self.study.exclusive)
        rivals = {name for group in groups if attribute in group for name in group}
        return [name for name in self.judge.attributes if name != attribute and name not in rivals]

    def describe_judge(self, attribute: str | None) -> str:
        """Describe the judge's mean accuracy on the attributes that should stay."""
        return describe_accuracy(self.judge, self.list_others(attribute)) if attribute else ""
