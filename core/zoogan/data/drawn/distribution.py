"""How often drawn faces have each attribute, and how attributes depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
# attribute -> (cause, how many times likelier with it than without); of No_Beard it is the beard that is
# likelier
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
    """Which attributes go together, as a small tree of conditional probabilities.

    `probabilities` maps attributes to P(attribute), over all faces, of what a face *has* (see `seen`).
    `cooccurrence` gives P(attribute | cause), written `{"Eyeglasses": {"Male": 0.9}}` or `{("Eyeglasses",
    "Male"): 0.9}`. An attribute has one cause; naming one replaces the default (mostly Male). P(attribute |
    not cause) is what keeps P(attribute) as it is; if that is impossible, P(attribute) gives way where it is
    a default, and a ValueError says so where it was asked for. An attribute asked for keeps its default ratio
    as far as possible (asked for half the faces bald, most of them are still men); one not asked for keeps
    its default P(attribute | cause), so that `probabilities={"Male": 0}` also means no beards.
    """

    def __init__(self, probabilities: Mapping[str, float] | None = None, cooccurrence: Mapping[Any, Any] | None = None):
        asked = {
            name: _check_probability(f"probabilities[{name!r}]", p, name) for name, p in (probabilities or {}).items()
        }
        causes = _parse_causes(cooccurrence or {})
        parents = {name: causes[name][0] if name in causes else _RATIOS.get(name, (None,))[0] for name in ATTRIBUTES}
        # a default tie must not close a circle with those asked for
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
            # P(no rival is there | cause or not): more than that cannot have it
            rooms = []
            for value in (0, 1):
                part = joint if axis is None else np.take(joint, [value], axis)
                room = part * (free if axis is None else np.take(free, [value], axis))
                rooms.append(float(room.sum() / part.sum()) if part.sum() > 0 else 1.0)
            given = _compute_conditionals(
                name, parent, asked.get(name), cause, causes.get(name, (None, None))[1], rooms
            )
            # among the faces with room for it, it must be likelier, so that over all faces it comes out as
            # wanted
            chances = [min(1.0, p / room) if room > 0 else 0.0 for p, room in zip(given, rooms, strict=True)]
            self._rows.append((name, parent, chances[0], chances[1]))
            index = np.zeros(joint.shape, int) if axis is None else np.moveaxis(
                np.broadcast_to(np.arange(2), joint.shape), -1, axis)  # fmt: skip
            chance = np.asarray(chances)[index] * free
            joint = np.stack([joint * (1 - chance), joint * chance], -1)
            order.append(name)

    @staticmethod
    def list_draw_names() -> tuple[str, ...]:
        """The names under which `draw` wants its uniform numbers."""
        return tuple(f"attribute.{name}" for name in ATTRIBUTES)

    def draw(self, uniform: np.ndarray) -> Bool[Tensor, "n 13"]:
        """What faces have, from uniform numbers (13, n) in the order of `names`."""
        has = np.zeros((uniform.shape[1], len(ATTRIBUTES)), bool)
        for name, parent, without, given in self._rows:
            chance = without if parent is None else np.where(has[:, find_column(parent)], given, without)
            taken = np.zeros(uniform.shape[1], bool)
            for rival in find_rivals(name):
                taken |= has[:, find_column(rival)]
            has[:, find_column(name)] = (uniform[find_column(name)] < chance) & ~taken
        return torch.from_numpy(has)


def _check_probability(where: str, value: float, *names: str) -> float:
    for name in names:
        find_column(name)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{where} is {value}; a probability lies between 0 and 1.")
    return float(value)


def _parse_causes(cooccurrence: Mapping[Any, Any]) -> dict[str, tuple[str, float]]:
    """{attribute: (cause, P(attribute | cause))} from either way of writing it."""
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
    walked, at = {name}, parents[name]
    while at is not None and at not in walked:
        walked.add(at)
        at = parents[at]
    return at is not None


def _sort_causes_first(parents: Mapping[str, str | None]) -> Iterable[str]:
    done: list[str] = []
    while len(done) < len(ATTRIBUTES):
        done.append(next(n for n in ATTRIBUTES if n not in done and (parents[n] is None or parents[n] in done)))
    return done


def _measure_share(joint: np.ndarray, axis: int | None) -> float:
    return float(np.take(joint, 1, axis).sum()) if axis is not None else 0.0


def _split_by_ratio(name: str, wanted: float, cause: float, rooms: list[float]) -> tuple[float, float]:
    """(P(name | not cause), P(name | cause)): in the default ratio as far as there is room, P(name) first."""
    flip = name == "No_Beard"  # the ratio is that of the beard
    p = 1.0 - wanted if flip else wanted
    if not 0.0 < cause < 1.0:
        return wanted, wanted
    ratio = _RATIOS[name][1]
    given = p * ratio / (cause * ratio + 1.0 - cause)
    given = max(given, (p - rooms[0] * (1.0 - cause)) / cause, 0.0)
    given = min(given, p / cause, rooms[1])
    without = max(0.0, (p - given * cause) / (1.0 - cause))
    return (1.0 - without, 1.0 - given) if flip else (without, given)


def _compute_conditionals(
    name: str, parent: str | None, asked: float | None, cause: float, fixed: float | None, rooms: list[float]
) -> tuple[float, float]:
    """(P(name | not parent), P(name | parent)), at most `rooms`; what was asked for holds or raises
    ValueError.

    cause is P(parent), fixed the P(name | parent) asked for, if any.
    """
    wanted = PROBABILITIES[name] if asked is None else asked
    if parent is None:
        pair = wanted, wanted
    elif fixed is not None:
        rest = (wanted - fixed * cause) / (1.0 - cause) if cause < 1.0 else wanted
        if asked is not None and (not -1e-9 <= rest <= 1.0 + 1e-9 or (cause == 1.0 and fixed != asked)):
            low, high = fixed * cause, fixed * cause + 1.0 - cause
            raise ValueError(
                f"P({name}) = {asked} and P({name} | {parent}) = {fixed} contradict each other where "
                f"P({parent}) = {cause:.3g}; set probabilities[{name!r}] between {low:.3g} and {high:.3g}."
            )
        pair = min(1.0, max(0.0, rest)), fixed
    elif asked is None:
        pair = _split_by_ratio(name, wanted, PROBABILITIES[parent], [1.0, 1.0])
    else:
        pair = _split_by_ratio(name, wanted, cause, rooms)
    if asked is not None or fixed is not None:
        held = (1.0 - cause, cause)
        for p, room, share in zip(pair, rooms, held, strict=True):
            if share > 0 and p > room + 1e-9:
                others = ", ".join(find_rivals(name))
                raise ValueError(f"{name} cannot have probability {p:.3g}: it excludes {others}, leaving {room:.3g}.")
    return min(pair[0], rooms[0]), min(pair[1], rooms[1])
