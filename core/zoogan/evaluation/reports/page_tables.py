"""What the pages show, and in which order: headline figures, and tables that say once what their rows share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoogan.evaluation.reports.comparison import Cell, Column, Entrant, refusals
from zoogan.evaluation.reports.report import Report, Value
from zoogan.evaluation.reports.scale import Scale, decimals, interval_text, scale_of, written

MANY = 24  # rows; in a longer table those of single attributes are folded
CARDS = 6
UNITS = ("l1", "psnr")  # parts of a measure's name; all other measures are shares or the like

# The headline figures in their order: name of the measure -> how it is called and what it says.
GLANCE = {
    "edit_error": ("Edit error", "0 is the true redraw, 1 no edit at all"),
    "success": ("Success", "of the edits show what was asked for"),
    "preservation": ("Preservation", "of what else the judge reads stays as it was"),
    "outside_truth.l1": ("Change outside", "mean L1 where the true redraw changes nothing"),
    "cycle.l1": ("Edit taken back", "mean L1 to the face as it was"),
    "fid": ("FID", "Frechet Inception distance to real faces"),
    "fd_squeezenet": ("Frechet distance", "to real faces, SqueezeNet features; not FID"),
    "prdc_squeezenet.coverage": ("Coverage", "of the real faces have one of these near"),
    "frequency.mean": ("Frequency gap", "between the shares of samples and of real faces that show an attribute"),
    "mask_agreement.miou": ("Mask agreement", "mean IoU of the generated masks and the judge's"),
    "part_leak.shape": ("Leak of a shape", "change outside of a replaced part, against inside"),
    "part_leak.texture": ("Leak of a texture", "change outside of a replaced part, against inside"),
    "identity.l1": ("Left alone", "mean L1 of a face asked to stay as it is"),
    "outside_mask.l1": ("Change outside its mask", "mean L1 where the method's own mask is shut"),
}


@dataclass(frozen=True)
class Row:
    """A number of a report. note: what only this row says. scale: of its line, shared with the rows of its unit."""

    value: Value
    scale: Scale | None
    note: str = ""

    @property
    def number(self) -> str:
        """Its value, rounded."""
        return written(self.value.value, decimals(self.value))

    @property
    def interval(self) -> str:
        """Its interval, with the decimals of the value."""
        return interval_text(self.value, decimals(self.value))


@dataclass(frozen=True)
class Card:
    """A headline figure. yardstick: what it is to be read against, the last clause of its note."""

    label: str
    meaning: str
    row: Row
    yardstick: str


@dataclass(frozen=True)
class Section:
    """The numbers of a metric. folded: the rows of single attributes where there are many. once: what was said by all
    rows, or by all of an attribute."""

    metric: str
    title: str
    rows: list[Row]
    folded: list[Row]
    once: list[str]


def cards(report: Report) -> list[Card]:
    """The headline figures that were measured: over all attributes, or of the only one."""
    found = []
    for name, (label, meaning) in GLANCE.items():
        values = [value for value in report.values if value.name == name]
        value = values[0] if len(values) == 1 else report.find(name)
        if value is not None and value.value is not None:
            found.append(Card(label, meaning, Row(value, None), value.note.split("; ")[-1]))
    return found[:CARDS]


def sections(report: Report) -> list[Section]:
    """A section for each metric, in the order of the report."""
    groups: dict[str, list[Value]] = {}
    for value in report.values:
        groups.setdefault(value.metric, []).append(value)
    return [section(metric, report.titles.get(metric, metric), values) for metric, values in groups.items()]


def section(metric: str, title: str, values: Sequence[Value]) -> Section:
    """The rows of a metric with their scales, and what they have in common."""
    once, own = said_once(values)
    scales = {
        unit: scale_of(v for v in values if unit_of(v.name) == unit) for unit in {unit_of(v.name) for v in values}
    }
    rows = [Row(value, scales[unit_of(value.name)], note) for value, note in zip(values, own)]
    summary = [row for row in rows if row.value.attribute is None]
    fold = len(rows) > MANY and bool(summary)
    folded = [row for row in rows if row.value.attribute is not None] if fold else []
    return Section(metric, title, summary if fold else rows, folded, once)


def unit_of(name: str) -> str:
    """The part of a measure's name that tells its unit, `l1` or `psnr`; none for shares."""
    return next((part for part in name.split(".") if part in UNITS), "")


