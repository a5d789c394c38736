"""The card of a run: README.md in its folder, which says what it is, how it was made and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pictures import find_words

import zoogan
from zoogan.plugins.host import get_zoo

ROWS = 8  # numbers in the table of a card; the report has all


def write_card(
    path: Path,
    *,
    name: str,
    run: zoogan.LoadedRun,
    rounding: float,
    commands: Sequence[str],
    seconds: Mapping[str, float],
    is_shipped: bool,
    measured: str = "",
) -> None:
    """Write the card of a run.

    Args:
        path: The file.
        name: Name of the run.
        run: The stored run.
        rounding: See `pictures.measure_rounding`.
        commands: The commands that make it.
        seconds: How long training and stages took, by name.
        is_shipped: Whether it was trained on drawn faces and may be passed on.
        measured: With which weights its report was made.
    """
    entry = get_zoo().catalogue[run.config.method]
    data, facts = run.config.data, run.facts
    labels = ", ".join(facts.attributes) or "none"
    parts = f" Parts: {len(facts.parts)}." if run.editor.parts else ""
    lines = [
        *make_front_matter(run, is_shipped),
        f"# {entry.title} on {data.source} faces",
        f"{entry.summary}. {entry.paper.format_short()} {entry.year}: {entry.paper.title}.",
        "![Faces and edits](sheet.png)",
        "## Use it",
        "```bash\n" + "\n".join(list_commands(name, run, is_shipped)) + "\n```",
        describe_limits(run, is_shipped),
        "## How it was made",
        "```bash\n" + "\n".join(commands) + "\n```",
        f"Seed {run.config.training.seed}, {run.iteration:,} iterations, {run.images:,} faces of {facts.image_size} px."
        f" {format_hours(seconds)} zoogan {zoogan.__version__.split('+')[0]}. Attributes: {labels}.{parts}",
        "Weights are stored as float16 and computed with in float32; networks that only training reads are left out. "
        f"Rounding changes a picture by {rounding:.2g} of 255 grey levels on average.",
        *describe_report(path.parent / "report" / "report.json", measured),
    ]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def make_front_matter(run: zoogan.LoadedRun, is_shipped: bool) -> list[str]:
    """Make the block that model hubs read."""
    task = "unconditional-image-generation" if run.editor.can_sample else "image-to-image"
    licence = "license: apache-2.0" if is_shipped else "license: other"
    tags = ", ".join(["zoogan", "gan", "face-editing", run.config.method, str(run.config.data.source)])
    return [f"---\nlibrary_name: zoogan\npipeline_tag: {task}\n{licence}\ntags: [{tags}]\n---"]


def list_commands(name: str, run: zoogan.LoadedRun, is_shipped: bool) -> list[str]:
    """List commands that use the run."""
    address, face = (f"gallery:{name}", "gallery:faces/01.png") if is_shipped else (name, "me.jpg")
    editor = run.editor
    if editor.can_sample:
        made = [f"zoo sample {address}"]
        if editor.attributes:
            made.append(f"zoo edit {address} --seed 0 --attribute {editor.attributes[0]}=1")
        if editor.parts:
            made.append(f"zoo edit {address} --seed 0 --part hair --from-seed 7")
        return made
    word, value = next(iter(find_words(run).items()))
    option = f"--domain {value} --seed 1" if word == "domain" else f"--attribute {word}=1"
    return [f"zoo edit {address} {face} {option}"]


def describe_limits(run: zoogan.LoadedRun, is_shipped: bool) -> str:
    """Say what the run is for."""
    if not is_shipped:
        return (
            f"Trained on faces of {run.config.data.source}, whose licence decides what may be done with these weights. "
            "Keep them to yourself unless it allows more. Do not edit pictures of people without their consent."
        )
    return (
        "Made on drawn faces, for drawn faces (`gallery:faces` has a dozen): no photo of a person was used, and photos "
        f"come out badly. For photos, import official weights (`zoo show {run.config.method}` names the files and "
        "their licence) or train on faces that you may use. Licence: Apache-2.0."
    )


def format_hours(seconds: Mapping[str, float]) -> str:
    """Write how long training and stages took."""
    if not seconds:
        return "The time was not recorded."
    parts = ", ".join(f"{name} {value / 60:.0f} min" for name, value in seconds.items())
    total = f"; {sum(seconds.values()) / 3600:.1f} hours together" if len(seconds) > 1 else ""
    return f"Wall time, beside other programs: {parts}{total}."


def describe_report(file: Path, measured: str) -> list[str]:
    """Make the section with the first numbers of the report; `measured` says with which weights."""
    if not file.exists():
        return []
    report: dict[str, Any] = json.loads(file.read_text())
    judged = [value for value in report["values"] if value["better"] is not None]
    values = [value for value in judged if value["attribute"] is None] or judged  # a run of one attribute has its alone
    rows = ["| measure | value | 95 % interval |", "|---|---|---|"]
    for value in sorted(values, key=lambda value: value["name"].count("."))[:ROWS]:  # `success` before its parts
        interval = "" if value["low"] is None else f"{value['low']:.3g} to {value['high']:.3g}"
        arrow = "↓" if value["better"] == "lower" else "↑"
        rows.append(f"| {value['name']} {arrow} | {value['value']:.3g} | {interval} |")
    about = f"Measured {measured} on {report['faces']} held-out faces or samples; all numbers: report/report.html."
    return ["## How good it is", "\n".join(rows), about]
