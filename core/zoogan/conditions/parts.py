"""A person's words for parts of faces: `--part hair --only texture --from-seed 7`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zoogan.names import suggest_name

KINDS = ("shape", "texture")  # of the latents of a part
PART_WORDS = ("part", "only", "from_seed")
NO_PARTS = (
    "this run makes faces in one piece, so none of their parts can be named; for faces made of parts, train a method "
    "whose generator has them (`zoo list`)"
)

PartRows = Mapping[str, Mapping[str, tuple[int, ...]]]


def rows_of(known: PartRows, part: str, kinds: Iterable[str] = KINDS) -> list[int]:
    """The rows of w+ that hold these kinds of latents of a part; a kind that the part has none of is passed over.

    known: see `LatentGenerator.part_rows`.

    Raises:
        ValueError: no parts at all, an unknown part or kind (with the nearest known one), no kind, or none of these
            kinds has rows.
    """
    if not known:
        raise ValueError(NO_PARTS)
    if part not in known:
        raise ValueError(f"part {part}: no part of that name{suggest_name(part, known)}; known: {', '.join(known)}")
    asked, there = list(kinds), list(dict.fromkeys(kind for rows in known.values() for kind in rows))
    for kind in asked:
        if kind not in there:
            said = f"no kind of latent is called {kind!r}{suggest_name(kind, there)}"
            raise ValueError(f"part {part}: {said}; kinds: {', '.join(there)}")
    rows = sorted({row for kind in asked for row in known[part].get(kind, ())})
    if not rows:
        said = " or ".join(asked) or "no kind of latent"
        raise ValueError(f"part {part}: got {said}, expected {' or '.join(known[part])}, which is all that it has")
    return rows


def parse_parts(words: Mapping[str, Any], known: PartRows) -> tuple[dict[str, tuple[str, ...]], int | None, list[str]]:
    """(the kinds of latents that are asked for of each part, the seed of the face that they come from, what is wrong).

    words: `part`, a name or several; `only`, one of `KINDS`; `from_seed`, a whole number. None = not said.
    """
    parts, only, seed = (words.get(word) for word in PART_WORDS)
    names = [parts] if isinstance(parts, str) else list(parts or ())
    kinds = KINDS if only is None else (str(only),)
    problems: list[str] = []
    for name in names:
        try:
            rows_of(known, name, kinds)
        except ValueError as error:
            problems.append(str(error))
    if seed is not None and not str(seed).removeprefix("-").isdigit():
        problems.append(f"from_seed: expected a whole number, got {seed!r}")
        seed = None
    if not names and (only is not None or seed is not None):
        problems.append("say of which part: `only` and `from_seed` are about one that `part` names, such as hair")
    return {name: kinds for name in names}, None if seed is None else int(seed), list(dict.fromkeys(problems))
