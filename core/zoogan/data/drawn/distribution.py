"""How often drawn faces have each attribute, and how attributes depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from zoogan.data.drawn.attributes import ATTRIBUTES, find_column, find_rivals

PROBABILITIES: Mapping[str, float] = MappingProxyType(
    {
        "Male": 0.45,
        "Eyeglasses": 0.30,
        "Bald": 0.06,
        "Bangs": 0.22,
        "Wearing_Hat": 0.10,
        "Wearing_Earrings": 0.20,
        "Smiling": 0.48,
        "Mouth_Slightly_Open": 0.42,
        "No_Beard": 0.82,
        "Blond_Hair": 0.17,
        "Black_Hair": 0.26,
        "Brown_Hair": 0.28,
        "Face_Mask": 0.05,
    }
)
# attribute -> (cause, factor by which the cause makes it likelier); for No_Beard the factor is that of the beard
_RATIOS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "Eyeglasses": ("Male", 1.6),
        "Bald": ("Male", 40.0),
        "Bangs": ("Male", 0.35),
        "Wearing_Hat": ("Male", 1.6),
        "Wearing_Earrings": ("Male", 0.08),
        "Smiling": ("Male", 0.8),
        "Mouth_Slightly_Open": ("Smiling", 2.2),
        "No_Beard": ("Male", 1e6),
        "Blond_Hair": ("Male", 0.3),
        "Black_Hair": ("Male", 1.3),
    }
)


class AttributeDistribution:
    """The joint distribution of attributes, as a small tree of conditional probabilities.

    An attribute has one cause; giving one replaces the default (mostly Male). P(attribute | not cause) follows from
    P(attribute). If that is impossible, a default P(attribute) gives way, and a given one raises ValueError. A given
    P(attribute) keeps the default ratio between faces with and without the cause as far as possible: with half of the
    faces bald, most of these are still men. An attribute without a given probability keeps its default
    P(attribute | cause), so that `probabilities={"Male": 0}` also means no beards.

    Args:
        probabilities: Attribute -> P(attribute) over all faces, of what a face *has* (see `hide_attributes`).
        cooccurrence: P(attribute | cause), as `{"Eyeglasses": {"Male": 0.9}}` or `{("Eyeglasses", "Male"): 0.9}`.

    Raises:
        ValueError: A name is unknown, a value is no probability, or values contradict each other.
    """

    def __init__(self, probabilities: Mapping[str, float] | None = None, cooccurrence: Mapping[Any, Any] | None = None):
        given = {
            name: _check_probability(f"probabilities[{name!r}]", p, name) for name, p in (probabilities or {}).items()
        }
        causes = _parse_causes(cooccurrence or {})
        parents = {name: causes[name][0] if name in causes else _RATIOS.get(name, (None,))[0] for name in ATTRIBUTES}
        # a default cause must not close a circle with given ones
        for name in ATTRIBUTES:
            if name not in causes and _is_circular(name, parents):
                parents[name] = None
        self._rows: list[tuple[str, str | None, float, float]] = []
        order: list[str] = []
        joint = np.ones(())
        for name in _sort_causes_first(parents):
            parent = parents[name]
            axis = order.index(parent) if parent else None
            cause = _measure_share(joint, axis)
            free = np.ones(joint.shape)
            for rival in find_rivals(name):
                if rival in order:
                    free[(slice(None),) * order.index(rival) + (1,)] = 0.0
            # P(no rival | not cause) and P(no rival | cause): upper bounds of P(name | ...)
            limits = []
            for value in (0, 1):
                part = joint if axis is None else np.take(joint, [value], axis)
                free_part = part * (free if axis is None else np.take(free, [value], axis))
                limits.append(float(free_part.sum() / part.sum()) if part.sum() > 0 else 1.0)
            conditionals = _compute_conditionals(
                name, parent, given.get(name), cause, causes.get(name, (None, None))[1], limits
            )
            # faces with a rival never have it, so among the others it must be likelier
            chances = [min(1.0, p / limit) if limit > 0 else 0.0 for p, limit in zip(conditionals, limits, strict=True)]
            self._rows.append((name, parent, chances[0], chances[1]))
            index = np.zeros(joint.shape, int) if axis is None else np.moveaxis(
                np.broadcast_to(np.arange(2), joint.shape), -1, axis)  # fmt: skip
            chance = np.asarray(chances)[index] * free
            joint = np.stack([joint * (1 - chance), joint * chance], -1)
            order.append(name)

    @staticmethod
    def list_draw_names() -> tuple[str, ...]:
        """List the names of the uniform numbers that `draw` takes."""
        return tuple(f"attribute.{name}" for name in ATTRIBUTES)

    def draw(self, uniform: np.ndarray) -> Bool[Tensor, "n 13"]:
        """Draw the attributes that faces have, from uniform numbers (13, n) in the order of `list_draw_names`."""
        has = np.zeros((uniform.shape[1], len(ATTRIBUTES)), bool)
        for name, parent, without_cause, with_cause in self._rows:
            cause = has[:, find_column(parent)] if parent is not None else False
            chance = np.where(cause, with_cause, without_cause)
            excluded = np.zeros(uniform.shape[1], bool)
            for rival in find_rivals(name):
                excluded |= has[:, find_column(rival)]
            has[:, find_column(name)] = (uniform[find_column(name)] < chance) & ~excluded
        return torch.from_numpy(has)


def _check_probability(where: str, value: float, *names: str) -> float:
    """Check that the names are attributes and the value is a probability, and return it."""
    for name in names:
        find_column(name)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{where} is {value}; give a probability between 0 and 1.")
    return float(value)


def _parse_causes(cooccurrence: Mapping[Any, Any]) -> dict[str, tuple[str, float]]:
    """Parse `cooccurrence`, in either form, to {attribute: (cause, P(attribute | cause))}."""
    pairs: list[tuple[str, str, float]] = []
    for key, value in cooccurrence.items():
        if isinstance(key, tuple):
            if len(key) != 2:
                raise ValueError(f"cooccurrence[{key!r}]: a pair is (attribute, cause).")
            pairs.append((key[0], key[1], value))
        elif isinstance(value, Mapping):
            pairs.extend((key, cause, p) for cause, p in value.items())
        else:
            find_column(key)
            raise ValueError(f"cooccurrence[{key!r}] is {value!r}; write {{{key!r}: {{'Male': 0.9}}}}.")
    causes: dict[str, tuple[str, float]] = {}
    for name, cause, value in pairs:
        p = _check_probability(f"cooccurrence[{name!r}][{cause!r}]", value, name, cause)
        if name in causes:
            raise ValueError(f"cooccurrence gives {name} two causes, {causes[name][0]} and {cause}; it takes one.")
        if cause in find_rivals(name):
            raise ValueError(f"cooccurrence[{name!r}][{cause!r}]: the two exclude each other.")
        causes[name] = (cause, p)
    for name in causes:
        if _is_circular(name, {**dict.fromkeys(ATTRIBUTES), **{n: c for n, (c, _) in causes.items()}}):
            raise ValueError(f"cooccurrence goes round in a circle through {name}.")
    return causes


def _is_circular(name: str, parents: Mapping[str, str | None]) -> bool:
    """Return whether the chain of causes from an attribute comes to a circle."""
    visited, current = {name}, parents[name]
    while current is not None and current not in visited:
        visited.add(current)
        current = parents[current]
    return current is not None


def _sort_causes_first(parents: Mapping[str, str | None]) -> list[str]:
    """Sort the attributes so that each comes after its cause."""
    order: list[str] = []
    while len(order) < len(ATTRIBUTES):
        order.append(next(n for n in ATTRIBUTES if n not in order and (parents[n] is None or parents[n] in order)))
    return order


def _measure_share(joint: np.ndarray, axis: int | None) -> float:
    """Return the probability that the attribute of an axis is 1; 0 without an axis."""
    return float(np.take(joint, 1, axis).sum()) if axis is not None else 0.0


def _split_by_ratio(name: str, total: float, cause: float, limits: list[float]) -> tuple[float, float]:
    """Split P(name) = total into (P(name | not cause), P(name | cause)), by the default ratio if limits allow."""
    flip = name == "No_Beard"  # the ratio is that of the beard
    p = 1.0 - total if flip else total
    if not 0.0 < cause < 1.0:
        return total, total
    ratio = _RATIOS[name][1]
    with_cause = p * ratio / (cause * ratio + 1.0 - cause)
    with_cause = max(with_cause, (p - limits[0] * (1.0 - cause)) / cause, 0.0)
    with_cause = min(with_cause, p / cause, limits[1])
    without_cause = max(0.0, (p - with_cause * cause) / (1.0 - cause))
    return (1.0 - without_cause, 1.0 - with_cause) if flip else (without_cause, with_cause)


def _compute_conditionals(
    name: str, parent: str | None, given: float | None, cause: float, fixed: float | None, limits: list[float]
) -> tuple[float, float]:
    """Compute (P(name | not parent), P(name | parent)), within `limits`.

    Args:
        name: The attribute.
        parent: Its cause.
        given: P(name) from the config, if any; it holds, or ValueError is raised.
        cause: P(parent).
        fixed: P(name | parent) from the config, if any; it holds, or ValueError is raised.
        limits: Upper bounds of the two results.
    """
    total = PROBABILITIES[name] if given is None else given
    if parent is None:
        pair = total, total
    elif fixed is not None:
        rest = (total - fixed * cause) / (1.0 - cause) if cause < 1.0 else total
        if given is not None and (not -1e-9 <= rest <= 1.0 + 1e-9 or (cause == 1.0 and fixed != given)):
            low, high = fixed * cause, fixed * cause + 1.0 - cause
            raise ValueError(
                f"P({name}) = {given} and P({name} | {parent}) = {fixed} contradict each other where "
                f"P({parent}) = {cause:.3g}; set probabilities[{name!r}] between {low:.3g} and {high:.3g}."
            )
        pair = min(1.0, max(0.0, rest)), fixed
    elif given is None:
        pair = _split_by_ratio(name, total, PROBABILITIES[parent], [1.0, 1.0])
    else:
        pair = _split_by_ratio(name, total, cause, limits)
    if given is not None or fixed is not None:
        for p, limit, share in zip(pair, limits, (1.0 - cause, cause), strict=True):
            if share > 0 and p > limit + 1e-9:
                others = ", ".join(find_rivals(name))
                raise ValueError(f"{name} cannot have probability {p:.3g}: it excludes {others}, leaving {limit:.3g}.")
    return min(pair[0], limits[0]), min(pair[1], limits[1])
