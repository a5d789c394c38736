"""The verb `zoo list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zoogan.cli.arguments import Json, PluginFiles
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost

INSTALLED = ("name", "title", "paper", "year", "recipes", "plugin")
KNOWN = ("name", "title", "paper", "year", "distribution")


def format_cell(value: Any) -> str:
    """Format a fact as the text of a table cell."""
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def list_(plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the models."""
    from zoogan.plugins.host import get_zoo

    host = get_zoo()
    host.load_files(plugin or ())
    facts = gather_facts(host)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print_table(["model", *INSTALLED[1:]], [[format_cell(row[key]) for key in INSTALLED] for row in facts["installed"]])
    if facts["known"]:
        print()
        rows = [[format_cell(row[key]) for key in KNOWN] for row in facts["known"]]
        print_table(["model", *KNOWN[1:-1], "comes with"], rows, title="Known, not installed:")
    for failure in host.failures:
        print(f"\n{failure}")


def gather_facts(host: PluginHost) -> dict[str, list[dict[str, Any]]]:
    """Gather everything that `zoo list` prints.

    Returns:
        `installed`: one record for each installed method; `known`: methods of the catalogue that are not installed;
        `failures`: plugins that failed.
    """
    catalogue = host.catalogue
    installed = []
    for name, spec in sorted(host.registry.methods.items()):
        entry = catalogue.get(name)
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
        for name, entry in catalogue.items()
        if name not in host.registry.methods
    ]
    failures = [failure.summary() for failure in host.failures]
    return {"installed": installed, "known": others, "failures": failures}
