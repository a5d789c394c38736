"""Laws of faces made of parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support.part_runs import PARTS, ROWS, make_part_editor
from support.toy_faces import make_toy_axes, make_toy_editor
from zoogan.conditions.parts import LATENT_KINDS
from zoogan.editors.parts import iterate_partial_faces
from zoogan.pictures.film import interpolate_loop

EDITOR = make_part_editor()
parts = st.sampled_from([*PARTS, "coarse"])
some_kinds = st.sets(st.sampled_from(LATENT_KINDS), min_size=1).map(lambda kinds: tuple(sorted(kinds)))


@given(parts, some_kinds, st.integers(0, 50))
def test_replacing_a_part_changes_only_its_rows(part: str, kinds: tuple[str, ...], seed: int) -> None:
    own, other = EDITOR.draw_latents([seed, seed + 1]), EDITOR.draw_latents([seed + 2])
    rows = {row for kind in kinds for row in EDITOR.generator.part_rows[part].get(kind, ())}
    if not rows:
        with pytest.raises(ValueError, match="expected shape, which is all that it has"):
            EDITOR.replace_part(own, other, part, kinds)
        return
    before, changed = own.clone(), EDITOR.replace_part(own, other, part, kinds)
    for row in range(ROWS):
        assert torch.equal(changed[:, row], (other.expand_as(own) if row in rows else own)[:, row])
    assert torch.equal(own, before), "what was given stays as it was"
    assert torch.equal(EDITOR.replace_part(own, own, part, kinds), own)


@given(st.sampled_from(PARTS), st.integers(0, 50))
def test_replacing_texture_keeps_masks(part: str, seed: int) -> None:
    own, other = EDITOR.draw_latents([seed]), EDITOR.draw_latents([seed + 1])
    before, after = (EDITOR.generator(w) for w in (own, EDITOR.replace_part(own, other, part, ("texture",))))
    assert before.coarse is not None and after.coarse is not None
    assert torch.equal(before.coarse, after.coarse) and not torch.equal(before.image, after.image)


@given(st.integers(0, 50), st.booleans())
def test_partial_faces_add_up_to_the_face(seed: int, own_noise: bool) -> None:
    latents = EDITOR.draw_latents([seed, seed + 1])
    noise = None if own_noise else EDITOR.draw_noise([seed, seed + 1])
    steps, whole = list(iterate_partial_faces(EDITOR.generator, latents, noise)), EDITOR.synthesise(latents, noise)
    assert tuple(step.part for step in steps) == PARTS
    assert torch.equal(steps[-1].image, whole.image)
    for last, step in enumerate(steps):
        assert step.segmentation is not None and step.mask is not None
        assert int(step.segmentation.max()) <= last, "what is to come does not show yet"
        assert bool((step.mask > -1).all())
    torch.testing.assert_close(steps[0].mask, torch.ones_like(latents[:, 0, 0])[:, None, None].expand(-1, 4, 4))


def test_face_without_parts_has_no_partial_faces() -> None:
    whole = make_toy_editor(make_toy_axes())
    with pytest.raises(ValueError, match="in one piece"):
        iterate_partial_faces(whole.generator, whole.draw_latents([1]))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 50))
def test_loop_values_pass_keyframes_and_close(k: int, between: int, seed: int) -> None:
    values = torch.randn(k, 2, 3, generator=torch.Generator().manual_seed(seed))
    walked = interpolate_loop(values, between)
    assert walked.shape == (k * between + 1, 2, 3)
    assert torch.equal(walked[::between][:k], values) and torch.equal(walked[-1], walked[0])
    shifted = interpolate_loop(values.roll(1, 0), between)[:-1]
    torch.testing.assert_close(shifted, walked[:-1].roll(between, 0)), "it begins nowhere"


def test_loop_values_are_smooth_at_keyframes() -> None:
    values = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fine = 1000
    walked = interpolate_loop(values, fine)[:-1]
    speed = (walked.roll(-1, 0) - walked) * fine
    bend = (speed - speed.roll(1, 0)) * fine
    scale = float(values.abs().max())
    for rate, unit in ((speed, 10 * scale), (bend, 100 * scale)):  # of the largest step from frame to frame
        assert float((rate.roll(-1, 0) - rate).abs().max()) < 0.01 * unit


def test_unknown_parts_are_refused() -> None:
    latents = EDITOR.draw_latents([1])
    for part, kinds, expected in (
        ("hairs", LATENT_KINDS, "part hairs: no part of that name, did you mean 'hair'.; known: coarse, background"),
        ("hair", ("textur",), "no kind of latent is called 'textur', did you mean 'texture'.; kinds: shape, texture"),
        ("hair", (), "got no kind of latent, expected shape or texture"),
    ):
        with pytest.raises(ValueError, match=expected):
            EDITOR.replace_part(latents, latents, part, kinds)
    whole = make_toy_editor(make_toy_axes())
    with pytest.raises(ValueError, match="in one piece"):
        whole.replace_part(whole.draw_latents([1]), whole.draw_latents([2]), "hair")
    assert EDITOR.parts == PARTS and whole.parts == ()
