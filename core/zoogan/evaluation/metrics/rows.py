"""What metrics that look at one face at a time have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from zoogan.interfaces import Edits, Measure, Metric, Ratio, Samples, Statistic, Study

Better = Literal["higher", "lower"] | None
Row = tuple[Tensor, Tensor, Tensor, Tensor]  # face, numerator, denominator, stratum


class FaceMetric(Metric):
    """Keeps rows of (face, numerator, denominator, stratum) by name and attribute; each name becomes a `Ratio`.

    better: name -> which way is good, in the order of the report; only these names are told. Over several attributes a
    name is also told for all of them together: the mean over attributes.
    """

    better: ClassVar[dict[str, Better]]

    def __init__(self, config: Any = None, facts: Any = None) -> None:
        """Most have no options."""

    def start(self, study: Study) -> None:
        """Forget what was seen."""
        self.study = study
        self._rows: dict[tuple[str, str | None], list[Row]] = {}

    def add(
        self,
        name: str,
        shown: Edits | Samples,
        numerator: Shaped[Tensor, " n"],
        denominator: Shaped[Tensor, " n"] | None = None,
        stratum: Shaped[Tensor, " n"] | None = None,
        where: Bool[Tensor, " n"] | None = None,
        attribute: str | None = None,
    ) -> None:
        """One row a face; `where` leaves faces out. Without a denominator the name is a plain mean.

        attribute: the one that the rows are about, by default the edited one.
        """
        face = shown.faces.cpu()
        rows = (
            face,
            numerator.detach().cpu().double(),
            torch.ones(len(face), dtype=torch.float64) if denominator is None else denominator.detach().cpu().double(),
            torch.zeros_like(face) if stratum is None else stratum.cpu().long(),
        )
        if where is not None:
            rows = tuple(part[where.cpu()] for part in rows)  # type: ignore[assignment]
        self._rows.setdefault((name, attribute or shown.attribute), []).append(rows)

    def joined(self) -> dict[tuple[str, str | None], Row]:
        """The rows of all processes, in the order of faces."""
        together: dict[tuple[str, str | None], list[Row]] = {}
        for mine in self.study.world.everyone(self._rows):
            for key, rows in mine.items():
                together.setdefault(key, []).extend(rows)
        joined = {}
        for key, rows in together.items():
            columns = [torch.cat(parts) for parts in zip(*rows)]
            order = columns[0].argsort(stable=True)
            joined[key] = (columns[0][order], columns[1][order], columns[2][order], columns[3][order])
        return joined

    def measures(self) -> list[Measure]:
        """A ratio for every name and attribute, and for every name over all attributes."""
        rows = self.joined()
        attributes = list(dict.fromkeys(attribute for _, attribute in rows))
        told = []
        for name in self.better:
            parts = {attribute: rows[name, attribute] for attribute in attributes if (name, attribute) in rows}
            told += [self.measure(name, attribute, Ratio(*part)) for attribute, part in parts.items()]
            if len(parts) > 1:
                told.append(self.measure(name, None, over_all(list(parts.values()))))
        return told

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """A measure of this metric; subclasses add what network they look through."""
        return Measure(name, attribute, statistic, self.better[name])


def over_all(parts: list[Row]) -> Ratio:
    """One ratio over several attributes: each is a group with strata of its own."""
    strata = max(int(part[3].max()) + 1 if len(part[3]) else 1 for part in parts)
    shifted = torch.cat([part[3] + strata * k for k, part in enumerate(parts)])
    group = torch.cat([torch.full_like(part[3], k) for k, part in enumerate(parts)])
    face, numerator, denominator = (torch.cat([part[i] for part in parts]) for i in range(3))
    return Ratio(face, numerator, denominator, shifted, group)
