"""A comparison as text: the headline columns, the differences between keys, and the table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoogan.evaluation.reports.comparison import Cell, ComparedTraining, ComparisonColumn
from zoogan.interfaces import Headline


def choose_headlines(columns: Sequence[ComparisonColumn], headlines: Mapping[str, Headline]) -> list[ComparisonColumn]:
    """Choose the columns of the first table, in the order of the headlines' `comparison_place`.

    Args:
        columns: All numbers.
        headlines: Headlines of the metrics, by measure.
    """
    places = {name: line.comparison_place for name, line in headlines.items() if line.comparison_place is not None}
    names = sorted(places, key=lambda name: (places[name], name))
    return [column for name in names for column in columns if column.name == name]


def format_heading(column: ComparisonColumn) -> str:
    """Write the name of a column: its measure, its attribute and an arrow that shows which way is good."""
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[column.better]
    return f"{column.name} {column.attribute or 'all'}{arrow}"


def list_key_differences(columns: Sequence[ComparisonColumn]) -> list[str]:
    """List the differences between the keys of columns with one name, a sentence each."""
    return [
        f"{format_heading(column)}: not comparable with the other: {'; '.join(column.key_differences)}"
        for column in columns
        if column.key_differences
    ]


def make_text_table(
    entrants: Sequence[ComparedTraining], columns: Sequence[ComparisonColumn]
) -> tuple[list[str], list[list[str]]]:
    """Make the first table with speed and size.

    Returns:
        (its headings, a row of cells for each entrant).
    """
    headings = ["run", *map(format_heading, columns), name_speed(entrants), "parameters"]
    rows = [
        [
            entrant.name,
            *(format_comparison_cell(column.cells.get(entrant.name)) for column in columns),
            *format_costs(entrant),
        ]
        for entrant in entrants
    ]
    return headings, rows


def format_markdown(entrants: Sequence[ComparedTraining], headlines: Sequence[ComparisonColumn], command: str) -> str:
    """Write the first table in Markdown, and the command that made it."""
    headings, rows = make_text_table(entrants, headlines)
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    differences = [f"- {line}" for line in list_key_differences(headlines)]
    return "\n".join([*lines, "", *differences, "", f"`{command}`", ""])


def format_comparison_cell(cell: Cell | None) -> str:
    """Write a cell: bold = best, ~ = not significantly different from the best, ? = significance unknown."""
    if cell is None:
        return "–"
    number = f"{cell.value:.4g}"
    interval = "" if cell.low is None or cell.high is None else f" ({cell.low:.3g} to {cell.high:.3g})"
    mark = {True: " ~", None: " ?", False: ""}[cell.tied]
    return f"**{number}**{interval}" if cell.best else f"{number}{interval}{mark}"


def name_speed(entrants: Sequence[ComparedTraining]) -> str:
    """Name the column of speeds: `edits/s` or `samples/s`."""
    return f"{entrants[0].runs[0].report.about.product}/s"


def format_costs(entrant: ComparedTraining) -> list[str]:
    """Write the speed and the parameters of the generator, or of all networks where none has that name."""
    about = entrant.runs[0].report.about
    speed = sum(run.report.about.speed for run in entrant.runs) / len(entrant.runs)
    parameters = about.parameters.get("generator", sum(about.parameters.values()))
    return [f"{speed:.3g}", f"{parameters / 1e6:.2f} M"]
