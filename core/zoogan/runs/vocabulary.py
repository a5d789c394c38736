"""What edits of a run take: attribute names, and layouts. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from zoogan.config import LayoutUse, read_yaml, validate
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts

MAX_HEADER = 2**20  # bytes of a safetensors header that are read
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


def list_direction_names(folder: Path) -> tuple[str, ...]:
    """List the attributes whose directions a folder holds, as their files say.

    Args:
        folder: The folder of directions of a run.
    """
    names = []
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MAX_HEADER)))
            names.append(str(header["__metadata__"]["attribute"]))
        except (OSError, ValueError, KeyError, TypeError):  # written by an older zoogan, or damaged
            names.append(path.stem)
    return tuple(sorted(names))
