"""The verb `zoo show`, for methods; runs are shown by `zoogan.cli.show_run`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from zoogan.cli.arguments import Json, PluginFiles, open_host, print_json
from zoogan.cli.completion import complete_model
from zoogan.errors import ConfigError
from zoogan.terminal.tables import print_table

DOCS = "https://zoogan.github.io/zoogan/"

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost


def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="METHOD|RUN",
            autocompletion=complete_model,
            help="A method of `zoo list`, a run folder or gallery:NAME.",
            show_default=False,
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="NAME", help="Show the settings with this recipe's values.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Show the slots, the stages and every setting of a method.")
    ] = False,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> None:
    """Show a method (paper, licence, recipes, commands; or its settings), or a run (length, figures, next steps)."""
    from zoogan.cli.show_run import find_shown_run, make_document, print_run

    host = open_host(plugin)
    run = find_shown_run(host, model)
    if run is not None:
        if recipe is not None:
            raise ConfigError(f"--recipe {recipe}: {model} is a run, whose recipe is fixed. Remove it")
        from zoogan.runs.summary import summarize_run

        summary = summarize_run(run, host=host)
        if as_json:
            print_json(make_document(host, summary))
        else:
            print_run(summary)
        return
    facts = gather_model_facts(host, model, recipe)
    if as_json:
        print_json(facts)
        return
    for key, value in make_heading(facts):
        print(f"{key + ':':<14}{value}")
    print()
    if settings or recipe is not None:
        print_settings(facts)
        return
    print("Commands:")
    for what, command in suggest_commands(facts):
        print(f"  {what:<22}{command}")


def suggest_commands(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the commands to go on with, as (what they do, command)."""
    name, entry = facts["name"], facts["catalogue"] or {}
    yield "train on drawn faces", f"zoo train --model {name}"
    yield "train on your own", "zoo data check DIR, which ends with the command"
    if any(weights["importer"] for weights in entry.get("weights", ())):
        yield "use official weights", f"zoo import {name} --weights FILE --out RUN"
    yield "see every setting", f"zoo show {name} --settings"
    if entry.get("tier") == "reference":
        yield "read about it", f"{DOCS}methods/{name}/"


def print_settings(facts: dict[str, Any]) -> None:
    """Print the slots, the stages and every setting of a method."""
    rows = [[s["slot"], s["role"], s["use"], ", ".join(s["choices"])] for s in facts["slots"]]
    print_table(["slot", "role", "filled by", "can be"], rows)
    print()
    if facts["stages"]:
        rows = [[s["stage"], format_stage(s), ", ".join(s["after"]), s["run"]] for s in facts["stages"]]
        print_table(["stage", "is", "after", "made by"], rows)
        print()
    rows = [[s["key"], json.dumps(s["value"]), format_default(s), s["doc"]] for s in facts["settings"]]
    print_table(["setting", "value", "default", "meaning"], rows, title=f"Values of recipe {facts['recipe']}:")


def format_stage(stage: dict[str, Any]) -> str:
    """Format what a stage is: the method and recipe that it trains, or a job; and whether it may be left out."""
    settings = stage["settings"] or {}
    recipe = f" ({settings['recipe']})" if settings.get("recipe") else ""
    kind = f"a training of {settings['method']}{recipe}" if "method" in settings else "a job"
    return f"{kind}, optional" if stage["optional"] else kind


def format_default(setting: dict[str, Any]) -> str:
    """Format the default of a setting; empty if the recipe has the same value."""
    if "default" not in setting:
        return "none"
    return "" if setting["default"] == setting["value"] else json.dumps(setting["default"])


