"""The layers of values that a config is made of, low to high: class defaults < recipe < `--config` file < `--set`.

A layer that changes a slot's `use` drops the values that lower layers have below that slot. Within a layer the order
does not matter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from zoogan.config.models import NAME_KEYS, DataConfig, GameConfig, check_root, find_slots
from zoogan.config.problems import validate_model
from zoogan.config.registry import MethodSpec, Registry
from zoogan.config.settings import list_unknown_terms
from zoogan.config.yaml_files import read_yaml
from zoogan.errors import ConfigError
from zoogan.names import suggest_name


def merge(low: Any, high: Any) -> Any:
    """Return `high` laid over `low`. Where `high` names another component, the options of the old one are dropped."""
    if not (isinstance(low, Mapping) and isinstance(high, Mapping)):
        return copy.deepcopy(high)
    for key in NAME_KEYS:
        if key in high and key in low and high[key] != low[key]:
            return copy.deepcopy(dict(high))
    merged = {key: copy.deepcopy(value) for key, value in low.items()}
    for key, value in high.items():
        merged[key] = merge(low[key], value) if key in low else copy.deepcopy(value)
    return merged


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
    """Compose the complete config of a run from all its layers.

    Args:
        spec: The method.
        registry: Knows the components that fill the slots.
        recipe: Name of a recipe; None = the first recipe whose data come from `source`.
        source: Name of a source; None = that of the recipe, or `drawn` where no recipe is named. Of a recipe for
            another source only the data settings that every source has are kept, see `adapt_data`.
        files: Config files, each laid over the ones before.
        sets: The highest layer.
        start: Settings taken over from the run to start from, or from given stages. Those of networks override the
            recipe. Those of the data override it unless `files` or `sets` set them; labels are taken over only if the
            recipe has any.

    Raises:
        ConfigError: Every problem at once.
    """
    recipe = recipe or choose_recipe(spec, source or "drawn", started=is_start_layer(start))
    recipes = spec.list_recipes()
    if recipe not in recipes:
        raise ConfigError(
            f"{spec.name} has no recipe {recipe!r}{suggest_name(recipe, recipes)}; recipes: {', '.join(recipes)}"
        )
    values = read_recipe(spec, recipe)
    values["recipe"] = recipe
    if source is not None and values["data"]["source"] != source:
        values["data"] = adapt_data(registry, values["data"], source)
    layers = [expand_slots(spec.config, layer) for layer in (*map(read_yaml, files), sets or {})]
    values = merge(values, {slot: value for slot, value in (start or {}).items() if slot != "data"})
    problems = []
    for layer in layers:
        problems += list_unknown_terms(layer, values)
        values = merge(values, layer)
    if problems:
        raise ConfigError("\n".join(problems))
    if start is not None and "data" in start and isinstance(values.get("data"), Mapping):
        explicit = {key for layer in layers for key in layer.get("data") or ()}
        values["data"] = inherit_data(registry, start["data"], explicit, values["data"])
    config = validate(spec, registry, values)
    groups = [layer["data"] for layer in layers if isinstance(layer.get("data"), Mapping)]
    check_root(config.data, next((group["root"] for group in groups[::-1] if "root" in group), None))
    return config


def is_start_layer(start: Mapping[str, Any] | None) -> bool:
    """Return whether settings were taken over from a run to start from, rather than from given stages alone."""
    return bool(set(start or ()) - {"data", "stages"})


def adapt_data(registry: Registry, data: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a recipe's data settings for another source.

    These are the settings that every source has, without labels if the source finds its own.
    """
    component = registry.components.get(("source", source))
    finds = component is not None and getattr(component.config, "finds_attributes", False)
    names = DataConfig.model_fields.keys() - ({"attributes", "balance"} if finds else set())
    return {key: value for key, value in data.items() if key in names} | {"source": source}


