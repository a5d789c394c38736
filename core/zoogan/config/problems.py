"""Reports all problems of a config at once, one a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from zoogan.config.models import find_slots
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.paths import shorten

Model = TypeVar("Model", bound=BaseModel)
MAX_LINES = 30  # of a list of problems, how many are printed


def validate_model(model: type[Model], values: Any, registry: Registry, at: str = "") -> Model:
    """Validate `values` as a config model.

    Args:
        model: The config class.
        values: The settings.
        registry: Knows the components that fill the slots.
        at: Key path of these values in the config.

    Raises:
        ConfigError: Every problem at once, each with its key path, the value given and the nearest known key.
    """
    try:
        return model.model_validate(values, context={"registry": registry})
    except ValidationError as error:
        problems = error.errors()
        lines = [explain_problem(problem, values, model, registry, at) for problem in problems[:MAX_LINES]]
        more = len(problems) - MAX_LINES
        rest = [f"... and {more} more ({len(problems)} problems in all)"] if more > 0 else []
        raise ConfigError("\n".join([*lines, *rest])) from error


def explain_problem(problem: Any, values: Any, model: type[BaseModel], registry: Registry, at: str = "") -> str:
    """Format one pydantic problem as `key.path: what is wrong (got ...)`, with a suggestion for unknown keys."""
    path = ".".join([*([at] if at else []), *(shorten(str(part), 80) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        known, name = list_keys(problem["loc"][:-1], values, model, registry), str(problem["loc"][-1])
        return f"{path}: no such setting{suggest_name(name[:80], known)}; known here: {', '.join(known)}"
    if problem["type"] == "literal_error" and problem["loc"][-1] == "[key]":  # a mapping of which the keys are known
        known = re.findall("'([^']*)'", problem["ctx"]["expected"])
        path = path.removesuffix(".[key]")
        return (
            f"{path}: no such setting{suggest_name(str(problem['input'])[:80], known)}; known here: {', '.join(known)}"
        )
    if problem["type"] == "missing":
        return f"{path}: missing; give it with --set {path}=VALUE"
    if problem["type"] == "component":
        return f"{path}: {problem['msg']}"
    if problem["type"] == "label_set":
        return "\n".join(f"{path}: {line}" if path else line for line in problem["msg"].splitlines())
    hint = ""
    if problem["type"] == "literal_error":
        hint = suggest_name(str(problem["input"])[:80], re.findall("'([^']*)'", problem["ctx"]["expected"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    got = shorten(repr(problem["input"]))
    return f"{path}: {message[0].lower()}{message[1:]} (got {got}{hint})"


def list_keys(path: Iterable[Any], values: Any, model: type[BaseModel], registry: Registry) -> list[str]:
    """Return the settings that exist at a path, looking into the components that fill the slots on the way."""
    here: Any = model
    for part in path:
        slot = find_slots(here).get(part) if hasattr(here, "model_fields") else None
        values = values.get(part, {}) if isinstance(values, Mapping) else {}
        if slot is not None:
            component = registry.components.get((slot.role, str(values.get(slot.key))))
            here = component.config if component else None
        else:
            info = getattr(here, "model_fields", {}).get(part)
            here = info.annotation if info else None
            here = next((model for model in get_args(here) if hasattr(model, "model_fields")), here)  # of `X | None`
    return list(getattr(here, "model_fields", {})) or ["(none)"]
