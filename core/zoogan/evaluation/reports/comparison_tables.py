"""The tables of a comparison's page: columns of equal keys as rows, one number a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoogan.evaluation.reports.comparison import Cell, ComparedTraining, ComparisonColumn
from zoogan.evaluation.reports.comparison_text import list_key_differences
from zoogan.evaluation.reports.scale import Scale, make_scale


@dataclass(frozen=True)
class ComparedRow:
    """Comparable numbers, one a run.

    Attributes:
        column: Their measure and key.
        cells: One for each entrant; None where it was not measured.
    """

    column: ComparisonColumn
    cells: list[Cell | None]

    @property
    def scale(self) -> Scale | None:
        """The scale of their lines, from about the smallest to about the largest number, so that differences show."""
        return make_scale([cell for cell in self.cells if cell is not None], from_zero=False)


@dataclass(frozen=True)
class Table:
    """The compared numbers of a metric.

    Attributes:
        metric: Its name.
        title: Its title.
        rows: Its numbers.
        differences: How the keys of columns with one name differ, a sentence each.
    """

    metric: str
    title: str
    rows: list[ComparedRow]
    differences: list[str]


def make_table(
    metric: str, title: str, columns: Sequence[ComparisonColumn], entrants: Iterable[ComparedTraining]
) -> Table:
    """Make a table with a row for each column of the comparison, and a column for each entrant."""
    names = [entrant.name for entrant in entrants]
    rows = [ComparedRow(column, [column.cells.get(name) for name in names]) for column in columns]
    return Table(metric, title, rows, list_key_differences(columns))


def make_tables(columns: Sequence[ComparisonColumn], entrants: Sequence[ComparedTraining]) -> dict[str, Table]:
    """Make the table of each metric, by its name."""
    titles = {name: title for e in entrants for run in e.runs for name, title in run.report.titles.items()}
    return {
        metric: make_table(metric, titles.get(metric, metric), [c for c in columns if c.metric == metric], entrants)
        for metric in dict.fromkeys(column.metric for column in columns)
    }
