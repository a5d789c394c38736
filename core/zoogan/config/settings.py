"""Settings as people type them: `--set KEY=VALUE`, and the mistakes that only show between layers. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zoogan.config.yaml_files import MAX_DEPTH, parse_yaml
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.paths import shorten

Key = tuple[str, ...]
"""The path of a setting, such as `("training", "seed")`."""


def parse_value(text: str) -> Any:
    """Parse the text of `--set key=text`.

    `a,b` is a list and `1e-4` a float; `true`, `null` and numbers are as in YAML. Text that is no YAML stays text.
    """
    if "," in text and not text.lstrip().startswith(("[", "{")):
        return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
    try:
        return float(text) if "e" in text.lower() and text[0] in "+-.0123456789" else parse_yaml(text, "--set")
    except ValueError:  # no float
        return text
    except ConfigError:
        if text.lstrip().startswith(("[", "{")):  # meant as YAML
            raise
        return text


def parse_sets(sets: Iterable[str]) -> dict[str, Any]:
    """Parse `["a.b=1", "a.c=x,y"]` into one nested layer; the order does not matter.

    Raises:
        ConfigError: An item has no `=`, or a setting is given two values. Names every problem.
    """
    leaves: dict[Key, Any] = {}
    problems = []
    for item in sets:
        path, equals, text = item.partition("=")
        if not equals or not path.strip("."):
            problems.append(f"--set {shorten(item)}: expected KEY=VALUE, like training.iterations=500")
            continue
        if path.count(".") >= MAX_DEPTH:
            problems.append(f"--set {shorten(item)}: nested deeper than {MAX_DEPTH} levels")
            continue
        try:
            value = parse_value(text)
        except ConfigError as error:
            problems.append(str(error).replace("--set:", f"--set {shorten(item)}:"))
            continue
        for key, leaf in list_leaves(value, tuple(path.split("."))):
            if key in leaves and not is_same(leaves[key], leaf):
                problems.append(explain_repeat(key, leaves[key], leaf))
            leaves[key] = leaf
    named: dict[Key, Any] = {}
    parents = {key[:length] for key in leaves for length in range(1, len(key))}
    for key, value in leaves.items():  # `penalty=r1` and `penalty.weight=2` mean the same slot
        full = (*key, "source" if key[-1] == "data" else "use") if key in parents else key
        if full in named and not is_same(named[full], value):
            problems.append(explain_repeat(full, named[full], value))
        named[full] = value
    if problems:
        raise ConfigError("\n".join(problems))
    layer: dict[str, Any] = {}
    for (*above, last), value in named.items():
        inner = layer
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return layer


def list_leaves(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """Yield the single settings in a value, each with its path. An empty mapping is a setting."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from list_leaves(inner, (*key, str(name)))
    else:
        yield key, value


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, also in type: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def explain_repeat(key: Key, one: Any, other: Any) -> str:
    """Explain that a setting was given two values."""
    return f"--set {'.'.join(key)} is given twice, as {one!r} and as {other!r}; keep one"


def list_unknown_terms(layer: Mapping[str, Any], lower: Mapping[str, Any]) -> list[str]:
    """List the mistakes of `extra_terms.STEP.TERM=null`, which removes a term, in a layer.

    Args:
        layer: The layer.
        lower: The values of all layers below it.

    Returns:
        A sentence on each term that is not there.
    """
    steps, below = layer.get("extra_terms"), lower.get("extra_terms")
    known = below if isinstance(below, Mapping) else {}
    problems = []
    for step, terms in steps.items() if isinstance(steps, Mapping) else ():
        there = known.get(step) or {}
        for term, options in terms.items() if isinstance(terms, Mapping) else ():
            if options is None and term not in there:
                names = ", ".join(f"{one}.{name}" for one in known for name in known[one] or ()) or "none"
                hint = suggest_name(f"{step}.{term}", names.split(", "))
                problems.append(f"extra_terms.{step}.{term}: there is no such term to remove{hint}; terms: {names}")
    return problems
