"""Success: whether a judge reads the requested value after the edit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoogan.evaluation.metrics.judged import JudgedMetric, describe_accuracy
from zoogan.interfaces import Edits, Headline, Measure, Ranking, Study


class Success(JudgedMetric):
    """Whether the judge reads the requested value after the edit.

    - `success`: balanced accuracy, the mean of adding and removing.
    - `success.accuracy`: share of all edits.
    - Average precision and best F1: how well the judge's probability ranks the edits.
    - `success.unedited`: `success` of the unedited inputs; above 0 only because of the judge's mistakes.

    To generated faces attributes are only added, so that nothing is removed and nothing ranked.
    """

    title = "Success: the judge reads the requested value"
    kinds = ("edits", "generated")
    default_for: ClassVar = {"edits": 30, "generated": 10}
    headlines: ClassVar = {"success": Headline("Success", "of the edits show the requested value", 20, 20)}
    better: ClassVar = {
        "success": "higher", "success.adding": "higher", "success.removing": "higher", "success.accuracy": "higher",
        "success.average_precision": "higher", "success.best_f1": "higher", "success.unedited": None,
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Check the judge, and clear earlier scores."""
        super().start(study)
        self._scores: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def update(self, edits: Edits) -> None:
        """Let the judge read the edits and the inputs; attributes that it does not read are left out."""
        if edits.attribute not in self.judge.attributes:
            return
        column = self.judge.attributes.index(edits.attribute)
        threshold = self.judge.thresholds[column].to(edits.image)
        before, after = (self.judge.read_attributes(x)[:, column] for x in (edits.image, edits.edited_image))
        adding = edits.target_value > 0.5
        right = ((after > threshold) == adding).float()
        self.add_rows("success", edits, right, stratum=adding)
        self.add_rows("success.accuracy", edits, right)
        self.add_rows("success.adding", edits, right, where=adding)
        self.add_rows("success.unedited", edits, ((before > threshold) == adding).float(), stratum=adding)
        if self.study.kind == "generated":
            return
        self.add_rows("success.removing", edits, right, where=~adding)
        row = (edits.faces.cpu(), after.cpu().double(), adding.cpu().double())
        self._scores.setdefault(edits.attribute, []).append(row)

    def compute(self) -> list[Measure]:
        """Compute the ratios, and the two rankings of each attribute."""
        scores: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for scores_of_process in self.study.world.gather_objects(self._scores):
            for attribute, rows in scores_of_process.items():
                scores.setdefault(attribute, []).extend(rows)
        measures = super().compute()
        for attribute, rows in scores.items():
            face, score, label = (torch.cat(parts) for parts in zip(*rows))
            order = face.argsort(stable=True)
            for kind in ("average_precision", "best_f1"):
                ranking = Ranking(face[order], score[order], label[order], kind)
                measures.append(self.make_measure(f"success.{kind}", attribute, ranking))
        return measures

    def describe_judge(self, attribute: str | None) -> str:
        """Describe the judge's accuracy on the edited attribute."""
        return describe_accuracy(self.judge, [attribute] if attribute else self.study.edited_attributes)
