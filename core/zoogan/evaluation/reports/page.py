"""The pages to read: tables, intervals as lines, and pictures, each one HTML file without scripts or links."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoogan.evaluation.reports.comparison import Column, Entrant, costs, headlines, speed_of
from zoogan.evaluation.reports.page_tables import cards, facts, sections, table, tables
from zoogan.evaluation.reports.report import Report
from zoogan.evaluation.reports.scale import decimals, interval_text, written
from zoogan.evaluation.study import edits_of, samples_of
from zoogan.interfaces import Editor, Study, World
from zoogan.pictures.photo import enlarged, grid, to_range

FACES = 8  # in the pictures
ACROSS, DOWN = 12, 6  # in the sheet of samples
APART = 24  # pixels between the runs of that sheet


def picture(image: UInt8[Tensor, "3 h w"]) -> str:
    """A picture as a data address."""
    content = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


@torch.no_grad()
def sheet(editor: Editor, study: Study, attribute: str) -> UInt8[Tensor, "3 h w"] | None:
    """Faces of the study with their edit, the true redraw and the mask, as far as there are any."""
    edits = next(iter(edits_of(editor, study, attribute, 6 * FACES)), None)
    if edits is None:
        return None
    rows = some_of_each(edits.wanted)
    columns = {"input": edits.image, "edit": edits.edited}
    if edits.truth is not None:
        columns["true redraw"] = edits.truth
    if edits.edit.mask is not None:
        columns["mask"] = (2 * edits.edit.mask - 1).expand_as(edits.image)
    columns["change x 3"] = (3 * (edits.edited - edits.image).abs() - 1).clamp(-1, 1)
    return grid(torch.stack([enlarged(part[rows].cpu()) for part in columns.values()], 1), list(columns))


@torch.no_grad()
def side_by_side(
    editors: Sequence[tuple[str, Editor]], studies: Sequence[Study], attribute: str
) -> UInt8[Tensor, "3 h w"] | None:
    """The same faces with every run's edit, and the true redraw where it is one for all; None unless all studies show
    the same faces."""
    batches = [next(iter(edits_of(e, study, attribute, 6 * FACES)), None) for (_, e), study in zip(editors, studies)]
    edits = [batch for batch in batches if batch is not None]
    shared = set.intersection(*(set(batch.faces.tolist()) for batch in edits)) if len(edits) == len(editors) else set()
    if not shared:
        return None
    first = edits[0]
    there = torch.tensor([k for k, face in enumerate(first.faces.tolist()) if face in shared])
    chosen = first.faces[there[some_of_each(first.wanted[there].cpu())]].tolist()
    columns: dict[str, Tensor] = {}
    for (name, _), batch in zip(editors, edits):
        rows = [batch.faces.tolist().index(face) for face in chosen]
        truth = None if batch.truth is None else batch.truth[rows].cpu()
        if not columns:
            columns["input"] = batch.image[rows].cpu()
            if truth is not None:
                columns["true redraw"] = truth
        if truth is None or not torch.equal(truth, columns.get("true redraw", truth)):
            columns.pop("true redraw", None)  # the runs were asked for different things
        if not torch.equal(batch.image[rows].cpu(), columns["input"]):
            return None
        columns[name] = batch.edited[rows].cpu()
    return grid(torch.stack([enlarged(part) for part in columns.values()], 1), list(columns))


@torch.no_grad()
def sample_sheet(editors: Sequence[tuple[str, Editor]], studies: Sequence[Study]) -> UInt8[Tensor, "3 h w"] | None:
    """The first samples of every run, of the same seeds, beside the first held-out faces of the first study; nothing is
    chosen. None unless all are of one size."""
    if len({study.source.image_size for study in studies}) > 1:
        return None
    first = studies[0]
    columns = min(max(2, ACROSS // (len(editors) + 1)), max(1, first.held_out // DOWN))
    rows = min(DOWN, first.held_out // columns)
    blocks = {
        name: next(samples_of(editor, replace(study, world=World.alone()), rows * columns)).image
        for (name, editor), study in zip(editors, studies)
    }
    real = first.source.read(first.split, list(range(rows * columns)))
    blocks["real faces"] = to_range(real["image"])
    faces = [enlarged(part.cpu()).unflatten(0, (rows, columns)) for part in blocks.values()]
    sheet = grid(torch.cat(faces, 1), [text for name in blocks for text in (name, *[""] * (columns - 1))])
    wide = sheet.shape[2] // len(blocks)  # what is over is less than a gutter
    parts = sheet.tensor_split([wide * k for k in range(1, len(blocks))], 2)
    return torch.cat([F.pad(part, (0, APART), value=255) for part in parts[:-1]] + [parts[-1]], 2)


def some_of_each(wanted: Tensor) -> Tensor:
    """Rows to show: as many faces that gain the attribute as faces that lose it, as far as there are any."""
    adding, removing = (wanted > 0.5).nonzero().flatten(), (wanted <= 0.5).nonzero().flatten()
    half = max(FACES // 2, FACES - min(len(adding), len(removing)))
    return torch.cat([adding[:half], removing[:half]])[:FACES]


def number(value: float | None) -> str:
    """A number in four significant digits or fewer."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def render(template: str, **values: Any) -> str:
    """A page of this package's templates."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("zoogan.evaluation.reports", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"written": written, "decimals": decimals, "interval": interval_text}
    return environment.get_template(template).render(**values)


def report_page(
    report: Report, pictures: Mapping[str, UInt8[Tensor, "3 h w"]], legend: Sequence[tuple[str, str]] = ()
) -> str:
    """The report as a page. legend: the parts of segmentations with their colours, `#rrggbb`."""
    return render(
        "report.html",
        report=report,
        cards=cards(report),
        sections=sections(report),
        facts=facts(report),
        several=len({value.attribute for value in report.values}) > 1,
        pictures={name: picture(image) for name, image in pictures.items()},
        legend=legend,
    )


def comparison_page(
    entrants: Sequence[Entrant],
    columns: Sequence[Column],
    pictures: Mapping[str, UInt8[Tensor, "3 h w"]],
    command: str,
) -> str:
    """The comparison as a page."""
    return render(
        "compare.html",
        entrants=entrants,
        glance=table("", "At a glance", headlines(columns), entrants),
        tables=tables(columns, entrants),
        several=len({column.attribute for column in columns}) > 1,
        costs=dict(zip((speed_of(entrants), "parameters"), zip(*map(costs, entrants)))),
        shows=entrants[0].runs[0].report.about.shows,
        pictures={name: picture(image) for name, image in pictures.items()},
        command=command,
    )
