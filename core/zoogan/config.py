"""The one config system: frozen pydantic models in layers. Imports no torch.

Layers, low to high: class defaults < recipe < `--config` file < `--set`. A layer that changes a slot's `use` drops what
lower layers said below that slot; within a layer order does not matter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from zoogan.errors import ConfigError as ConfigError
from zoogan.registry import MethodSpec, Registry, nearest

Model = TypeVar("Model", bound=BaseModel)

NAME_KEYS = ("use", "source")  # the field that names the component: `use`, for sources `source`


class Frozen(BaseModel):
    """Base of every config model: unknown keys are errors, values do not change."""

    # defer_build: validators are built on first use, so that loading every plugin's configs costs little.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


class ComponentConfig(Frozen):
    """Base of component configs. A subclass adds `use: Literal["name"] = "name"` and its own options."""


def component_name(config: ComponentConfig) -> str:
    """The name under which the config's component is registered."""
    for key in NAME_KEYS:
        if key in type(config).model_fields:
            return str(getattr(config, key))
    raise ConfigError(f"{type(config).__name__} has no field {' or '.join(NAME_KEYS)}")


class Slot:
    """`Annotated[ComponentConfig, Slot("image_editor")]`: a field that any component of the role may fill.

    The field reads the component's name, validates with that component's own class and serialises all of its values.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.key = "source" if role == "source" else "use"

    def __repr__(self) -> str:
        return f"Slot({self.role!r})"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def pick(value: Any, info: Any) -> ComponentConfig:
            if isinstance(value, ComponentConfig):
                return value
            registry = registry_of(info)
            if isinstance(value, str):
                value = {self.key: value}
            if not isinstance(value, Mapping) or self.key not in value:
                raise PydanticCustomError(
                    "component", f"expected a {self.role} as a name or a mapping with {self.key!r}, got {{got}}",
                    {"got": repr(value)},
                )  # fmt: skip
            name = str(value[self.key])
            known = registry.names(self.role)
            if name not in known:
                raise PydanticCustomError(
                    "component", f"no {self.role} is called {{name}}{{hint}}; known: {{known}}",
                    {"name": repr(name), "hint": nearest(name, known), "known": ", ".join(known)},
                )  # fmt: skip
            return registry.components[self.role, name].config.model_validate(value, context=info.context)

        return core_schema.with_info_plain_validator_function(
            pick,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda v: v.model_dump(mode="json")),
        )


def registry_of(info: Any) -> Registry:
    """The registry that a validation (pydantic's ValidationInfo) was given, or the zoo's own."""
    if info.context and "registry" in info.context:
        return info.context["registry"]
    from zoogan.plugins import zoo

    return zoo().registry


def listed(value: Any) -> Any:
    """One name, or a list of names."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(listed)]


class DataConfig(ComponentConfig):
    """What every source understands. A source's config subclasses this and narrows `source`.

    attributes: the label columns, in order. balance: an attribute whose two values are drawn equally often.
    batch: faces a process reads for one micro-batch. workers: loader processes, 0 = in this one. flip: mirror half of
    the faces at random in training. random_crop: share of the faces of which a random part, .8 to 1 of the area, is
    shown in training.
    """

    source: str
    root: Path | None = None
    image_size: int = Field(64, ge=16)
    attributes: Names = ("Eyeglasses",)
    balance: str | None = None
    flip: bool = False
    random_crop: float = Field(0.0, ge=0, le=1)
    batch: int = Field(16, ge=1)
    workers: int = Field(0, ge=0)


class TrainingConfig(Frozen):
    """How long and how to train. `*_every` count iterations; 0 = never.

    precision: bf16 = mixed, penalties in fp32; fp64 is for checking arithmetic; fp16 is refused.
    threads: of the processor, never more than torch takes by itself (OMP_NUM_THREADS); null = as many as that. Narrow
    networks gain from two, little from more, and lose where another program wants those.
    channels_last: keep the channels of a pixel together in memory; a quarter faster for narrow networks on CPU.
    evaluate: the metrics of `evaluate_every`, on `evaluate_faces` held-out faces. best: a measure of theirs, such as
    edit_error, whose best checkpoint is kept whatever `keep` says.
    start_from: a run whose weights networks and averages begin with; the networks' own settings are then its, unless
    they are set, and an average moves at its full slowness at once. freeze: parts of networks, such as
    generator.renderer, that stay as they begin. freeze_average: those that stay so in the moving average alone.
    """

    iterations: int = Field(1000, ge=1)
    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = "fp32"
    compile: bool = False
    threads: int | None = Field(None, ge=1)
    channels_last: bool = False
    average: float | None = Field(None, gt=0, lt=1, description="decay of the moving average of the generator")
    average_warm_up: bool = Field(True, description="let the average follow quickly at first")
    average_images: float | None = Field(None, gt=0, description="half-life of the average in images, in its stead")
    accumulate: int = Field(1, ge=1)
    log_every: int = Field(20, ge=1)
    sample_every: int = Field(200, ge=0)
    checkpoint_every: int = Field(200, ge=0)
    keep: int = Field(3, ge=1)
    evaluate_every: int = Field(0, ge=0)
    evaluate: Names = ("edit_error",)
    evaluate_faces: int = Field(100, ge=1)
    best: str | None = None
    start_from: Path | None = None
    freeze: Names = ()
    freeze_average: Names = ()

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if self.average is not None and self.average_images is not None:
            raise ValueError("training.average and training.average_images both say how slow the average is: keep one")
        if self.best is not None and not self.evaluate_every:
            raise ValueError("training.best is looked for every training.evaluate_every iterations, which is 0")
        return self

    trackers: Names = ()


class GameConfig(Frozen):
    """What every run has. A game's config adds slots, weights and optimizers; a method's sets their defaults.

    extra_terms: step name -> term name -> that term's options.
    """

    method: str
    recipe: str | None = None
    data: Annotated[DataConfig, Slot("source")]
    condition: Annotated[ComponentConfig, Slot("condition")]
    extra_terms: dict[str, dict[str, Annotated[ComponentConfig, Slot("term")]]] = Field(default_factory=dict)
    training: TrainingConfig = TrainingConfig()


def slots_of(model: type[BaseModel]) -> dict[str, Slot]:
    """The slots among a model's fields, by field name."""
    return {
        name: slot
        for name, info in model.model_fields.items()
        for slot in info.metadata
        if isinstance(slot, Slot)
    }  # fmt: skip


# ---- layers of values ------------------------------------------------------------------------------------------------


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

    Without `recipe`, the first recipe whose data come from `source` (by default `drawn`) is taken. start: what is taken
    over from a run to start from: settings of networks, laid over the recipe; what the source does not hear from
    `files` and `sets` of its `data`, but no labels where the recipe asks for none.

    Raises:
        ConfigError: every problem at once.
    """
    recipe = recipe or default_recipe(spec, source or "drawn", started=start is not None)
    known = spec.recipe_names()
    if recipe not in known:
        raise ConfigError(f"{spec.name} has no recipe {recipe!r}{nearest(recipe, known)}; recipes: {', '.join(known)}")
    values: dict[str, Any] = read_yaml(spec.recipes / f"{recipe}.yaml")
    values["recipe"] = recipe
    if source is not None:
        common = {key: value for key, value in values.get("data", {}).items() if key in DataConfig.model_fields}
        values["data"] = (values["data"] if common.get("source") == source else common) | {"source": source}
    layers = [normal_slots(spec.config, layer) for layer in (*map(read_yaml, files), sets or {})]
    values = merge(values, {slot: value for slot, value in (start or {}).items() if slot != "data"})
    for layer in layers:
        values = merge(values, layer)
    if start is not None:
        said = {key for layer in layers for key in layer.get("data") or ()}
        values["data"] = data_taken_over(registry, start["data"], said, values["data"])
    return validate(spec, registry, values)


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


def default_recipe(spec: MethodSpec, source: str, started: bool = False) -> str:
    """The first recipe whose data come from a source, short names first; without one, the first of all.

    Recipes that freeze something are for a training that has `started` from a run, where they come first.
    """
    recipes = {name: read_yaml(spec.recipes / f"{name}.yaml") for name in spec.recipe_names()}
    freezing = {name for name, values in recipes.items() if values.get("training", {}).get("freeze")}
    order = sorted(recipes, key=lambda name: (name not in freezing, len(name), name))
    names = [name for name in order if started or name not in freezing] or order
    fitting = [name for name in names if recipes[name]["data"]["source"] == source]
    return (fitting or [name for name in names if name not in freezing] or names)[0]


def normal_slots(model: type[BaseModel], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`{"penalty": "r1"}` as `{"penalty": {"use": "r1"}}`, so that layers merge by key."""
    slots = slots_of(model)
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
    for step in (filled.get("extra_terms") or {}).values():
        for term, options in step.items() if isinstance(step, dict) else ():
            if isinstance(options, dict):
                options.setdefault("use", term)
    return filled


def validate(spec: MethodSpec, registry: Registry, values: Mapping[str, Any]) -> GameConfig:
    """The config model of `values`.

    Raises:
        ConfigError: every problem at once, each with its key path, what was found and the nearest known key.
    """
    return checked(spec.config, with_defaults(spec.config, values), registry)


def checked(model: type[Model], values: Any, registry: Registry, at: str = "") -> Model:
    """`values` as a config model. at: the key path under which a person sets them.

    Raises:
        ConfigError: every problem at once, each with its key path, what was found and the nearest known key.
    """
    try:
        return model.model_validate(values, context={"registry": registry})
    except ValidationError as error:
        lines = [explain(problem, values, model, registry, at) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def explain(problem: Any, values: Any, model: type[BaseModel], registry: Registry, at: str = "") -> str:
    """One pydantic problem as a line `key.path: what is wrong (got ...)`, with did-you-mean for unknown keys."""
    path = ".".join([*([at] if at else []), *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        known = known_keys(problem["loc"][:-1], values, model, registry)
        return f"{path}: no such setting{nearest(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}"
    if problem["type"] == "component":
        return f"{path}: {problem['msg']}"
    if problem["type"] == "label_set":
        return "\n".join(f"{path}: {line}" if path else line for line in problem["msg"].splitlines())
    return f"{path}: {problem['msg'][0].lower()}{problem['msg'][1:]} (got {problem['input']!r})"


def known_keys(path: Iterable[Any], values: Any, model: type[BaseModel], registry: Registry) -> list[str]:
    """The settings that exist at a path, looking into the components that fill the slots on the way."""
    here: Any = model
    for part in path:
        slot = slots_of(here).get(part) if hasattr(here, "model_fields") else None
        values = values.get(part, {}) if isinstance(values, Mapping) else {}
        if slot is not None:
            component = registry.components.get((slot.role, str(values.get(slot.key))))
            here = component.config if component else None
        else:
            info = getattr(here, "model_fields", {}).get(part)
            here = info.annotation if info else None
            here = next((model for model in get_args(here) if hasattr(model, "model_fields")), here)  # of `X | None`
    return list(getattr(here, "model_fields", {})) or ["(none)"]
