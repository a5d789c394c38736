"""What edits of a run take: attribute names, and maps of parts. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.config import read_yaml
from zoogan.errors import ConfigError
from zoogan.facts import Facts

CONDITIONS_OF_FACTS = ("attributes", "domain", "pairs")  # conditions whose attribute names are those of the facts


def read_attribute_names(folder: Path) -> tuple[str, ...] | None:
    """Read the attribute names that an edit of a run may use.

    Args:
        folder: A run folder.

    Returns:
        The names; None if the folder is no run, or if its condition takes other names (directions, parts, names of a
        plugin's condition).
    """
    try:
        condition = read_yaml(folder / "config.yaml").get("condition")
        facts = Facts.model_validate_json((folder / "facts.json").read_text())
    except (ConfigError, OSError, ValueError):
        return None
    if not isinstance(condition, dict) or condition.get("use") not in CONDITIONS_OF_FACTS:
        return None
    return facts.attributes


def takes_layouts(folder: Path) -> bool | None:
    """Read whether a run edits maps of the parts of faces instead of their images.

    Args:
        folder: A run folder.

    Returns:
        The answer; None if the folder is no run.
    """
    try:
        return bool(read_yaml(folder / "config.yaml").get("picture") == "layout")
    except (ConfigError, OSError, ValueError):
        return None
