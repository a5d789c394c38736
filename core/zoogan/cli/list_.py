"""The verb `zoo list`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zoogan.cli.arguments import Json, PluginFiles
from zoogan.plugins.gallery import INSTALL, GalleryEntry, list_gallery, open_gallery
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost

INSTALLED = ("name", "title", "summary", "paper", "year", "recipes", "stages", "plugin")
KNOWN = ("name", "title", "summary", "paper", "year", "stages", "distribution")
GALLERY = ("address", "kind", "method", "source", "image_size", "attributes", "distribution")
JSON_ONLY = ("summary", "paper")
WIDE = 30  # characters from which on a list in a cell is cut


def choose_columns(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Choose the columns of a table: what is not in JSON alone, and the stages only if a method has some."""
    return [key for key in keys if key not in JSON_ONLY and (key != "stages" or any(row[key] for row in rows))]


def format_cell(value: Any) -> str:
    """Format a fact as the text of a table cell; a long list is cut, and ends with how many there are."""
    if not isinstance(value, list):
        return "" if value is None else str(value)
    text, shown = ", ".join(value), len(value)
    while len(text) > WIDE and shown > 1:
        shown -= 1
        text = f"{', '.join(value[:shown])}, ... ({len(value)})"
    return text


def describe_entry(entry: GalleryEntry) -> dict[str, Any]:
    """Describe an entry of the gallery as JSON."""
    values = asdict(entry) | {"folder": str(entry.folder), "attributes": list(entry.attributes)}
    return {"address": entry.address, **values}


def print_gallery(entries: Sequence[Mapping[str, Any]]) -> None:
    """Print the gallery as a table, or how to get one."""
    if not entries:
        print(f"\nTrained runs to start with: {INSTALL}")
        return
    print()
    rows = [[format_cell(entry[key]) for key in GALLERY] for entry in entries]
    print_table(["gallery", "is", "method", "trained on", "size", "attributes", "comes with"], rows,
                title="Trained, to use at once (zoo edit gallery:NAME PHOTO ...):")  # fmt: skip


def list_(plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the methods, and the trained runs of the gallery."""
    from zoogan.plugins.host import get_zoo

    host = get_zoo()
    host.load_files(plugin or ())
    facts = gather_methods(host)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    columns = choose_columns(INSTALLED, facts["installed"])
    print_table(["method", *columns[1:]], [[format_cell(row[key]) for key in columns] for row in facts["installed"]])
    if facts["known"]:
        print()
        columns = choose_columns(KNOWN, facts["known"])
        rows = [[format_cell(row[key]) for key in columns] for row in facts["known"]]
        print_table(["method", *columns[1:-1], "comes with"], rows, title="Known, not installed:")
    print_gallery(facts["gallery"])
    for failure in (*host.failures, *open_gallery().failures):
        print(f"\n{failure}")


def gather_methods(host: PluginHost) -> dict[str, list[dict[str, Any]]]:
    """Gather everything that `zoo list` prints.

    Returns:
        `installed`: one record for each installed method; `known`: methods of the catalogue that are not installed;
        `gallery`: one record for each trained run, judge or folder of faces that an installed package brings;
        `failures`: plugins and entries of the gallery that failed.
    """
    from zoogan.plugins.methods import list_methods

    rows = [
        asdict(method) | {"recipes": list(method.recipes), "stages": list(method.stages)}
        for method in list_methods(host=host)
    ]
    return {
        "installed": [{key: row[key] for key in INSTALLED} for row in rows if row["installed"]],
        "known": [
            {key: row[key] for key in KNOWN} | {"distribution": row["distribution"] or "(planned)"}
            for row in rows
            if not row["installed"]
        ],
        "gallery": [describe_entry(entry) for entry in list_gallery()],
        "failures": [failure.as_json() for failure in host.failures]
        + [failure.as_json() for failure in open_gallery().failures],
    }
