"""Several runs side by side: which numbers may stand together, and which differences are more than chance."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.evaluation.reports.bootstrap import RESAMPLES, face_weights, interval, resampled
from zoogan.evaluation.reports.report import Key, Report, Value, read_report, read_rows
from zoogan.interfaces import Statistic

# What the first table shows, as far as it was measured.
HEADLINES = (
    "edit_error", "success", "preservation", "outside_truth.l1", "outside_mask.l1", "identity.l1", "cycle.l1",
    "fd_squeezenet", "kd_squeezenet", "fid", "frequency.mean", "frequency.worst",
    "mask_agreement.miou", "part_leak.shape", "part_leak.texture",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """A run's report with the rows behind it."""

    report: Report
    statistics: list[Statistic]


@dataclass(frozen=True)
class Entrant:
    """A row of the tables: one run, or all runs of one method and recipe, which differ in their seed."""

    name: str
    runs: list[Evaluated]


@dataclass(frozen=True)
class Cell:
    """An entrant's number in a column: the mean over its runs. best: none is better. tied: as good as the best one, as
    far as these faces and seeds can tell (the 95 % interval of the paired difference holds 0)."""

    value: float
    low: float | None
    high: float | None
    runs: int
    best: bool = False
    tied: bool | None = False


@dataclass
class Column:
    """Numbers that may be compared: all have the same key. cells: entrant's name -> cell."""

    name: str
    metric: str
    attribute: str | None
    better: str | None
    key: Key
    cells: dict[str, Cell] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)  # from the first column of the same name: what the keys disagree on


def read_evaluated(folder: Path, name: str | None = None) -> Evaluated:
    """A stored report with its rows. name: what the run is called now; its report knows what it was called then.

    Raises:
        ConfigError: the run was not evaluated, or its report is damaged or of another version.
    """
    report = read_report(folder)
    if name is not None:
        report = report.model_copy(update={"about": report.about.model_copy(update={"run": name})})
    return Evaluated(report, read_rows(folder, report))


def entrants_of(runs: Sequence[Evaluated]) -> list[Entrant]:
    """Runs whose settings, faces and length differ in nothing but the seed are one entrant, named after all of them.

    Raises:
        ConfigError: two entrants have the same name, by which the tables would take one for the other.
    """
    groups: dict[tuple[object, ...], list[Evaluated]] = {}
    for run in runs:
        about = run.report.about
        groups.setdefault((about.config, about.data, about.iteration), []).append(run)
    entrants = []
    for members in groups.values():
        seeds = [run.report.about.seed for run in members]
        if len(members) > 1 and len(set(seeds)) == len(seeds):
            entrants.append(Entrant(" + ".join(run.report.about.run for run in members), members))
        else:
            entrants += [Entrant(run.report.about.run, [run]) for run in members]
    names = [entrant.name for entrant in entrants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two runs are called {twice[0]}: the tables could not tell them apart; rename one's folder")
    return entrants


def columns_of(entrants: Sequence[Entrant]) -> list[Column]:
    """Every number of every run, in columns of equal keys."""
    columns: dict[tuple[str, str | None, str], Column] = {}
    members: dict[tuple[str, str | None, str], dict[str, list[tuple[Value, Statistic]]]] = {}
    faces = max(run.report.faces for entrant in entrants for run in entrant.runs)
    for entrant in entrants:
        for run in entrant.runs:
            for value, statistic in zip(run.report.values, run.statistics):
                if value.value is None:
                    continue
                place = (value.name, value.attribute, value.key.digest)
                columns.setdefault(place, Column(value.name, value.metric, value.attribute, value.better, value.key))
                members.setdefault(place, {}).setdefault(entrant.name, []).append((value, statistic))
    first: dict[tuple[str, str | None], Column] = {}
    for place, column in columns.items():
        begun = first.setdefault(place[:2], column)
        column.apart = [] if begun is column else column.key.differs(begun.key)
        weights = face_weights(faces, RESAMPLES, column.key.seed)
        samples = {name: spread(name, found, weights) for name, found in members[place].items()}
        cells = {name: cell_of(found, samples[name]) for name, found in members[place].items()}
        column.cells = judged(cells, samples, column.better)
    return list(columns.values())


def spread(
    name: str, found: Sequence[tuple[Value, Statistic]], weights: Float[Tensor, "resamples faces"]
) -> Float[Tensor, " resamples"] | None:
    """An entrant's number under the choice of faces and, with several runs, of seeds; None if it cannot be told."""
    drawn = [resampled(statistic, weights) for _, statistic in found]
    known = [
        torch.full((len(weights),), value.value or 0.0, dtype=torch.float64) if part is None else part
        for (value, _), part in zip(found, drawn)
    ]
    if len(found) == 1:
        return drawn[0]
    stacked = torch.stack(known)  # (runs, resamples)
    k = len(found)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))  # seeds of two entrants are not pairs
    chosen = torch.randint(k, stacked.shape, generator=generator)
    mean = stacked.mean(0)
    # A bootstrap of so few runs understates how far they spread, by this much.
    return mean + (stacked.gather(0, chosen).mean(0) - mean) * (k / (k - 1)) ** 0.5


