"""The HTML pages of reports and comparisons: one file each, with tables, intervals as lines, and pictures.

Pages have no scripts and no links. No network runs here.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from zoogan.evaluation.reports.comparison import ComparedTraining, ComparisonColumn
from zoogan.evaluation.reports.comparison_tables import make_table, make_tables
from zoogan.evaluation.reports.comparison_text import format_costs, name_speed
from zoogan.evaluation.reports.report import Report
from zoogan.evaluation.reports.report_tables import list_facts, make_cards, make_sections
from zoogan.evaluation.reports.scale import count_decimals, format_interval, format_number
from zoogan.interfaces import Headline


def render_report(
    report: Report,
    headlines: Mapping[str, Headline],
    pictures: Mapping[str, UInt8[Tensor, "3 h w"]],
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    """Render a report as a page.

    Args:
        report: The numbers.
        headlines: Headlines of the metrics, by measure.
        pictures: Pictures of edits by attribute; for samples, `samples` and `parts`.
        legend: The parts of segmentations with their colours, `#rrggbb`.
    """
    return render_template(
        "report.html",
        report=report,
        cards=make_cards(report, headlines),
        sections=make_sections(report),
        facts=list_facts(report),
        several=len({value.attribute for value in report.values}) > 1,
        pictures={name: encode_picture(image) for name, image in pictures.items()},
        legend=legend,
    )


def render_comparison(
    entrants: Sequence[ComparedTraining],
    columns: Sequence[ComparisonColumn],
    headlines: Sequence[ComparisonColumn],
    pictures: Mapping[str, UInt8[Tensor, "3 h w"]],
    command: str,
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    """Render a comparison as a page.

    Args:
        entrants: Rows of the comparison.
        columns: All numbers.
        headlines: The columns of the first table.
        pictures: Pictures of edits by attribute; for samples, `samples`.
        command: The command that made the comparison.
        legend: The parts of edits that are segmentations, with their colours, `#rrggbb`.
    """
    return render_template(
        "compare.html",
        entrants=entrants,
        glance=make_table("", "At a glance", headlines, entrants),
        tables=make_tables(columns, entrants),
        several=len({column.attribute for column in columns}) > 1,
        costs=dict(zip((name_speed(entrants), "parameters"), zip(*map(format_costs, entrants)))),
        kind=entrants[0].runs[0].report.about.kind,
        pictures={name: encode_picture(image) for name, image in pictures.items()},
        command=command,
        legend=legend,
    )


def render_template(template: str, **values: Any) -> str:
    """Render one of the templates beside this file."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("zoogan.evaluation.reports", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": format_number, "decimals": count_decimals, "interval": format_interval}
    return environment.get_template(template).render(**values)


def encode_picture(image: UInt8[Tensor, "3 h w"]) -> str:
    """Encode a picture as a data URL."""
    content = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
