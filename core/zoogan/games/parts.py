"""Parts of faces: which rows of w+ hold one, and faces with parts of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.synthesis import LatentGenerator, Latents
from zoogan.registry import nearest

KINDS = ("shape", "texture")  # of the latents of a part
NO_PARTS = (
    "this run makes faces in one piece, so none of their parts can be named; faces made of parts come from a method "
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
        raise ValueError(f"part {part}: no part of that name{nearest(part, known)}; known: {', '.join(known)}")
    asked, there = list(kinds), list(dict.fromkeys(kind for rows in known.values() for kind in rows))
    for kind in asked:
        if kind not in there:
            said = f"no kind of latent is called {kind!r}{nearest(kind, there)}"
            raise ValueError(f"part {part}: {said}; kinds: {', '.join(there)}")
    rows = sorted({row for kind in asked for row in known[part].get(kind, ())})
    if not rows:
        said = " or ".join(asked) or "no kind of latent"
        raise ValueError(f"part {part}: got {said}, expected {' or '.join(known[part])}, which is all that it has")
    return rows


def with_rows(latents: Latents, other: Float[Tensor, "#n rows s"], rows: Sequence[int]) -> Latents:
    """w+ with some rows of other faces."""
    changed = latents.clone()
    changed[:, list(rows)] = other.to(latents)[:, list(rows)]
    return changed


def check_parts(generator: LatentGenerator) -> tuple[str, ...]:
    """The names of a generator's parts.

    Raises:
        ValueError: it has none.
    """
    if not generator.parts or not generator.part_rows:
        raise ValueError(NO_PARTS)
    return generator.parts