def make_heading(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines above the tables, as (label, text)."""
    entry = facts["catalogue"] or {}
    yield "method", f"{facts['name']} ({facts['title']})"
    if entry:
        paper, code = entry["paper"], entry["code"]
        arxiv = f", arXiv {paper['arxiv']}" if paper["arxiv"] else ""
        yield "what", entry["summary"]
        yield "paper", f"{paper['title']} ({paper['authors']}; {paper['venue']} {entry['year']}{arxiv})"
        yield "task", entry["task"]
        yield "reads", "; ".join(f"{draw}: {', '.join(fields)}" for draw, fields in entry["needs"].items())
        whose = "official" if code["official"] else "unofficial"
        yield (
            "their code",
            f"{code['repository'] or 'none'} ({whose}; licence: {code['licence'] or 'not stated'})",
        )
        for weights in entry["weights"]:
            use = "zoo import reads them" if weights["importer"] else "no importer"
            licence = weights["licence"] or "not stated"
            where = f"published in {weights['published']}; " if weights["published"] else ""
            note = f"; {weights['note']}" if weights["note"] else ""
            yield "weights", f"{', '.join(weights['files'])} ({where}licence: {licence}; {use}{note})"
        for result in entry["results"]:
            yield "results", result
    yield "plugin", facts["plugin"]
    yield "recipes", ", ".join(facts["recipes"])


def gather_model_facts(host: PluginHost, model: str, recipe: str | None) -> dict[str, Any]:
    """Gather everything that `zoo show` prints.

    Args:
        host: The plugin host.
        model: The id of a method.
        recipe: A recipe of it; None = its default.

    Raises:
        ConfigError: No such method or recipe.
    """
    from zoogan.config import compose_config, find_slots, get_component_name

    spec = host.get_method(model)
    config = compose_config(spec, host.registry, recipe=recipe)
    entry = host.catalogue.get(model)
    slots = [
        {
            "slot": name,
            "role": slot.role,
            "use": get_component_name(getattr(config, name)),
            "choices": host.registry.list_names(slot.role),
        }
        for name, slot in find_slots(type(config)).items()
    ]
    stages = [
        {
            "stage": stage.name,
            "after": list(stage.after),
            "optional": stage.optional,
            "run": stage.run,
            "open": stage.open,
            "settings": config.stages.model_dump(mode="json")[stage.name],
        }
        for stage in spec.stages
    ]
    return {
        "name": spec.name,
        "title": spec.title,
        "plugin": spec.plugin,
        "recipes": spec.list_recipes(),
        "recipe": config.recipe,
        "catalogue": entry.model_dump(mode="json") if entry else None,
        "slots": slots,
        "stages": stages,
        "settings": list(list_settings(config)),
    }


def list_settings(config: BaseModel, path: str = "") -> Iterator[dict[str, Any]]:
    """List every setting below a config.

    Args:
        config: The config, or a part of it.
        path: Key path of the part.

    Yields:
        `key`, `value`, `doc`, and `default` if the setting has one.
    """
    values = config.model_dump(mode="json")
    for name, info in type(config).model_fields.items():
        if name not in values:  # the stages of a method without stages
            continue
        inner = getattr(config, name)
        if isinstance(inner, BaseModel) and isinstance(values[name], dict):  # a label set may be given by its name
            yield from list_settings(inner, f"{path}{name}.")
            continue
        row = {"key": f"{path}{name}", "value": values[name], "doc": find_meaning(type(config), name)}
        if not info.is_required():
            row["default"] = to_jsonable_python(info.get_default(call_default_factory=True))
        yield row


def find_meaning(model: type[BaseModel], field: str) -> str:
    """Find the meaning of a setting: its description, or its line in the docstring of its class or a base class."""
    info = model.model_fields[field]
    if info.description:
        return info.description
    for owner in model.__mro__:
        meanings = parse_attribute_lines(owner.__doc__ or "", list(model.model_fields))
        if field in meanings:
            return meanings[field]
    return ""


def parse_attribute_lines(docstring: str, fields: list[str]) -> dict[str, str]:
    """Parse `name: meaning` lines of a docstring by field; the next field or an empty line ends one."""
    name = "|".join(map(re.escape, fields))
    entry = rf"(?<![\w`.])((?:{name})(?:, (?:{name}))*): "
    meanings = {}
    for paragraph in re.split(r"\n\s*\n", docstring):
        parts = re.split(entry, " ".join(paragraph.split()))
        for names, text in zip(parts[1::2], parts[2::2]):
            meanings.update({key: text.strip().rstrip(".") for key in names.split(", ")})
    return meanings
