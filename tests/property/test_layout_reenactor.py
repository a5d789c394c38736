"""Laws of re-enactment on networks with random weights: of layouts, and of photos through their layouts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.reenactment import make_run
from zoogan.editors import LayoutReenactor, PhotoLayoutEditor
from zoogan.errors import ConfigError
from zoogan.interfaces import Edit, Request
from zoogan.layers import make_layout
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.tensors import make_faces, make_segmentation

SIZE, FACES, PARTS = 32, 3, 19
IMAGE = torch.zeros(FACES, 3, SIZE, SIZE)


def draw_layout(seed: int, faces: int = FACES) -> Tensor:
    return make_layout(make_segmentation(seed, faces, SIZE, PARTS), PARTS)


LAYOUT = draw_layout(0)


@pytest.fixture(scope="module")
def run() -> LoadedRun:
    return make_run("smile-layout")


@pytest.fixture(scope="module")
def editor(run: LoadedRun) -> LayoutReenactor:
    assert isinstance(run.editor, LayoutReenactor)
    return run.editor


@pytest.fixture(scope="module")
def photo_run() -> LoadedRun:
    return make_run("smile")


def edit(editor: LayoutReenactor, drive: Tensor | None = None, rows: slice = slice(None), **options: Any) -> Edit:
    targets = editor.resolve(Request(drive=drive), IMAGE[rows]) | {"layout": LAYOUT[rows]}
    return editor.apply(IMAGE[rows], targets, **options)


def get_map(result: Edit) -> Tensor:
    assert result.segmentation is not None
    return result.segmentation


def read_style(editor: LayoutReenactor, layout: Tensor) -> Tensor:
    return editor.networks["style_encoder"](layout, torch.ones(len(layout), 1))


# ---- layouts ----


@given(seed=st.integers(1, 999))
def test_drive_decides_the_layout(editor: LayoutReenactor, seed: int) -> None:
    one, other = edit(editor, draw_layout(seed)), edit(editor, draw_layout(seed + 1))
    assert one.extras["style"].shape == (FACES, 1, 32) and one.image_or_none is None
    assert torch.equal(one.extras["style"], read_style(editor, draw_layout(seed)))
    assert not torch.equal(get_map(one), get_map(other))
    assert torch.equal(get_map(one), get_map(edit(editor, draw_layout(seed), seed=5))), "a drive needs no seed"


def test_own_layout_as_drive_is_the_own_style(editor: LayoutReenactor) -> None:
    own = edit(editor, LAYOUT)
    assert torch.equal(own.extras["style"], read_style(editor, LAYOUT))
    targets = editor.resolve(Request(), IMAGE) | {"layout": LAYOUT, "style": read_style(editor, LAYOUT)}
    assert torch.equal(get_map(own), get_map(editor.apply(IMAGE, targets)))
    assert torch.allclose(own.extras["style"], edit(editor, LAYOUT, strength=0.3).extras["style"], atol=1e-5)


@given(seed=st.integers(1, 999), row=st.integers(0, FACES - 1), drawn=st.booleans())
def test_edit_depends_on_nothing_else_in_its_batch(editor: LayoutReenactor, seed: int, row: int, drawn: bool) -> None:
    drive = None if drawn else draw_layout(seed)
    seeds, rows = [seed, seed + 1, seed + 2], slice(row, row + 1)
    together = edit(editor, drive, seed=seeds)
    alone = edit(editor, None if drive is None else drive[rows], rows, seed=seeds[row])
    assert (get_map(alone) == get_map(together)[rows]).float().mean() > 0.999
    assert torch.allclose(alone.extras["style"], together.extras["style"][rows], atol=1e-5)


@given(seed=st.integers(1, 999), drawn=st.booleans())
def test_strength_goes_from_the_own_style_to_the_new_one(editor: LayoutReenactor, seed: int, drawn: bool) -> None:
    drive = None if drawn else draw_layout(seed, 1)
    assert torch.equal(get_map(edit(editor, drive, seed=seed, strength=0.0)), LAYOUT.argmax(1))
    full = edit(editor, drive, seed=seed).extras["style"]
    half = edit(editor, drive, seed=seed, strength=0.5).extras["style"]
    assert torch.allclose(half, (read_style(editor, LAYOUT) + full) / 2, atol=1e-5)


def test_seed_decides_the_style_without_a_drive(editor: LayoutReenactor) -> None:
    one, same, other = (edit(editor, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(get_map(one), get_map(same)) and not torch.equal(get_map(one), get_map(other))
    mean = edit(editor, seed=1, truncation=0.0).extras["style"]
    assert torch.equal(mean, edit(editor, seed=2, truncation=0.0).extras["style"])
    assert torch.allclose(mean[0], editor.compute_mean_style(torch.ones(1, 1)))


def test_run_of_layouts_takes_a_layout_as_drive(run: LoadedRun, editor: LayoutReenactor) -> None:
    drive = draw_layout(4, 2)
    result = run.edit(layout=LAYOUT[:1], drive=drive)
    assert torch.equal(get_map(result), torch.cat([get_map(edit(editor, one[None], slice(0, 1))) for one in drive]))
    with pytest.raises(ConfigError, match="drive: got 3 faces, expected 1, or 2, one for each"):
        run.edit(layout=LAYOUT[:2], drive=draw_layout(4, 3))
    with pytest.raises(ConfigError, match="drive: got floats of shape"):
        run.edit(layout=LAYOUT[:2], drive=draw_layout(4, 1)[:, :5])
    with pytest.raises(ConfigError, match="Eyeglasses: this run knows no attributes"):
        run.edit(layout=LAYOUT[:2], drive=drive, Eyeglasses=1)
    with pytest.raises(ConfigError, match="reference: this run takes no style from a reference"):
        run.edit(layout=LAYOUT[:2], reference=drive)
    with pytest.raises(ConfigError, match="truncation is for drawn styles"):
        run.edit(layout=LAYOUT[:2], drive=drive, truncation=0.5)


def test_sheet_shows_driven_and_drawn_layouts(editor: LayoutReenactor) -> None:
    columns = editor.make_columns(IMAGE, torch.zeros(FACES, 0), {"layout": LAYOUT})
    assert [column.caption for column in columns] == ["layout", "driven by the next", "drawn, seed 0", "drawn, seed 1"]
    assert torch.equal(columns[1].images, get_map(edit(editor, LAYOUT.roll(-1, 0))))
    assert torch.equal(columns[3].images, get_map(edit(editor, seed=1)))


# ---- photos ----


def test_photo_keeps_its_codes_in_the_driven_layout(photo_run: LoadedRun) -> None:
    editor = photo_run.editor
    assert isinstance(editor, PhotoLayoutEditor) and isinstance(editor.layouts, LayoutReenactor)
    assert editor.takes_drive and not editor.takes_reference and not editor.needs_layout and editor.attributes == ()
    photo, drive = make_faces(1, 1, SIZE), make_faces(2, 2, SIZE)
    result = photo_run.edit(photo, drive=drive)
    layout = editor.parse_photo(photo)
    wanted = photo_run.stages["layout"].edit(
        layout=layout, drive=torch.cat([editor.parse_photo(one[None]) for one in drive])
    )
    assert torch.equal(get_map(result), get_map(wanted)) and result.image.shape == (2, 3, SIZE, SIZE)
    assert not torch.equal(get_map(result)[0], get_map(result)[1])
    codes, present = editor.painter.read_codes(photo, layout)
    assert present.any()
    torch.testing.assert_close(result.extras["codes"][1][present[0]], codes[0][present[0]], atol=1e-4, rtol=1e-3)
    assert torch.equal(photo_run.edit(photo, drive=drive[:1], strength=0.0).image, photo)


def test_parts_alone_leave_the_expression(photo_run: LoadedRun) -> None:
    editor, photo = photo_run.editor, make_faces(1, 1, SIZE)
    assert isinstance(editor, PhotoLayoutEditor)
    layout = editor.parse_photo(photo)
    parts = photo_run.edit(photo, part="hair", from_seed=3)
    assert torch.equal(get_map(parts), layout.argmax(1))
    both = photo_run.edit(photo, part="hair", from_seed=3, drive=make_faces(2, 1, SIZE))
    assert not torch.equal(get_map(both), layout.argmax(1))
    assert torch.equal(both.extras["codes"], parts.extras["codes"])


def test_sheet_of_photos_shows_driven_faces(photo_run: LoadedRun) -> None:
    photos = make_faces(1, 2, SIZE)
    columns = photo_run.editor.make_columns(photos, torch.zeros(2, 0))
    captions = [column.caption for column in columns]
    assert captions == [
        "layout",
        "own codes",
        "driven by the next, layout",
        "driven by the next",
        "drawn, layout",
        "drawn",
    ]
    assert torch.allclose(columns[3].images, photo_run.edit(photos, drive=photos.roll(-1, 0)).image, atol=1e-5)
