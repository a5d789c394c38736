"""Summarizes a run from its small files, without opening it. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoogan.config import GameConfig, read_yaml, validate
from zoogan.errors import ConfigError
from zoogan.facts import read_facts
from zoogan.plugins.gallery import PREFIX, name_gallery_entry
from zoogan.plugins.host import PluginHost, get_zoo
from zoogan.plugins.pasting import quote_run, quote_word
from zoogan.runs.locations import find_run_folder
from zoogan.runs.vocabulary import list_direction_names

FIGURES = 6  # of a report, one a metric


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes:
        name: The measure.
        attribute: The attribute that was edited; None = all of them.
        value: The number.
        low: Lower end of its 95 % interval; None without one.
        high: Upper end.
    """

    name: str
    attribute: str | None
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class RunSummary:
    """What the files of a run say about it.

    Attributes:
        path: The run folder.
        method: Id of the method.
        title: Its name for people.
        recipe: The recipe; None for a run without one.
        source: The source of the training faces.
        image_size: Side of the faces in pixels.
        attributes: Names of the attributes.
        domains: Names of the domains.
        parts: Names of the parts of a face.
        condition: Name of the condition, which decides what an edit takes.
        layouts: Whether edits take maps of parts: `none`, `optional` or `needed`.
        iteration: Completed iterations of the model; None for weights that came from elsewhere, or without a model.
        iterations: Planned iterations.
        images: Items of the data that the training consumed; None if unknown.
        seconds: How long the training took; None if unknown.
        is_finished: Whether the model has all planned iterations, or came from elsewhere.
        files: Bytes of each file of the model, by name; empty before the first checkpoint.
        checkpoints: Names of the checkpoints, oldest first.
        directions: Attributes with a fitted direction.
        stages: State of each stage by name.
        report: The page of the default evaluation; None before it.
        figures: Its main figures, the first of each metric.
        commands: Commands to go on with, by what they do.
    """

    path: Path
    method: str
    title: str
    recipe: str | None
    source: str
    image_size: int
    attributes: tuple[str, ...]
    domains: tuple[str, ...]
    parts: tuple[str, ...]
    condition: str
    layouts: str
    iteration: int | None
    iterations: int
    images: int | None
    seconds: float | None
    is_finished: bool
    files: Mapping[str, int]
    checkpoints: tuple[str, ...]
    directions: tuple[str, ...]
    stages: Mapping[str, str]
    report: Path | None
    figures: tuple[Figure, ...]
    commands: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the summary as values of JSON."""
        return asdict(self) | {"path": str(self.path), "report": None if self.report is None else str(self.report)}


def summarize_run(run: str | Path, *, host: PluginHost | None = None) -> RunSummary:
    """Summarize a run without opening it, as `zoo show RUN` does.

    Args:
        run: The run folder, see `zoogan.load`.
        host: The plugins; None = those of this process.

    Raises:
        ConfigError: Not a run, a method that is not installed, or a config that does not validate.
    """
    host, folder = host or get_zoo(), find_run_folder(run)
    values = read_yaml(folder / "config.yaml")
    spec = host.get_method(str(values.get("method")))
    config = validate(spec, host.registry, values)
    facts = read_facts(folder)
    model = read_json(folder / "model" / "config.json")
    iteration, planned = model.get("iteration"), config.training.iterations
    report, entry = folder / "report" / "report.html", host.catalogue.get(spec.name)
    summary: dict[str, Any] = {
        "path": folder,
        "method": spec.name,
        "title": entry.title if entry else spec.title,
        "recipe": config.recipe,
        "source": config.data.source,
        "image_size": facts.image_size,
        "attributes": facts.attributes,
        "domains": facts.domains,
        "parts": facts.parts,
        "condition": str(getattr(config.condition, "use", "")),
        "layouts": config.layout_use,
        "iteration": iteration,
        "iterations": planned,
        "images": model.get("position"),
        "seconds": read_seconds(folder / "metrics.jsonl"),
        "is_finished": bool(model) and (iteration is None or iteration >= planned),
        "files": {file.name: file.stat().st_size for file in sorted((folder / "model").glob("*.safetensors"))},
        "checkpoints": tuple(sorted(path.name for path in (folder / "checkpoints").glob("iteration-*"))),
        "directions": list_direction_names(folder / "directions"),
        "stages": {stage["name"]: stage["state"] for stage in read_json(folder / "stages.json").get("stages", ())},
        "report": report if report.is_file() else None,
        "figures": tuple(choose_figures(read_json(folder / "report" / "report.json"))),
    }
    entry_name = name_gallery_entry(folder)
    address = str(folder) if entry_name is None else f"{PREFIX}{entry_name}"
    return RunSummary(**summary, commands=suggest_commands(summary, config, address, is_fixed=entry_name is not None))


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no such file.

    Raises:
        ConfigError: It is damaged.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ConfigError(f"{file}: damaged ({error}); delete it, and train or evaluate again") from error
    return content if isinstance(content, dict) else {}


def read_seconds(log: Path) -> float | None:
    """Read the duration of the training off the last whole line of metrics.jsonl that has it."""
    for line in reversed(log.read_text(errors="replace").splitlines() if log.is_file() else []):
        try:
            return float(json.loads(line)["seconds"])
        except (ValueError, KeyError, TypeError):  # half a line, left by a crash, or a line without it
            continue
    return None


def choose_figures(report: Mapping[str, Any]) -> Iterator[Figure]:
    """Choose the first figure of each metric, that of all attributes where there is one."""
    metrics: dict[str, list[Mapping[str, Any]]] = {}
    for value in report.get("values", ()):
        if value["value"] is not None:
            metrics.setdefault(value["metric"], []).append(value)
    for values in list(metrics.values())[:FIGURES]:
        chosen = next((value for value in values if value["attribute"] is None), values[0])
        yield Figure(*(chosen[key] for key in ("name", "attribute", "value", "low", "high")))


def suggest_commands(
    summary: Mapping[str, Any], config: GameConfig, path: str, *, is_fixed: bool = False
) -> dict[str, str]:
    """Suggest the commands to go on with, by what they do.

    Args:
        summary: The fields of a `RunSummary`.
        config: The config of the run.
        path: What names the run.
        is_fixed: Whether nothing may be written into it, so that it cannot be trained further.
    """
    path = quote_run(path)
    condition, resume = summary["condition"], f"zoo train --out {path} --resume"
    commands = {} if is_fixed or summary["is_finished"] else {"go on training": resume}
    if not summary["files"]:
        return commands
    name, layouts = quote_word(next(iter(summary["attributes"]), "NAME")), summary["layouts"]
    faces = f"{path} PHOTO --layout MAP.png" if layouts == "needed" else f"{path} PHOTO"
    if condition in ("latent", "decomposition") and layouts != "none":
        if layouts == "optional" and summary["attributes"]:  # it reads the maps off photos, and edits attributes there
            commands["edit a photo"] = f"zoo edit {faces} --attribute {name}=1"
        commands["make faces"] = f"zoo sample {path}"
    elif condition in ("latent", "decomposition"):
        commands["make faces"] = f"zoo sample {path}"
        if condition == "latent" and not summary["directions"]:
            commands["find a direction"] = f"zoo direction {path} --attribute {name}"
        else:
            name = quote_word(next(iter(summary["directions"]), name))
            commands["edit them"] = f"zoo edit {path} --seed 0 --attribute {name}=1"
    elif condition == "domain" and summary["domains"]:
        commands["edit a photo"] = f"zoo edit {faces} --domain {quote_word(summary['domains'][0])}"
    elif condition in ("attributes", "pairs") and summary["attributes"]:
        commands["edit a photo"] = f"zoo edit {faces} --attribute {name}=1"
    else:
        commands["see edits"] = f"zoo edit {path} --grid --out sheet.png"
    if summary["report"] is None:
        commands["measure it"] = f"zoo evaluate {path}"
    if summary["is_finished"] and summary["iteration"] is not None and not is_fixed:
        commands["train it longer"] = f"{resume} --iterations {2 * config.training.iterations}"
    return commands
