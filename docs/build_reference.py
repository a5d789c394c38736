"""Build the pages of settings, components, metrics and hooks from what is registered.

Only the metrics page imports torch: a metric's options are read off its class.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from build_api import describe_name, find_module, get_first_sentence, read_exports
from build_cards import MADE, open_own_zoo
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from zoogan.cli.show import find_meaning
from zoogan.config import ComponentConfig, DataConfig, GameConfig, Slot, TrainingConfig, find_slots, get_component_name
from zoogan.config.registry import ROLES, Component
from zoogan.evaluation.metrics.lookup import load_metric_classes
from zoogan.interfaces import Metric
from zoogan.plugins import hooks

SETTINGS = """# Settings

A setting is one value of a config. `zoo train --set KEY=VALUE` sets one, a YAML file for `--config` several, and
`zoogan.train` takes them as keyword arguments. Recipes set most of them: `zoo show METHOD --settings` prints the
values of its recipe, `zoo show METHOD --recipe NAME` those of another.

A field that names a component is a slot. The settings of the component in it follow its name: `generator.width` for the
generator. [Components](components.md) lists them.
"""
COMPONENTS = """# Components

A component fills a slot of a config; which slots it fits is decided by its role. `--set generator.use=NAME` chooses
one, and `--set generator.KEY=VALUE` sets one of its settings. How to write one: [Bring your own method](plugins.md).
"""
METRICS = """# Metrics

What `zoo evaluate` measures; [Evaluation](evaluation.md) says how. `--metrics NAME,NAME` chooses, and an option is
`--set NAME.OPTION=VALUE`. A metric of your own is one class and one line:
`registry.metric(NAME, "package.module:Class")`.
"""
HOOKS = """# Hooks

A plugin is a module with functions marked `@hookimpl`, whose names and arguments are these; a function may take fewer
arguments. Only `zoo_register` changes anything. The others observe a training, which they cannot change: an observer
that raises is named in the log and not called again. The version of this list is `zoogan.API_VERSION = {version}`; a
plugin states the one it was written for as `API_VERSION`.

```python
from zoogan.plugins import hookimpl


@hookimpl
def zoo_register(registry):
    registry.component("image_editor", "mine", build="mine.networks:Generator")


@hookimpl
def zoo_checkpoint_saved(path):
    print("saved", path)
```
"""
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Source):", re.MULTILINE)


def build_reference() -> dict[str, str]:
    """Build the pages, by their path below docs."""
    return {
        "settings.md": build_settings() + MADE.format(source="the config classes"),
        "components.md": build_components() + MADE.format(source="the config classes"),
        "metrics.md": build_metrics() + MADE.format(source="the metrics"),
        "hooks.md": build_hooks() + MADE.format(source="core/zoogan/plugins/hooks.py"),
    }


# ---- settings ----


def build_settings() -> str:
    """Build the page of settings: those of every run, then those of each method."""
    every = {name for name in GameConfig.model_fields if name != "training"}
    parts = [SETTINGS, "## Every run\n", *make_table(GameConfig, only=every)]
    parts += ["\n## training\n", find_lead(TrainingConfig), "", *make_table(TrainingConfig, "training.")]
    for name, spec in sorted(open_own_zoo().registry.methods.items()):
        own = set(spec.config.model_fields) - set(GameConfig.model_fields) | {"data", "condition", "stages"}
        if not get_fields(spec.config, "stages"):
            own.discard("stages")
        parts += [f"\n## {name}\n", f"{find_lead(spec.config)} Its page: [{spec.title}](methods/{name}.md).\n"]
        parts += make_table(spec.config, only=own)
        parts += list_changed_training(spec.config)
    return "\n".join(parts) + "\n"


def list_changed_training(config: type[GameConfig]) -> list[str]:
    """List where a method's defaults of `training` differ from those of every run."""
    base, own = TrainingConfig(), get_default(config, "training")
    changed = {name: value for name, value in own.model_dump().items() if value != getattr(base, name)}
    text = ", ".join(f"`training.{name}={format_json(value)}`" for name, value in changed.items())
    return [f"\nIts defaults of training: {text}."] if text else []


