"""The layers of values that a config is made of, low to high: class defaults < recipe < `--config` file < `--set`.

A layer that changes a slot's `use` drops what lower layers said below that slot; within a layer order does not matter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from zoogan.config.models import NAME_KEYS, DataConfig, GameConfig, find_slots
from zoogan.config.problems import validate_model
from zoogan.config.registry import MethodSpec, Registry
from zoogan.errors import ConfigError
from zoogan.names import suggest_name


def merge(low: Any, high: Any) -> Any:
    """`high` laid over `low`; where `high` names another component, `low`'s options of the old one are dropped."""
    if not (isinstance(low, Mapping) and isinstance(high, Mapping)):
        return copy.deepcopy(high)
    for key in NAME_KEYS:
        if key in high and key in low and high[key] != low[key]:
            return copy.deepcopy(dict(high))
    merged = {key: copy.deepcopy(value) for key, value in low.items()}
    for key, value in high.items():
        merged[key] = merge(low[key], value) if key in low else copy.deepcopy(value)
    return merged


def parse_value(text: str) -> Any:
    """The value of `--set key=text`: `a,b` is a list, `1e-4` a float, `true`, `null` and numbers as in YAML."""
    if "," in text and not text.lstrip().startswith(("[", "{")):
        return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
    try:
        return float(text) if "e" in text.lower() and text[0] in "+-.0123456789" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text


