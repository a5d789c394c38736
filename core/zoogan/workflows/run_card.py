"""The card of a run for model hubs: what it is, how to use it, how good it is, and what it is not for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import yaml

from zoogan.plugins.host import get_zoo
from zoogan.runs.description import EditorDescription, describe_editor
from zoogan.runs.licence import describe_licence, is_drawn
from zoogan.runs.loaded import LoadedRun

ROWS = 8  # numbers in the table of a card
TEMPLATES = "templates"
NOT_MEASURED = "Not measured yet: `zoo evaluate RUN` writes a report, which the next push shows here."


def read_template(name: str) -> Template:
    """Read a template of this package."""
    file = resources.files(__package__) / TEMPLATES / name
    return Template(file.read_text(encoding="utf-8"))


def make_card(run: LoadedRun, address: str, *, packages: Sequence[str], has_sheet: bool) -> str:
    """Make the card of a run.

    Args:
        run: The run.
        address: What opens it with `zoogan.load`.
        packages: What must be installed.
        has_sheet: Whether sheet.png lies beside the card.
    """
    about, report = describe_editor(run), read_report(run.path)
    entry = get_zoo().catalogue.get(run.config.method)
    line, command = suggest_use(about, address)
    directions = ", ".join(getattr(run.editor, "directions", {}))
    return read_template("card.md").substitute(
        front_matter=format_front_matter(make_front_matter(run, address, report)),
        title=entry.title if entry else run.config.method,
        source=run.config.data.source,
        summary=entry.summary if entry else f"A run of {run.config.method}",
        paper=f"{entry.paper.format_short()} {entry.year}: {entry.paper.title}." if entry else "",
        sheet="\n![Faces and edits](sheet.png)\n" if has_sheet else "",
        packages=" ".join(packages),
        address=address,
        line=line,
        command=command,
        facts=describe_facts(run, about),
        directions=f"Directions: {directions}.\n\n" if directions else "",
        report="\n\n".join(describe_report(report)) or NOT_MEASURED,
        licence=describe_data(run),
        purpose="makes faces and edits them" if about.makes_faces else "edits faces",
        size=run.facts.image_size,
    )


def make_front_matter(run: LoadedRun, name: str, report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make the block that model hubs read.

    Args:
        run: The run.
        name: Its name.
        report: Its report.json. Its numbers keep zoogan's names of metrics, and their keys.
    """
    source, drawn = str(run.config.data.source), is_drawn(run.config)
    licence = {"license": "apache-2.0"} if drawn else {"license": "other", "license_name": f"that-of-{source}"}
    content: dict[str, Any] = {
        "library_name": "zoogan",
        "pipeline_tag": "unconditional-image-generation" if run.editor.can_sample else "image-to-image",
        **licence,
        "tags": ["zoogan", "gan", "face-editing", run.config.method, source],
    }
    values = choose_values(report or {})
    if values:
        metrics = [{"type": v["name"], "name": v["name"], "value": v["value"], "args": v["key"]} for v in values]
        task = {"type": content["pipeline_tag"]}
        dataset = {"type": source, "name": f"{source} faces, {values[0]['key'].get('split', 'test')}"}
        content["model-index"] = [{"name": name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}]
    return content


def format_front_matter(content: Mapping[str, Any]) -> str:
    """Format a block of YAML, without the lines of dashes."""
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    return text


def suggest_use(about: EditorDescription, address: str) -> tuple[str, str]:
    """Suggest a line of Python and a command that show what a run does."""
    name = next((one.name for one in about.attributes), None)
    if about.edits == "latents":
        edit = f'run.edit(face, {name}=1).save("edited.png")' if name else 'face.save("face.png")'
        return f"face = run.sample(1, seed=7)\n{edit}", f"zoo sample {address}"
    layout = ', layout="map.png"' if about.layout == "needed" else ""
    option = " --layout map.png" if about.layout == "needed" else ""
    if about.domains:
        words, chosen = f'domain="{about.domains[0]}"', f"--domain {about.domains[0]}"
    elif name:
        words, chosen = f"{name}=1", f"--attribute {name}=1"
    else:
        return 'run.sample(1).save("face.png")', f"zoo sample {address}"
    return f'run.edit("me.jpg"{layout}, {words}).save("edited.png")', f"zoo edit {address} me.jpg{option} {chosen}"


def describe_facts(run: LoadedRun, about: EditorDescription) -> str:
    """List the facts about a run."""
    facts, config = run.facts, run.config
    groups = "; ".join(", ".join(group) for group in about.exclusive)
    rows = {
        "method": f"{config.method}, recipe {config.recipe or 'none'}, seed {config.training.seed}",
        "faces": f"{config.data.source}, {facts.image_size} px, {facts.channels} channels, the centre {facts.crop:.0%}",
        "length": "imported weights"
        if run.iteration is None
        else f"{run.iteration:,} iterations, {run.images:,} faces",
        "attributes": ", ".join(one.name for one in about.attributes),
        "at most one of": groups,
        "domains": ", ".join(about.domains),
        "parts": ", ".join(part.name for part in about.parts),
    }
    return "\n".join(f"- {name}: {text}" for name, text in rows.items() if text)


def describe_data(run: LoadedRun) -> str:
    """Say what the run was trained on, and what may be done with its weights."""
    if is_drawn(run.config):
        return (
            "Trained on faces that zoogan draws, which show nobody: no photo of a person was used, and photos come out "
            "badly. Licence of the weights: Apache-2.0."
        )
    return (
        f"Trained on faces of {run.config.data.source}. The licence of the weights is {describe_licence(run.config)}; "
        "many such sets allow research alone and forbid passing on what is derived from them. Ask before any other use."
    )


# ---- reports ----


def read_report(run: Path | None) -> dict[str, Any]:
    """Read report/report.json of a run; empty where it was not measured."""
    file = None if run is None else run / "report" / "report.json"
    return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}


def choose_values(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Choose the numbers of a report that a card shows: those of all attributes, `success` before its parts."""
    judged = [value for value in report.get("values", ()) if value["better"] is not None and value["value"] is not None]
    values = [value for value in judged if value["attribute"] is None] or judged  # a run of one attribute has its alone
    return sorted(values, key=lambda value: value["name"].count("."))[:ROWS]


def describe_report(report: Mapping[str, Any], measured: str = "") -> list[str]:
    """Make the table of a report's first numbers, with intervals, and a sentence about it; empty without numbers.

    Args:
        report: Content of report.json.
        measured: With which weights it was made.
    """
    if not (values := choose_values(report)):
        return []
    rows = ["| measure | value | 95 % interval |", "|---|---|---|"]
    for value in values:
        interval = "" if value["low"] is None else f"{value['low']:.3g} to {value['high']:.3g}"
        arrow = "↓" if value["better"] == "lower" else "↑"
        rows.append(f"| {value['name']} {arrow} | {value['value']:.3g} | {interval} |")
    how = f"Measured {measured} on" if measured else "Measured on"
    about = f"{how} {report['faces']} held-out faces or samples; all numbers: report/report.html."
    return ["\n".join(rows), about]