def cell_of(found: Sequence[tuple[Value, Statistic]], samples: Float[Tensor, " resamples"] | None) -> Cell:
    """The mean over an entrant's runs, with its interval."""
    mean = sum(value.value or 0.0 for value, _ in found) / len(found)
    low, high = interval(samples)
    if low is None and len(found) == 1:
        low, high = found[0][0].low, found[0][0].high
    return Cell(mean, low, high, len(found))


def judged(
    cells: dict[str, Cell], samples: dict[str, Float[Tensor, " resamples"] | None], better: str | None
) -> dict[str, Cell]:
    """The cells with the best one marked, and those that cannot be told from it. Needs two to compare."""
    if better is None or len(cells) < 2:
        return cells
    top = (max if better == "higher" else min)(cells, key=lambda name: cells[name].value)
    return {
        name: replace(cell, best=name == top, tied=tie(cell, cells[top], samples[name], samples[top]))
        for name, cell in cells.items()
    }


def tie(
    cell: Cell, top: Cell, ours: Float[Tensor, " resamples"] | None, best: Float[Tensor, " resamples"] | None
) -> bool | None:
    """Whether a cell cannot be told from the best one; None where nobody knows how far the numbers waver."""
    if cell.value == top.value:
        return True
    if ours is not None and best is not None:
        low, high = interval(ours - best)
        return None if low is None or high is None else low <= 0 <= high
    if None in (cell.low, cell.high, top.low, top.high):
        return None
    return bool(cell.low <= top.high and top.low <= cell.high)  # type: ignore[operator]


# ---- written out ----


def headlines(columns: Sequence[Column]) -> list[Column]:
    """The columns of the first table, in the order of HEADLINES."""
    return [column for name in HEADLINES for column in columns if column.name == name]


def heading(column: Column) -> str:
    """The name of a column: its measure, its attribute and which way is good."""
    way = {"higher": " ↑", "lower": " ↓", None: ""}[column.better]
    return f"{column.name} {column.attribute or 'all'}{way}"


def refusals(columns: Sequence[Column]) -> list[str]:
    """Why columns of one name stand apart."""
    return [
        f"{heading(column)}: not comparable with the other: {'; '.join(c)}" for column in columns if (c := column.apart)
    ]


def markdown(entrants: Sequence[Entrant], columns: Sequence[Column], command: str) -> str:
    """The first table with speed and size, and the command that made it."""
    shown = headlines(columns)
    head = ["run", *map(heading, shown), speed_of(entrants), "parameters"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entrant in entrants:
        cells = [text_of(column.cells.get(entrant.name)) for column in shown]
        lines.append("| " + " | ".join([entrant.name, *cells, *costs(entrant)]) + " |")
    told = [f"- {line}" for line in refusals(shown)]
    return "\n".join([*lines, "", *told, "", f"`{command}`", ""])


def text_of(cell: Cell | None) -> str:
    """A cell in a table of text: bold = best, ~ = cannot be told from the best, ? = unknown whether it can."""
    if cell is None:
        return "–"
    number = f"{cell.value:.4g}"
    span = "" if cell.low is None or cell.high is None else f" ({cell.low:.3g} to {cell.high:.3g})"
    mark = {True: " ~", None: " ?", False: ""}[cell.tied]
    return f"**{number}**{span}" if cell.best else f"{number}{span}{mark}"


def speed_of(entrants: Sequence[Entrant]) -> str:
    """The heading of the speeds: `edits/s` or `samples/s`."""
    return f"{entrants[0].runs[0].report.about.shows}/s"


def costs(entrant: Entrant) -> list[str]:
    """Edits or samples a second and the parameters of the generator, or of all networks where none is called so."""
    about = entrant.runs[0].report.about
    speed = sum(run.report.about.speed for run in entrant.runs) / len(entrant.runs)
    parameters = about.parameters.get("generator", sum(about.parameters.values()))
    return [f"{speed:.3g}", f"{parameters / 1e6:.2f} M"]
