"""Requests for parts of other faces: `--part hair --only texture --from-seed 7`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from zoogan.names import suggest_name

LATENT_KINDS = ("shape", "texture")  # of the latents of a part
PART_WORDS = ("part", "only", "from_seed")
NO_PARTS = (
    "this run makes faces in one piece, which have no parts; for faces made of parts, train a method "
    "whose generator has them (`zoo list`)"
)

PartRows = Mapping[str, Mapping[str, tuple[int, ...]]]
PartKinds = Mapping[str, Collection[str]]
"""Kinds of latents by part; `PartRows` are such kinds too."""


def find_part_rows(part_rows: PartRows, part: str, kinds: Iterable[str] = LATENT_KINDS) -> list[int]:
    """Find the rows of w+ that hold the latents of a part.

    Args:
        part_rows: See `LatentGenerator.part_rows`.
        part: Name of the part.
        kinds: Kinds of latents; a kind that the part lacks is skipped.

    Returns:
        Indices of rows, sorted.

    Raises:
        ValueError: There are no parts, the part or a kind is unknown, no kind is given, or none of them has rows.
    """
    known = find_kinds(part_rows, part, kinds)
    return sorted({row for kind in known for row in part_rows[part][kind]})


def find_kinds(part_kinds: PartKinds, part: str, kinds: Iterable[str] = LATENT_KINDS) -> tuple[str, ...]:
    """Find which of some kinds of latents a part has.

    Args:
        part_kinds: The kinds that each part has.
        part: Name of the part.
        kinds: Kinds of latents; a kind that the part lacks is skipped.

    Returns:
        The kinds that it has, one or more.

    Raises:
        ValueError: There are no parts, the part or a kind is unknown, no kind is given, or it has none of them.
    """
    if not part_kinds:
        raise ValueError(NO_PARTS)
    if part not in part_kinds:
        hint, names = suggest_name(part, part_kinds), ", ".join(part_kinds)
        raise ValueError(f"part {part}: no part of that name{hint}; known: {names}")
    kinds, known_kinds = list(kinds), list(dict.fromkeys(kind for known in part_kinds.values() for kind in known))
    for kind in kinds:
        if kind not in (*LATENT_KINDS, *known_kinds):
            hint, names = suggest_name(kind, known_kinds), ", ".join(known_kinds)
            raise ValueError(f"part {part}: no kind of latent is called {kind!r}{hint}; kinds: {names}")
    result = tuple(kind for kind in kinds if kind in part_kinds[part])
    if not result:
        given, names = " or ".join(kinds) or "no kind of latent", " or ".join(part_kinds[part])
        raise ValueError(f"part {part}: got {given}, expected {names}, which is all that it has")
    return result


def parse_parts(
    words: Mapping[str, Any], part_kinds: PartKinds
) -> tuple[dict[str, tuple[str, ...]], int | None, list[str]]:
    """Parse the requested parts of another face.

    Args:
        words: `part` = a name or several; `only` = one of `LATENT_KINDS`; `from_seed` = a whole number; each may be
            missing. Other words are ignored.
        part_kinds: The kinds of latents that each part has.

    Returns:
        (kinds of latents by part, the seed of the other face or None, the problems).
    """
    parts, only, seed = (words.get(word) for word in PART_WORDS)
    names = [parts] if isinstance(parts, str) else list(parts or ())
    kinds: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name in names:
        try:
            wanted = part_kinds.get(name, LATENT_KINDS) if only is None else (str(only),)
            kinds[name] = find_kinds(part_kinds, name, wanted)
        except ValueError as error:
            problems.append(str(error))
    if seed is not None and not str(seed).removeprefix("-").isdigit():
        problems.append(f"from_seed: expected a whole number, got {seed!r}")
        seed = None
    if not names and (only is not None or seed is not None):
        problems.append("name the part: `only` and `from_seed` need `part`, such as hair")
    return kinds, None if seed is None else int(seed), list(dict.fromkeys(problems))