def clauses(value: Value) -> list[str]:
    """What a value says of itself: its note, and the network that it looks through."""
    key = value.key
    through = [f"looks through {key.backbone}, {key.resizer}, sha256 {(key.weights or '')[:8]}"] if key.backbone else []
    return [clause for clause in (*value.note.split("; "), *through) if clause]


def said_once(values: Sequence[Value]) -> tuple[list[str], list[str]]:
    """What a table says once, and what is left for each row: a clause that all rows share, or all rows of an attribute
    with several, leaves the rows."""
    told = [clauses(value) for value in values]
    by_all = common(told)
    by_attribute: dict[str | None, list[str]] = {}
    for attribute in dict.fromkeys(value.attribute for value in values):
        mine = [said for value, said in zip(values, told) if value.attribute == attribute]
        by_attribute[attribute] = [clause for clause in common(mine) if clause not in by_all] if len(mine) > 1 else []
    once = by_all + [f"{attribute or 'all'}, {clause}" for attribute, said in by_attribute.items() for clause in said]
    own = [
        "; ".join(clause for clause in said if clause not in by_all + by_attribute[value.attribute])
        for value, said in zip(values, told)
    ]
    return once, own


def common(told: Sequence[list[str]]) -> list[str]:
    """The clauses that all of these say."""
    return [clause for clause in told[0] if all(clause in other for other in told)]


def facts(report: Report) -> dict[str, str]:
    """What the numbers hold for: the run, the faces, the libraries."""
    about, keys = report.about, [value.key for value in report.values]
    told = {
        "method": f"{about.method}, recipe {about.recipe}" if about.recipe else about.method,
        "seed": str(about.seed),
    }
    if about.iteration is not None:
        told["iteration"] = f"{about.iteration:,}"
    if about.images is not None:
        told["images seen"] = f"{about.images:,}"
    told["parameters"] = ", ".join(f"{name} {count / 1e6:.3g} M" for name, count in about.parameters.items())
    told["speed"] = f"{about.speed:.3g} {about.shows} a second on {about.device}"
    if keys:
        first = keys[0]
        place = f"{first.source}, split {first.split}, {first.image_size} px, seed {first.seed}"
        told["faces"] = place if about.shows == "edits" else f"beside {place}, truncation {first.truncation:g}"
        sets = dict.fromkeys(f"{key.attribute or 'all'} {key.n}, sha256 {key.faces[:12]}" for key in keys if key.faces)
        told |= {"sets of faces": "; ".join(sets)} if sets else {}
        versions = {name: version for key in keys for name, version in key.versions.items()}
        told["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return {**told, "measured": report.date}


# ---- comparisons ----


@dataclass(frozen=True)
class Compared:
    """Numbers that may be compared, one a run where it was measured."""

    column: Column
    cells: list[Cell | None]

    @property
    def known(self) -> list[Cell]:
        """Those that were measured."""
        return [cell for cell in self.cells if cell is not None]

    @property
    def scale(self) -> Scale | None:
        """From about the least to about the largest: here differences matter."""
        return scale_of(self.known, from_zero=False)


@dataclass(frozen=True)
class Table:
    """The compared numbers of a metric, and which of them stand apart and why."""

    metric: str
    title: str
    rows: list[Compared]
    refusals: list[str]


def table(metric: str, title: str, columns: Sequence[Column], entrants: Iterable[Entrant]) -> Table:
    """Columns as rows of a table whose columns are the runs."""
    names = [entrant.name for entrant in entrants]
    rows = [Compared(column, [column.cells.get(name) for name in names]) for column in columns]
    return Table(metric, title, rows, refusals(columns))


def tables(columns: Sequence[Column], entrants: Sequence[Entrant]) -> dict[str, Table]:
    """Metric -> its table."""
    titles = {name: title for e in entrants for run in e.runs for name, title in run.report.titles.items()}
    return {
        metric: table(metric, titles.get(metric, metric), [c for c in columns if c.metric == metric], entrants)
        for metric in dict.fromkeys(column.metric for column in columns)
    }
