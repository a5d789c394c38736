"""What edits of a run take: attribute names, and layouts. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.config import LayoutUse, read_yaml, validate
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts

CONDITIONS_OF_FACTS = (
    "attributes",
    "domain",
    "pairs",
    "single",
)  # conditions whose attribute names are those of the facts


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


def read_layout_use(folder: Path, registry: Registry) -> LayoutUse | None:
    """Read whether edits of a run take the layouts of faces, from the config class of its method.

    Args:
        folder: A run folder.
        registry: Methods and components.

    Returns:
        See `GameConfig.layout_use`; None if the folder is no run that can be opened.
    """
    try:
        values = read_yaml(folder / "config.yaml")
        return validate(registry.methods[str(values.get("method"))], registry, values).layout_use
    except (ConfigError, OSError, ValueError, KeyError):
        return None
