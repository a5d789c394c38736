"""Base of the metrics that measure one face at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from zoogan.interfaces import Better, Edits, Measure, Metric, Ratio, Samples, Statistic, Study

Row = tuple[Tensor, Tensor, Tensor, Tensor]  # face, numerator, denominator, stratum


class FaceMetric(Metric):
    """Stores rows of (face, numerator, denominator, stratum) by measure and attribute; each becomes a `Ratio`.

    Where a measure has rows of several attributes, it is also reported for all of them together: the mean over them.

    Attributes:
        better: Measure -> which way is good, in the order of the report. Other measures are not reported.
    """

    better: ClassVar[Mapping[str, Better]]

    def start(self, study: Study) -> None:
        """Clear the rows of earlier studies."""
        self.study = study
        self._rows: dict[tuple[str, str | None], list[Row]] = {}

    def add_rows(
        self,
        name: str,
        batch: Edits | Samples,
        numerator: Shaped[Tensor, " n"],
        denominator: Shaped[Tensor, " n"] | None = None,
        stratum: Shaped[Tensor, " n"] | None = None,
        where: Bool[Tensor, " n"] | None = None,
        attribute: str | None = None,
    ) -> None:
        """Add one row a face to a measure.

        Args:
            name: The measure.
            batch: The faces.
            numerator: Value of each face.
            denominator: What the sum of the values is divided by; None = the measure is a plain mean.
            stratum: Stratum of each face, see `Ratio`; None = all are in one.
            where: Faces that count; None = all.
            attribute: The attribute that the rows are about; None = the edited one.
        """
        face = batch.faces.cpu()
        rows = (
            face,
            numerator.detach().cpu().double(),
            torch.ones(len(face), dtype=torch.float64) if denominator is None else denominator.detach().cpu().double(),
            torch.zeros_like(face) if stratum is None else stratum.cpu().long(),
        )
        if where is not None:
            rows = tuple(part[where.cpu()] for part in rows)  # type: ignore[assignment]
        self._rows.setdefault((name, attribute or batch.attribute), []).append(rows)

    def gather_rows(self) -> dict[tuple[str, str | None], Row]:
        """Return the rows of all processes by measure and attribute, in the order of faces."""
        lists: dict[tuple[str, str | None], list[Row]] = {}
        for rows_of_process in self.study.world.gather_objects(self._rows):
            for key, rows in rows_of_process.items():
                lists.setdefault(key, []).extend(rows)
        result = {}
        for key, rows in lists.items():
            columns = [torch.cat(parts) for parts in zip(*rows)]
            order = columns[0].argsort(stable=True)
            result[key] = (columns[0][order], columns[1][order], columns[2][order], columns[3][order])
        return result

    def compute(self) -> list[Measure]:
        """Compute the ratio of every measure and attribute, and of every measure over all attributes."""
        rows = self.gather_rows()
        attributes = list(dict.fromkeys(attribute for _, attribute in rows))
        measures = []
        for name in self.better:
            parts = {attribute: rows[name, attribute] for attribute in attributes if (name, attribute) in rows}
            measures += [self.make_measure(name, attribute, Ratio(*part)) for attribute, part in parts.items()]
            if len(parts) > 1:
                measures.append(self.make_measure(name, None, pool_attributes(list(parts.values()))))
        return measures

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; subclasses add the network that they measure through."""
        return Measure(name, attribute, statistic, self.better[name])


def pool_attributes(parts: list[Row]) -> Ratio:
    """Make one ratio of the rows of several attributes: each attribute is a group with strata of its own."""
    strata = max(int(part[3].max()) + 1 if len(part[3]) else 1 for part in parts)
    shifted = torch.cat([part[3] + strata * k for k, part in enumerate(parts)])
    group = torch.cat([torch.full_like(part[3], k) for k, part in enumerate(parts)])
    face, numerator, denominator = (torch.cat([part[i] for part in parts]) for i in range(3))
    return Ratio(face, numerator, denominator, shifted, group)
