"""Composite: edits of generated faces against the same faces with a template laid on."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.judged import JudgedMetric, describe_accuracy
from zoogan.evaluation.metrics.similarity import compute_l1
from zoogan.interfaces import Edits, GeneratedEdits, Headline, Measure, Statistic, Unavailable


class CompositeMatch(JudgedMetric):
    """Edits of generated faces against their composites, with the unedited face and the basis beside them.

    A composite is a generated face with a template of the attribute laid on. It is what a method trains towards, and no
    truth. Its region is where the template is, one pixel wider.

    - `composite.inside.l1`: L1 of the edit and the composite inside the region.
    - `composite.outside.l1`: L1 of the edit and the unedited face outside the region.
    - `composite.origin.inside.l1`: the first of the unedited face, whose change outside is 0.
    - `composite.basis.inside.l1`, `composite.basis.outside.l1`: both of the basis alone, the same move for all faces.
    - `composite.basis.success`: share of the faces edited by the basis on which the judge reads the attribute.
    - `composite.success`: the same share of the composites.
    """

    title = "Against the composite, the face with a template of the attribute laid on, inside its region and outside it"
    kinds = ("generated",)
    default_for: ClassVar = {"generated": 20}
    headlines: ClassVar = {
        "composite.inside.l1": Headline("Distance to the composite", "mean L1 where the template is", 23, 23),
        "composite.outside.l1": Headline("Change beside the template", "mean L1 where no template is", 41, 41),
        "composite.basis.success": Headline("Success of the basis", "of its edits show the attribute", 24, 24),
        "composite.basis.outside.l1": Headline("Change by the basis", "mean L1 where no template is", 42, 42),
    }
    better: ClassVar = {
        "composite.inside.l1": "lower", "composite.outside.l1": "lower", "composite.origin.inside.l1": None,
        "composite.basis.inside.l1": None, "composite.basis.outside.l1": None, "composite.basis.success": None,
        "composite.success": None,
    }  # fmt: skip

    def update(self, edits: Edits) -> None:
        """Add the measures that the editor's composites and basis allow."""
        assert isinstance(edits, GeneratedEdits)
        region, composite, basis = edits.composite_region, edits.composite, edits.basis_image
        if basis is not None:
            self.add_rows("composite.basis.success", edits, self._read_success(edits, basis))
        if region is None or composite is None:
            return
        self.add_rows("composite.success", edits, self._read_success(edits, composite))
        shown = {"": edits.edited_image, "origin.": edits.image} | ({} if basis is None else {"basis.": basis})
        for prefix, image in shown.items():
            for side, target, where in (("inside", composite, region), ("outside", edits.image, ~region)):
                name = f"composite.{prefix}{side}.l1"
                if name in self.better:
                    some = where.flatten(1).any(1)
                    self.add_rows(name, edits, compute_l1(image, target, where), where=some)

    def _read_success(self, edits: Edits, image: Tensor) -> Tensor:
        column = self.judge.attributes.index(edits.attribute)
        return (self.judge.read_attributes(image)[:, column] > self.judge.thresholds[column].to(image)).float()

    def compute(self) -> list[Measure]:
        """Compute the means.

        Raises:
            Unavailable: The editor gives neither composites nor a basis.
        """
        measures = super().compute()
        if not measures:
            raise Unavailable("this run's edits come without composites, and nothing tells the basis from the offset")
        return measures

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; only shares of success are read by the judge."""
        return (
            super().make_measure(name, attribute, statistic)
            if name.endswith("success")
            else (FaceMetric.make_measure(self, name, attribute, statistic))
        )

    def describe_judge(self, attribute: str | None) -> str:
        """Describe the judge's accuracy on the added attribute."""
        return describe_accuracy(self.judge, [attribute] if attribute else self.study.edited_attributes)