def get_fields(config: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the fields of the config in a field."""
    inner = get_model(config.model_fields[name].annotation)
    return {} if inner is None else inner.model_fields


def make_table(config: type[BaseModel], prefix: str = "", only: set[str] | None = None) -> list[str]:
    """Make the table of a config's settings."""
    rows = list(iterate_rows(config, None, prefix, only))
    return ["| setting | type | default | meaning |", "|---|---|---|---|", *rows] if rows else ["No settings."]


def iterate_rows(config: type[BaseModel], given: BaseModel | None, prefix: str, only: set[str] | None) -> Iterator[str]:
    """Yield the row of each setting, those of nested configs included.

    Args:
        config: The class of the config.
        given: The config whose values are the defaults; None = the defaults of the class.
        prefix: Key path of the config.
        only: Names of the fields; None = all.
    """
    for name, info in config.model_fields.items():
        is_name = name in ("use", "source") and issubclass(config, ComponentConfig)
        if is_name or (only is not None and name not in only):
            continue
        default = getattr(given, name) if given is not None else get_default(config, name)
        inner, is_slot = get_model(info.annotation), any(isinstance(part, Slot) for part in info.metadata)
        if inner is info.annotation and not is_slot and inner.model_fields:
            yield from iterate_rows(inner, default if isinstance(default, inner) else None, f"{prefix}{name}.", None)
            continue
        meaning = find_meaning(config, name)
        meaning = f"{capitalise(meaning.rstrip('.'))}." if meaning else ""
        kind = ", ".join([format_type(info.annotation, info.metadata), *format_limits(info.metadata)])
        yield f"| `{prefix}{name}` | {escape(kind)} | {escape(format_value(default))} | {escape(meaning)} |"
        if inner is not None and not is_slot:
            below = ".NAME." if get_origin(info.annotation) is dict else "."
            given_inner = default if isinstance(default, inner) else None
            yield from iterate_rows(inner, given_inner, f"{prefix}{name}{below}", None)


def get_default(config: type[BaseModel], name: str) -> Any:
    """Return the default of a field; Ellipsis if it has none."""
    info = config.model_fields[name]
    return ... if info.is_required() else info.get_default(call_default_factory=True)


def get_model(annotation: Any) -> type[BaseModel] | None:
    """Return the config class that a field holds, directly, by name, or as an alternative to null."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def format_type(annotation: Any, metadata: Any = ()) -> str:
    """Format a type for people, such as `int or null`."""
    for part in metadata:
        if isinstance(part, Slot):
            return f"slot: [{part.role}](components.md#{part.role})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return format_type(annotation.__origin__, annotation.__metadata__)
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(format_type(kind) for kind in arguments)
    if origin is tuple:
        return (
            f"list of {format_type(arguments[0])}"
            if arguments[-1] is ...
            else f"{len(arguments)} values: " + ", ".join(map(format_type, arguments))
        )
    if origin is list:
        return f"list of {format_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {format_type(arguments[0])} to {format_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings"
    names = {type(None): "null", Any: "any value"}
    return names.get(annotation) or {"Path": "path"}.get(annotation.__name__, annotation.__name__)


def format_limits(metadata: Any) -> list[str]:
    """Format the limits of a number or the length of a list."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
    limits = [
        f"{sign} {value}"
        for part in metadata
        for key, sign in signs.items()
        if (value := getattr(part, key, None)) is not None
    ]
    lengths = {"min_length": "at least", "max_length": "at most"}
    return limits + [
        f"{words} {value} long"
        for part in metadata
        for key, words in lengths.items()
        if (value := getattr(part, key, None)) is not None
    ]


def format_value(value: Any) -> str:
    """Format a default: the name of a component, JSON of other values, `required` for none."""
    if value is ...:
        return "required"
    if isinstance(value, ComponentConfig):
        return f"`{get_component_name(value)}`"
    return f"`{format_json(value)}`"


def format_json(value: Any) -> str:
    """Format a value as JSON."""
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)


def capitalise(text: str) -> str:
    """Begin with a capital letter, unless the first word is a value or a name of code."""
    return f"{text[0].upper()}{text[1:]}" if re.match(r"[a-z]+(?=[ ,;:-])(?! =)", text) else text


