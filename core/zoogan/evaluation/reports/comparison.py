"""Compares the reports of several runs: which numbers are comparable, and which differences are significant."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.evaluation.reports.bootstrap import RESAMPLES, compute_interval, draw_face_weights, resample
from zoogan.evaluation.reports.report import Key, Report, Value, read_report, read_rows
from zoogan.interfaces import Statistic

Measured = tuple[Value, Statistic]
"""A number of a run and the rows behind it."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run's report with the rows behind it.

    Attributes:
        report: Report of the run.
        statistics: One for each value of the report.
    """

    report: Report
    statistics: list[Statistic]


@dataclass(frozen=True)
class ComparedTraining:
    """A row of a comparison: one run, or all runs of one training that differ only in their seed.

    Attributes:
        name: Name of the run, or of all runs joined by ` + `.
        runs: Runs with different seeds.
    """

    name: str
    runs: list[EvaluatedRun]


@dataclass(frozen=True)
class Cell:
    """An entrant's number in a column.

    Attributes:
        value: The mean over its runs.
        low: Lower end of the 95 % interval; None without an interval.
        high: Upper end of it.
        runs: How many.
        best: Whether no other entrant is better.
        tied: Whether its difference from the best is not significant: the 95 % interval of the paired difference
            contains 0. None = unknown.
    """

    value: float
    low: float | None
    high: float | None
    runs: int
    best: bool = False
    tied: bool | None = False


@dataclass
class ComparisonColumn:
    """Comparable numbers: all have the same key.

    Attributes:
        name: Name of the measure.
        metric: The metric that computed it.
        attribute: As of `Key`.
        better: Which way is good; None = neither.
        key: Key of all numbers.
        cells: name of an entrant -> its number.
        key_differences: How the key differs from that of the first column of the same name.
    """

    name: str
    metric: str
    attribute: str | None
    better: str | None
    key: Key
    cells: dict[str, Cell] = field(default_factory=dict)
    key_differences: list[str] = field(default_factory=list)


def read_evaluated_run(folder: Path, name: str | None = None) -> EvaluatedRun:
    """Read a stored report with its rows.

    Args:
        folder: Folder of the report.
        name: Present name of the run; by default its name in the report.

    Raises:
        ConfigError: The run was not evaluated, or its report is damaged or of another version.
    """
    report = read_report(folder)
    if name is not None:
        report = report.model_copy(update={"about": report.about.model_copy(update={"run": name})})
    return EvaluatedRun(report, read_rows(folder, report))


def group_entrants(runs: Sequence[EvaluatedRun]) -> list[ComparedTraining]:
    """Group runs whose settings, training faces and length are equal and whose seeds differ.

    Raises:
        ConfigError: Two entrants have the same name.
    """
    groups: dict[tuple[object, ...], list[EvaluatedRun]] = {}
    for run in runs:
        about = run.report.about
        groups.setdefault((about.config, about.data, about.iteration), []).append(run)
    entrants = []
    for members in groups.values():
        seeds = [run.report.about.seed for run in members]
        if len(members) > 1 and len(set(seeds)) == len(seeds):
            entrants.append(ComparedTraining(" + ".join(run.report.about.run for run in members), members))
        else:
            entrants += [ComparedTraining(run.report.about.run, [run]) for run in members]
    names = [entrant.name for entrant in entrants]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"two runs are called {repeated[0]}: their rows in the tables would look alike; rename one of the folders"
        )
    return entrants


def make_columns(entrants: Sequence[ComparedTraining]) -> list[ComparisonColumn]:
    """Sort every number of every run into columns of equal keys."""
    columns: dict[tuple[str, str | None, str], ComparisonColumn] = {}
    members: dict[tuple[str, str | None, str], dict[str, list[Measured]]] = {}
    for entrant in entrants:
        for run in entrant.runs:
            for value, statistic in zip(run.report.values, run.statistics):
                if value.value is None:
                    continue
                place = (value.name, value.attribute, value.key.digest)
                columns.setdefault(
                    place, ComparisonColumn(value.name, value.metric, value.attribute, value.better, value.key)
                )
                members.setdefault(place, {}).setdefault(entrant.name, []).append((value, statistic))
    faces = max(run.report.faces for entrant in entrants for run in entrant.runs)
    first: dict[tuple[str, str | None], ComparisonColumn] = {}
    for place, column in columns.items():
        leader = first.setdefault(place[:2], column)
        column.key_differences = [] if leader is column else column.key.list_differences(leader.key)
        column.cells = make_cells(members[place], column, faces)
    return list(columns.values())


def make_cells(members: dict[str, list[Measured]], column: ComparisonColumn, faces: int) -> dict[str, Cell]:
    """Make the cells of a column, by entrant, with the best one marked.

    Args:
        members: name of an entrant -> the numbers of its runs.
        column: Its key has the seed of the bootstrap; `better` decides which is the best.
        faces: Number of faces to resample.
    """
    weights = draw_face_weights(faces, RESAMPLES, column.key.seed)
    samples = {name: resample_entrant(name, numbers, weights) for name, numbers in members.items()}
    cells = {name: make_cell(numbers, samples[name]) for name, numbers in members.items()}
    return mark_best(cells, samples, column.better)


def resample_entrant(
    name: str, numbers: Sequence[Measured], weights: Float[Tensor, "resamples faces"]
) -> Float[Tensor, " resamples"] | None:
    """Resample an entrant's number over the choice of faces and, with several runs, of seeds.

    Args:
        name: Name of the entrant; seeds the choice of its runs, since the runs of two entrants are not paired.
        numbers: The numbers of its runs.
        weights: See `draw_face_weights`.

    Returns:
        The resampled numbers; None for one run without rows.
    """
    resampled = [resample(statistic, weights) for _, statistic in numbers]
    if len(numbers) == 1:
        return resampled[0]
    rows = [
        torch.full((len(weights),), value.value or 0.0, dtype=torch.float64) if row is None else row
        for (value, _), row in zip(numbers, resampled)
    ]
    stacked = torch.stack(rows)  # (runs, resamples)
    count = len(numbers)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    chosen = torch.randint(count, stacked.shape, generator=generator)
    mean = stacked.mean(0)
    # A bootstrap of n runs underestimates their standard deviation by this factor.
    return mean + (stacked.gather(0, chosen).mean(0) - mean) * (count / (count - 1)) ** 0.5


def make_cell(numbers: Sequence[Measured], samples: Float[Tensor, " resamples"] | None) -> Cell:
    """Make the mean over an entrant's runs, with its interval."""
    mean = sum(value.value or 0.0 for value, _ in numbers) / len(numbers)
    low, high = compute_interval(samples)
    if low is None and len(numbers) == 1:
        low, high = numbers[0][0].low, numbers[0][0].high
    return Cell(mean, low, high, len(numbers))


def mark_best(
    cells: dict[str, Cell], samples: dict[str, Float[Tensor, " resamples"] | None], better: str | None
) -> dict[str, Cell]:
    """Mark the best cell, and those that do not differ significantly from it. Fewer than two cells stay unmarked."""
    if better is None or len(cells) < 2:
        return cells
    best = (max if better == "higher" else min)(cells, key=lambda name: cells[name].value)
    return {
        name: replace(cell, best=name == best, tied=is_tied(cell, cells[best], samples[name], samples[best]))
        for name, cell in cells.items()
    }


def is_tied(
    cell: Cell,
    best: Cell,
    samples: Float[Tensor, " resamples"] | None,
    best_samples: Float[Tensor, " resamples"] | None,
) -> bool | None:
    """Return whether a cell does not differ significantly from the best; None where an interval is missing."""
    if cell.value == best.value:
        return True
    if samples is not None and best_samples is not None:
        low, high = compute_interval(samples - best_samples)
        return None if low is None or high is None else low <= 0 <= high
    if cell.low is None or cell.high is None or best.low is None or best.high is None:
        return None
    return cell.low <= best.high and best.low <= cell.high
