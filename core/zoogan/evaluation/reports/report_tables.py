"""The tables of a report's page: headline figures, and the numbers of each metric with their common notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoogan.evaluation.reports.report import Report, Value
from zoogan.evaluation.reports.scale import Scale, count_decimals, format_interval, format_number, make_scale
from zoogan.interfaces import Headline

MANY = 24  # rows; in a longer table those of single attributes are folded
CARDS = 6
UNITS = ("l1", "psnr")  # parts of a measure's name; all other measures are shares or similar


@dataclass(frozen=True)
class Row:
    """A number of a report.

    Attributes:
        value: The number.
        scale: Scale of its line, shared by the rows of its unit; None = no line.
        note: The part of its note that no other row shares.
    """

    value: Value
    scale: Scale | None
    note: str = ""

    @property
    def number(self) -> str:
        """Its value, rounded."""
        return format_number(self.value.value, count_decimals(self.value))

    @property
    def interval(self) -> str:
        """Its interval, with the decimals of the value."""
        return format_interval(self.value, count_decimals(self.value))


@dataclass(frozen=True)
class Card:
    """A headline figure.

    Attributes:
        label: Its name.
        meaning: Its explanation, in a few words.
        row: The number.
        yardstick: What to compare it with, the last clause of its note.
    """

    label: str
    meaning: str
    row: Row
    yardstick: str


@dataclass(frozen=True)
class Section:
    """The numbers of a metric.

    Attributes:
        metric: Its name.
        title: Its title.
        rows: The rows that are shown.
        folded: Rows of single attributes, where there are many.
        shared: Clauses of the notes of all rows, or of all rows of an attribute.
    """

    metric: str
    title: str
    rows: list[Row]
    folded: list[Row]
    shared: list[str]


def make_cards(report: Report, headlines: Mapping[str, Headline]) -> list[Card]:
    """Make the headline figures: the first few that were measured, over all attributes or of the only one.

    Args:
        report: The numbers.
        headlines: Headlines of the metrics, by measure; their `report_place` is the order.
    """
    places = {name: line.report_place for name, line in headlines.items() if line.report_place is not None}
    cards = []
    for name in sorted(places, key=lambda name: (places[name], name)):
        values = [value for value in report.values if value.name == name]
        value = values[0] if len(values) == 1 else report.find(name)
        if value is not None and value.value is not None:
            label, meaning = headlines[name].label, headlines[name].meaning
            cards.append(Card(label, meaning, Row(value, None), value.note.split("; ")[-1]))
    return cards[:CARDS]


def make_sections(report: Report) -> list[Section]:
    """Make a section for each metric, in the order of the report."""
    groups: dict[str, list[Value]] = {}
    for value in report.values:
        groups.setdefault(value.metric, []).append(value)
    return [make_section(metric, report.titles.get(metric, metric), values) for metric, values in groups.items()]


def make_section(metric: str, title: str, values: Sequence[Value]) -> Section:
    """Make the rows of a metric with their scales, and collect the clauses that they share."""
    shared, notes = split_shared_clauses(values)
    scales = {
        unit: make_scale(v for v in values if get_unit(v.name) == unit) for unit in {get_unit(v.name) for v in values}
    }
    rows = [Row(value, scales[get_unit(value.name)], note) for value, note in zip(values, notes)]
    summary = [row for row in rows if row.value.attribute is None]
    is_folded = len(rows) > MANY and bool(summary)
    folded = [row for row in rows if row.value.attribute is not None] if is_folded else []
    return Section(metric, title, summary if is_folded else rows, folded, shared)


def get_unit(name: str) -> str:
    """Get the unit of a measure from its name, `l1` or `psnr`; empty for shares."""
    return next((part for part in name.split(".") if part in UNITS), "")


def list_clauses(value: Value) -> list[str]:
    """List the clauses of a value's note, and describe the network that it was measured with."""
    key = value.key
    network = [f"measured with {key.backbone}, {key.resizer}, sha256 {(key.weights or '')[:8]}"] if key.backbone else []
    return [clause for clause in (*value.note.split("; "), *network) if clause]


def split_shared_clauses(values: Sequence[Value]) -> tuple[list[str], list[str]]:
    """Split the notes of a table into shared clauses, which are written once, and the rest of each row's note.

    A clause is shared if all rows have it, or all rows of an attribute with several rows.

    Returns:
        (the shared clauses, the rest of each row's note).
    """
    clauses = [list_clauses(value) for value in values]
    of_all = find_common_clauses(clauses)
    by_attribute: dict[str | None, list[str]] = {}
    for attribute in dict.fromkeys(value.attribute for value in values):
        own = [row for value, row in zip(values, clauses) if value.attribute == attribute]
        common = find_common_clauses(own) if len(own) > 1 else []
        by_attribute[attribute] = [clause for clause in common if clause not in of_all]
    shared = of_all + [f"{attribute or 'all'}, {clause}" for attribute, row in by_attribute.items() for clause in row]
    notes = [
        "; ".join(clause for clause in row if clause not in of_all + by_attribute[value.attribute])
        for value, row in zip(values, clauses)
    ]
    return shared, notes


def find_common_clauses(clauses: Sequence[list[str]]) -> list[str]:
    """Find the clauses that all rows have, in the order of the first row."""
    return [clause for clause in clauses[0] if all(clause in row for row in clauses)]


def list_facts(report: Report) -> dict[str, str]:
    """List the conditions of the measuring: the run, the faces and the libraries."""
    about, keys = report.about, [value.key for value in report.values]
    facts = {
        "method": f"{about.method}, recipe {about.recipe}" if about.recipe else about.method,
        "seed": str(about.seed),
    }
    if about.iteration is not None:
        facts["iteration"] = f"{about.iteration:,}"
    if about.images is not None:
        facts["images seen"] = f"{about.images:,}"
    facts["parameters"] = ", ".join(f"{name} {count / 1e6:.3g} M" for name, count in about.parameters.items())
    facts["speed"] = f"{about.speed:.3g} {about.product} a second on {about.device}"
    if keys:
        first = keys[0]
        place = f"{first.source}, split {first.split}, {first.image_size} px, seed {first.seed}"
        facts["faces"] = place if about.kind == "edits" else f"beside {place}, truncation {first.truncation:g}"
        if report.left_out:
            counts = ", ".join(f"{name} {count} of {report.faces}" for name, count in report.left_out.items())
            facts["left out, as the judge reads it already"] = counts
        sets = (
            {}
            if about.kind == "generated"
            else dict.fromkeys(
                f"{key.attribute or 'all'} {key.n}, sha256 {key.faces[:12]}" for key in keys if key.faces
            )
        )
        facts |= {"sets of faces": "; ".join(sets)} if sets else {}
        versions = {name: version for key in keys for name, version in key.versions.items()}
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return {**facts, "measured": report.date}