def escape(text: str) -> str:
    """Escape the bars of a cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def find_lead(described: Any) -> str:
    """Return a docstring without its sections, on one line."""
    text = inspect.cleandoc(described.__doc__ or "")
    match = SECTION.search(text)
    return " ".join(text[: match.start() if match else None].split())


# ---- components ----


def build_components() -> str:
    """Build the page of components: by role, with the slots that take them."""
    registry = open_own_zoo().registry
    slots = collect_slots()
    parts = [COMPONENTS, "| role | components |", "|---|---|"]
    parts += [
        f"| [{role}](#{role}) | {', '.join(f'`{name}`' for name in registry.list_names(role))} |" for role in ROLES
    ]
    for role, path in ROLES.items():
        parts += [f"\n## {role}\n", describe_role(path)]
        places = [f"`{slot}` of {', '.join(methods)}" for slot, methods in slots.get(role, {}).items()]
        parts.append(f"\nSlots: {'; '.join(places)}." if places else "\nNo slot takes it: it is chosen by name.")
        if role == "metric":
            parts.append("\n[All metrics](metrics.md).")
            continue
        components = [registry.components[role, name] for name in registry.list_names(role)]
        for component in components:
            parts += describe_component(component)
    return "\n".join(parts) + "\n"


def describe_role(path: str) -> str:
    """Describe a role by its interface: the first sentence of its docstring."""
    module, name = path.split(":")
    module = read_exports(module).get(name, module) if find_module(module).name == "__init__.py" else module
    return f"{describe_name(module, name)} Interface: `{path.replace(':', '.')}`."


def collect_slots() -> dict[str, dict[str, list[str]]]:
    """Collect the slots that take each role, with the methods that have them; nested ones by key path."""
    roles: dict[str, dict[str, list[str]]] = {}

    def visit(config: type[BaseModel], owner: str, prefix: str = "") -> None:
        for name, slot in find_slots(config).items():
            roles.setdefault(slot.role, {}).setdefault(f"{prefix}{name}", []).append(owner)
        for name, info in config.model_fields.items():
            if (
                isinstance(info.annotation, type)
                and issubclass(info.annotation, BaseModel)
                and name not in find_slots(config)
            ):
                visit(info.annotation, owner, f"{prefix}{name}.")

    registry = open_own_zoo().registry
    for name, spec in sorted(registry.methods.items()):
        visit(spec.config, f"[{name}](methods/{name}.md)")
    roles.setdefault("term", {})["extra_terms.STEP.NAME"] = ["every method"]
    for (role, name), component in sorted(registry.components.items()):
        if role != "metric":
            visit(component.config, f"{role} `{name}`")
    return roles


def describe_component(component: Component) -> list[str]:
    """Describe a component: what it is, whose it is, and its settings."""
    config = component.config
    shared = issubclass(config, DataConfig)
    lead = find_lead(config) if config.__doc__ and not config.__doc__.startswith(" ") else ""
    lines = [f"\n### {component.role}: {component.name}\n", lead or describe_builder(component)]
    plugin = "" if component.plugin == "zoogan" else f" From the plugin `{component.plugin}`."
    lines[-1] += plugin
    return [*lines, "", *make_table(config, "data." if shared else "")]


def describe_builder(component: Component) -> str:
    """Describe a component without a config class of its own by what builds it."""
    module, name = component.build.split(":")
    return describe_name(module, name)


# ---- metrics ----


def build_metrics() -> str:
    """Build the page of metrics."""
    registry = open_own_zoo().registry
    classes = load_metric_classes(registry)
    parts = [METRICS, "| metric | title |", "|---|---|"]
    parts += [f"| [`{name}`](#{name}) | {find_title(metric)} |" for name, metric in classes.items()]
    for name, metric in classes.items():
        parts += [f"\n## {name}\n", f"**{find_title(metric)}.** {describe_metric(metric)}"]
        parts += list_facts(metric)
        config = registry.components["metric", name].config
        if set(config.model_fields) - {"use"}:
            parts += ["", *make_table(config)]
    return "\n".join(parts) + "\n"


def find_title(metric: type[Metric]) -> str:
    """Return the title of a metric, which some know only once their options are read."""
    return str(getattr(metric, "title", None) or metric().title)


def describe_metric(metric: type[Metric]) -> str:
    """Return the docstring of a metric without its sections, as Markdown."""
    text = inspect.cleandoc(metric.__doc__ or "")
    match = SECTION.search(text)
    return text[: match.start() if match else None].strip()


def list_facts(metric: type[Metric]) -> Iterator[str]:
    """Yield what a metric measures, when, and its headline figures."""
    yield f"\n- Measures {', '.join(metric.kinds)}; reads {', '.join(metric.reads)}."
    defaults = ", ".join(metric.default_for)
    yield f"- By default: for {defaults}." if defaults else "- Only when it is named with `--metrics`."
    for measure, headline in metric.headlines.items():
        yield f"- Headline `{measure}`: {headline.label}, {headline.meaning}."


# ---- hooks ----


def build_hooks() -> str:
    """Build the page of hooks."""
    parts = [HOOKS.format(version=hooks.API_VERSION)]
    for node in ast.parse(inspect.getsource(hooks)).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("zoo_"):
            arguments = ", ".join(
                f"{a.arg}: {ast.unparse(a.annotation) if a.annotation else 'Any'}" for a in node.args.args
            )
            parts += [f"## {node.name}\n", f"```text\n{node.name}({arguments})\n```\n", f"{find_docstring(node)}\n"]
    return "\n".join(parts)


def find_docstring(node: ast.FunctionDef) -> str:
    """Return the docstring of a function.

    Raises:
        ValueError: It has none.
    """
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"hook {node.name} has no docstring")
    get_first_sentence(text)
    return text