def inherit_data(
    registry: Registry, theirs: Mapping[str, Any], explicit: Iterable[str], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `values` with size, labels and parts taken over from another run's data.

    Args:
        registry: Knows the source.
        theirs: Data settings of the other run.
        explicit: Settings that the user set; they are not taken over.
        values: Data settings of this run. If they ask for no labels, none are taken over.
    """
    source = registry.components.get(("source", str(values.get("source"))))
    names = set(source.config.model_fields if source else ()) - set(explicit)
    if "attributes" not in names or values.get("attributes", True) in ((), []):
        names -= {"attributes", "balance"}
    return dict(values) | {key: value for key, value in theirs.items() if key in names}


def read_recipe(spec: MethodSpec, name: str) -> dict[str, Any]:
    """Read the settings of a recipe, laid over those of the recipe that it extends.

    Raises:
        ConfigError: See `read_yaml`; also a recipe without `data.source`, whose groups are no mappings, or that extends
            itself.
    """
    path = spec.recipes / f"{name}.yaml"
    values = read_extended(path)
    for key in ("data", "training"):
        if not isinstance(group := values.get(key, {}), dict):
            got = "nothing" if group is None else repr(group)
            raise ConfigError(f"{path}: {key}: expected settings below it, got {got}; write some, or leave the key out")
    if not isinstance(values.get("data", {}).get("source"), str):
        raise ConfigError(f"{path}: data.source: missing; name the recipe's source, like source: drawn")
    return values


def read_extended(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe and, below it, the recipe that it names with `extends`: a path relative to its own folder.

    Args:
        path: The recipe.
        above: The recipes that extend it, the outermost first.

    Raises:
        ConfigError: See `read_recipe`.
    """
    values = read_yaml(path)
    values.pop("meant_for", None)  # of this file alone: a recipe does not inherit it
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends: expected the path of a recipe, like ../image/drawn-32.yaml, got {base!r}")
    extended, chain = (path.parent / base).resolve(), (*above, path.resolve())
    if extended in chain:
        raise ConfigError(f"{path}: extends: {base} extends this recipe again; name another one, or leave it out")
    return cast("dict[str, Any]", merge(read_extended(extended, chain), values))


def is_meant_for_cpu(spec: MethodSpec, name: str) -> bool:
    """Return whether a recipe says `meant_for: cpu`: one to choose where no GPU is, and nowhere else.

    Raises:
        ConfigError: See `read_yaml`; also another value.
    """
    path = spec.recipes / f"{name}.yaml"
    value = read_yaml(path).get("meant_for")
    if value not in (None, "cpu"):
        raise ConfigError(f"{path}: meant_for: expected cpu, got {value!r}; leave it out in a recipe for any device")
    return value is not None


def choose_recipe(spec: MethodSpec, source: str, started: bool = False, is_cpu: bool = False) -> str:
    """Return the first recipe whose data come from a source, short names first; else the first of all.

    Args:
        spec: The method.
        source: Name of the source.
        started: Whether the training starts from a run. Recipes that freeze something are chosen first for such a
            training, and never for another.
        is_cpu: Whether a CPU trains. Recipes that are meant for one are then chosen first, else never.

    Raises:
        ConfigError: The method has no recipe.
    """
    recipes = {name: read_recipe(spec, name) for name in spec.list_recipes()}
    if not recipes:
        raise ConfigError(f"{spec.name}: no recipe in {spec.recipes}; a method needs one or more, like drawn-64.yaml")
    small = {name for name in recipes if is_meant_for_cpu(spec, name)}
    freezing = {name for name, values in recipes.items() if values.get("training", {}).get("freeze")}
    order = sorted(recipes, key=lambda name: (name not in freezing, name not in small, len(name), name))
    order = [name for name in order if is_cpu or name not in small] or order
    names = [name for name in order if started or name not in freezing] or order
    fitting = [name for name in names if recipes[name]["data"]["source"] == source]
    return (fitting or [name for name in names if name not in freezing] or names)[0]


def find_cpu_recipe(spec: MethodSpec, source: str, started: bool = False) -> str | None:
    """Return the recipe that a CPU takes for a source; None if it is that of every device.

    Args:
        spec: The method.
        source: Name of the source.
        started: Whether the training starts from a run.
    """
    name = choose_recipe(spec, source, started, is_cpu=True)
    return name if name != choose_recipe(spec, source, started) else None


def expand_slots(model: type[BaseModel], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{"penalty": "r1"}` as `{"penalty": {"use": "r1"}}`, so that layers merge by key."""
    slots = find_slots(model)
    return {
        key: {slots[key].key: value} if key in slots and isinstance(value, str) else value
        for key, value in layer.items()
    }


def add_defaults(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `values` over the model's own defaults, slot by slot, so that a layer may leave out `use`."""
    defaults: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            defaults[name] = default.model_dump(mode="json")
        elif not info.is_required():
            defaults[name] = default
    filled = merge(defaults, values)
    steps = filled.get("extra_terms")
    for name, terms in list(steps.items()) if isinstance(steps, dict) else ():
        if not isinstance(terms, dict):
            continue
        steps[name] = {term: options for term, options in terms.items() if options is not None}  # null removes a term
        for term, options in steps[name].items():
            if isinstance(options, dict):
                options.setdefault("use", term)
        if terms and not steps[name]:
            del steps[name]
    return filled


def validate(spec: MethodSpec, registry: Registry, values: Mapping[str, Any]) -> GameConfig:
    """Make the config model of `values`.

    Raises:
        ConfigError: Every problem at once, each with its key path, the value given and the nearest known key.
    """
    return validate_model(spec.config, add_defaults(spec.config, values), registry)
