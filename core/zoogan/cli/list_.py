"""`zoo list`: the models that are here, those that are known of, and plugins that failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zoogan.cli.arguments import Json, PluginFiles
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost

INSTALLED = ("name", "title", "paper", "year", "recipes", "plugin")
KNOWN = ("name", "title", "paper", "year", "distribution")


def cell(value: Any) -> str:
    """A fact as the text of a table cell."""
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def list_(plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the models."""
    from zoogan.plugins.host import get_zoo

    opened = get_zoo()
    opened.load_files(plugin or ())
    facts = gather(opened)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print_table(["model", *INSTALLED[1:]], [[cell(row[key]) for key in INSTALLED] for row in facts["installed"]])
    if facts["known"]:
        print()
        rows = [[cell(row[key]) for key in KNOWN] for row in facts["known"]]
        print_table(["model", *KNOWN[1:-1], "comes with"], rows, title="Known, not installed:")
    for failure in opened.failures:
        print(f"\n{failure}")


def gather(zoo: PluginHost) -> dict[str, list[dict[str, Any]]]:
    """Everything that `zoo list` says."""
    known = zoo.catalogue
    installed = []
    for name, spec in sorted(zoo.registry.methods.items()):
        entry = known.get(name)
        installed.append(
            {
                "name": name,
                "title": entry.title if entry else spec.title,
                "summary": entry.summary if entry else "",
                "paper": entry.paper.short() if entry else spec.paper,
                "year": entry.year if entry else None,
                "recipes": spec.recipe_names(),
                "plugin": spec.plugin,
            }
        )
    others = [
        {
            "name": name,
            "title": entry.title,
            "summary": entry.summary,
            "paper": entry.paper.short(),
            "year": entry.year,
            "distribution": entry.distribution or "(planned)",
        }
        for name, entry in known.items()
        if name not in zoo.registry.methods
    ]
    failures = [failure.summary() for failure in zoo.failures]
    return {"installed": installed, "known": others, "failures": failures}
