"""What edits of a run take: attribute names, and layouts. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from zoogan.config import LayoutUse, read_yaml, validate
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts, read_facts
from zoogan.runs.locations import RUN_FILES, is_run_folder

MAX_HEADER = 2**20  # bytes of a safetensors header that are read
CONDITIONS_OF_FACTS = (
    "attributes",
    "domain",
    "pairs",
    "single",
)  # conditions whose attribute names are those of the facts
CONDITIONS_OF_DIRECTIONS = ("latent", "decomposition")  # those whose attributes have a direction, fitted or of a stage


def check_run_files(folder: Path, registry: Registry) -> None:
    """Check the config and the facts of a run, as opening it does, without its weights.

    Args:
        folder: A run folder; what is none, or is of a method that is not installed, is left to opening it.
        registry: Methods and components.

    Raises:
        ConfigError: The config was edited and does not validate any more, or a file is damaged.
    """
    if not is_run_folder(folder):
        return
    values = read_yaml(folder / RUN_FILES[0])
    if (method := str(values.get("method"))) in registry.methods:
        validate(registry.methods[method], registry, values)
        read_facts(folder)


def read_attribute_names(folder: Path) -> tuple[str, ...] | None:
    """Read the attribute names that an edit of a run may use.

    Args:
        folder: A run folder.

    Returns:
        The names; None if the folder is no run, or if its condition takes other names (parts, names of a plugin's
        condition) or has no direction yet.
    """
    try:
        condition = read_yaml(folder / "config.yaml").get("condition")
        facts = Facts.model_validate_json((folder / "facts.json").read_text())
    except (ConfigError, OSError, ValueError):
        return None
    use = condition.get("use") if isinstance(condition, dict) else None
    if use in CONDITIONS_OF_DIRECTIONS:
        own = facts.attributes if use == "decomposition" else ()
        fitted = list_direction_names(folder / "directions")
        return tuple(dict.fromkeys([*own, *fitted])) or None
    return facts.attributes if use in CONDITIONS_OF_FACTS else None


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
