"""Laws of faces made of parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from face_runs import toy_editor, toy_ways
from part_faces import PARTS, ROWS, part_editor
from zoogan.conditions.parts import KINDS

EDITOR = part_editor()
parts = st.sampled_from([*PARTS, "coarse"])
some_kinds = st.sets(st.sampled_from(KINDS), min_size=1).map(lambda kinds: tuple(sorted(kinds)))


@given(parts, some_kinds, st.integers(0, 50))
def test_a_replacement_takes_exactly_the_rows_of_the_part(part: str, kinds: tuple[str, ...], seed: int) -> None:
    own, other = EDITOR.latents([seed, seed + 1]), EDITOR.latents([seed + 2])
    rows = {row for kind in kinds for row in EDITOR.generator.part_rows[part].get(kind, ())}
    if not rows:
        with pytest.raises(ValueError, match="expected shape, which is all that it has"):
            EDITOR.replaced(own, other, part, kinds)
        return
    before, changed = own.clone(), EDITOR.replaced(own, other, part, kinds)
    for row in range(ROWS):
        assert torch.equal(changed[:, row], (other.expand_as(own) if row in rows else own)[:, row])
    assert torch.equal(own, before), "what was given stays as it was"
    assert torch.equal(EDITOR.replaced(own, own, part, kinds), own)


@given(st.sampled_from(PARTS), st.integers(0, 50))
def test_a_texture_leaves_all_masks_as_they_are(part: str, seed: int) -> None:
    own, other = EDITOR.latents([seed]), EDITOR.latents([seed + 1])
    before, after = (EDITOR.generator(w) for w in (own, EDITOR.replaced(own, other, part, ("texture",))))
    assert before.coarse is not None and after.coarse is not None
    assert torch.equal(before.coarse, after.coarse) and not torch.equal(before.image, after.image)


def test_parts_that_there_are_not() -> None:
    latents = EDITOR.latents([1])
    for part, kinds, expected in (
        ("hairs", KINDS, "part hairs: no part of that name, did you mean 'hair'.; known: coarse, background"),
        ("hair", ("textur",), "no kind of latent is called 'textur', did you mean 'texture'.; kinds: shape, texture"),
        ("hair", (), "got no kind of latent, expected shape or texture"),
    ):
        with pytest.raises(ValueError, match=expected):
            EDITOR.replaced(latents, latents, part, kinds)
    whole = toy_editor(toy_ways())
    with pytest.raises(ValueError, match="in one piece"):
        whole.replaced(whole.latents([1]), whole.latents([2]), "hair")
    assert EDITOR.parts == PARTS and whole.parts == ()