def parse_sets(sets: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", "a.c=x,y"]` as one nested layer.

    Raises:
        ConfigError: an item without `=`, or one that puts a value where another puts a mapping.
    """
    layer: dict[str, Any] = {}
    problems = []
    for item in sets:
        path, equals, text = item.partition("=")
        if not equals or not path.strip("."):
            problems.append(f"--set {item}: expected KEY=VALUE, like training.iterations=500")
            continue
        *parents, last = path.split(".")
        inner = layer
        for key in parents:
            existing = inner.setdefault(key, {})
            if not isinstance(existing, dict):  # `penalty=r1` and `penalty.weight=2` mean the same slot
                existing = inner[key] = {"source" if key == "data" else "use": existing}
            inner = existing
        value = parse_value(text)
        if isinstance(inner.get(last), dict) and not isinstance(value, dict):
            inner[last]["source" if last == "data" else "use"] = value
        else:
            inner[last] = value
    if problems:
        raise ConfigError("\n".join(problems))
    return layer


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        ConfigError: no such file, no mapping, or bad YAML (with the line).
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(content).__name__}")
    return content


def compose_config(
    spec: MethodSpec,
    registry: Registry,
    *,
    recipe: str | None = None,
    source: str | None = None,
    files: Iterable[Path] = (),
    sets: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
) -> GameConfig:
    """The complete config of a run, from all its layers.

    Without `recipe`, the first recipe whose data come from `source` (by default `drawn`) is taken. Of a recipe for
    another source `carried_over` says what is left of its data. start: what is taken
    over from a run to start from: settings of networks, laid over the recipe; what the source does not hear from
    `files` and `sets` of its `data`, but no labels where the recipe asks for none.

    Raises:
        ConfigError: every problem at once.
    """
    recipe = recipe or default_recipe(spec, source or "drawn", started=start is not None)
    known = spec.recipe_names()
    if recipe not in known:
        raise ConfigError(
            f"{spec.name} has no recipe {recipe!r}{suggest_name(recipe, known)}; recipes: {', '.join(known)}"
        )
    values = read_recipe(spec, recipe)
    values["recipe"] = recipe
    if source is not None and values["data"]["source"] != source:
        values["data"] = carried_over(registry, values["data"], source)
    layers = [normal_slots(spec.config, layer) for layer in (*map(read_yaml, files), sets or {})]
    values = merge(values, {slot: value for slot, value in (start or {}).items() if slot != "data"})
    for layer in layers:
        values = merge(values, layer)
    if start is not None and isinstance(values.get("data"), Mapping):
        said = {key for layer in layers for key in layer.get("data") or ()}
        values["data"] = data_taken_over(registry, start["data"], said, values["data"])
    return validate(spec, registry, values)


def carried_over(registry: Registry, data: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What a recipe says of its data, for another source: what every source understands, but no labels where the
    source finds its own."""
    component = registry.components.get(("source", source))
    finds = component is not None and getattr(component.config, "finds_attributes", False)
    known = DataConfig.model_fields.keys() - ({"attributes", "balance"} if finds else set())
    return {key: value for key, value in data.items() if key in known} | {"source": source}


def data_taken_over(
    registry: Registry, theirs: Mapping[str, Any], said: Iterable[str], values: Mapping[str, Any]
) -> dict[str, Any]:
    """`values` of a source with another's size, labels and parts, as far as it knows such settings and none was `said`.
    Where it asks for no labels it is given none."""
    source = registry.components.get(("source", str(values.get("source"))))
    known = set(source.config.model_fields if source else ()) - set(said)
    if "attributes" not in known or values.get("attributes", True) in ((), []):
        known -= {"attributes", "balance"}
    return dict(values) | {key: value for key, value in theirs.items() if key in known}


def read_recipe(spec: MethodSpec, name: str) -> dict[str, Any]:
    """The settings of a recipe.

    Raises:
        ConfigError: see `read_yaml`; one that does not say where its data come from, or whose groups are no mappings.
    """
    path = spec.recipes / f"{name}.yaml"
    values = read_yaml(path)
    for key in ("data", "training"):
        if not isinstance(group := values.get(key, {}), dict):
            got = "nothing" if group is None else repr(group)
            raise ConfigError(f"{path}: {key}: expected settings below it, got {got}; write some, or leave the key out")
    if not isinstance(values.get("data", {}).get("source"), str):
        raise ConfigError(f"{path}: data.source: missing; say where the recipe's data come from, like source: drawn")
    return values


def default_recipe(spec: MethodSpec, source: str, started: bool = False) -> str:
    """The first recipe whose data come from a source, short names first; without one, the first of all.

    Recipes that freeze something are for a training that has `started` from a run, where they come first.
    """
    recipes = {name: read_recipe(spec, name) for name in spec.recipe_names()}
    if not recipes:
        raise ConfigError(f"{spec.name}: no recipe in {spec.recipes}; a method needs one or more, like drawn-64.yaml")
    freezing = {name for name, values in recipes.items() if values.get("training", {}).get("freeze")}
    order = sorted(recipes, key=lambda name: (name not in freezing, len(name), name))
    names = [name for name in order if started or name not in freezing] or order
    fitting = [name for name in names if recipes[name]["data"]["source"] == source]
    return (fitting or [name for name in names if name not in freezing] or names)[0]


def normal_slots(model: type[BaseModel], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`{"penalty": "r1"}` as `{"penalty": {"use": "r1"}}`, so that layers merge by key."""
    slots = find_slots(model)
    return {
        key: {slots[key].key: value} if key in slots and isinstance(value, str) else value
        for key, value in layer.items()
    }


def with_defaults(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` over the model's own defaults, slot by slot, so that a layer may leave out `use`."""
    defaults: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            defaults[name] = default.model_dump(mode="json")
        elif not info.is_required():
            defaults[name] = default
    filled = merge(defaults, values)
    steps = filled.get("extra_terms")
    for step in steps.values() if isinstance(steps, dict) else ():
        for term, options in step.items() if isinstance(step, dict) else ():
            if isinstance(options, dict):
                options.setdefault("use", term)
    return filled


def validate(spec: MethodSpec, registry: Registry, values: Mapping[str, Any]) -> GameConfig:
    """The config model of `values`.

    Raises:
        ConfigError: every problem at once, each with its key path, what was found and the nearest known key.
    """
    return validate_model(spec.config, with_defaults(spec.config, values), registry)
