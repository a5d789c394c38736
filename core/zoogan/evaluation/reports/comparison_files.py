"""The files of a comparison: compare.md, compare.json, compare.html and the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from zoogan.evaluation.reports.comparison import ComparedTraining, ComparisonColumn
from zoogan.evaluation.reports.comparison_text import format_markdown
from zoogan.evaluation.reports.page import render_comparison
from zoogan.files import write_text_atomically
from zoogan.paths import make_file_name
from zoogan.pictures.photo import save_image


def write_comparison(
    folder: Path,
    entrants: Sequence[ComparedTraining],
    columns: Sequence[ComparisonColumn],
    headlines: Sequence[ComparisonColumn],
    pictures: Mapping[str, UInt8[Tensor, "3 h w"]],
    command: str,
    legend: Sequence[tuple[str, str]] = (),
) -> None:
    """Write a comparison.

    Args:
        folder: Folder to write into; created if it is missing.
        entrants: Its rows.
        columns: All numbers.
        headlines: The columns of the first table.
        pictures: Pictures by attribute, or `samples`.
        command: The command that made the comparison.
        legend: The parts of edits that are segmentations, with their colours, `#rrggbb`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / "compare.md", format_markdown(entrants, headlines, command))
    content = describe_comparison(entrants, columns, command)
    write_text_atomically(folder / "compare.json", json.dumps(content, indent=1))
    for name, picture in pictures.items():
        save_image(picture, folder / f"grid-{make_file_name(name)}.png")
    page = render_comparison(entrants, columns, headlines, pictures, command, legend)
    write_text_atomically(folder / "compare.html", page)


def describe_comparison(
    entrants: Sequence[ComparedTraining], columns: Sequence[ComparisonColumn], command: str
) -> dict[str, Any]:
    """Make the content of compare.json."""
    return {
        "command": command,
        "entrants": {e.name: [run.report.about.model_dump(mode="json") for run in e.runs] for e in entrants},
        "columns": [
            {
                "name": column.name,
                "attribute": column.attribute,
                "better": column.better,
                "key": column.key.model_dump(mode="json"),
                "apart": column.key_differences,
                "cells": {name: asdict(cell) for name, cell in column.cells.items()},
            }
            for column in columns
        ],
    }
