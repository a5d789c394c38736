"""Laws of edits that are laid over photos."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.pictures import Box, crop_photo, paste_edit
from zoogan.pictures.box import find_centre_box, fit_square, parse_box
from zoogan.pictures.paste import make_border_ramp, make_resize_matrix, measure_lost_structure
from zoogan.pictures.photo import normalize_image, quantize_image

LENGTH = st.integers(1, 40)


@st.composite
def photos(draw: st.DrawFn) -> tuple[Tensor, Box]:
    """A photo of noise, and a box in it."""
    height, width = draw(LENGTH), draw(LENGTH)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = Box(left, top, draw(st.integers(1, width - left)), draw(st.integers(1, height - top)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8), box


@st.composite
def squares(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A square of noise and another one, in [-1, 1]."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    shape = (2, draw(st.sampled_from((1, 3))), size := draw(st.integers(1, 24)), size)
    before, after = torch.rand(shape, generator=generator) * 2 - 1
    return before, after


@settings(deadline=None, max_examples=25)
@given(photos(), squares(), st.booleans())
def test_pasted_photo_is_the_photo_outside_its_box(
    photo_box: tuple[Tensor, Box], pair: tuple[Tensor, Tensor], masked: bool
) -> None:
    photo, box = photo_box
    kept, mask = photo.clone(), torch.rand(1, *pair[0].shape[1:]) if masked else None
    result = paste_edit(photo, box, *pair, mask)
    assert result.shape == photo.shape and result.dtype == torch.uint8 and result.is_contiguous()
    assert torch.equal(photo, kept), "the input does not change"
    outside = torch.ones(photo.shape[1:], dtype=torch.bool)
    outside[box.top : box.bottom, box.left : box.right] = False
    assert torch.equal(result[:, outside], photo[:, outside])


@settings(deadline=None, max_examples=20)
@given(photos(), squares())
def test_unchanged_squares_give_the_photo_back(photo_box: tuple[Tensor, Box], pair: tuple[Tensor, Tensor]) -> None:
    (photo, box), (before, after) = photo_box, pair
    result = paste_edit(photo, box, before, before)
    assert torch.equal(result, photo) and result.data_ptr() != photo.data_ptr()
    assert torch.equal(paste_edit(photo, box, before, before + 1e-6), photo), "rounding of a network changes nothing"
    assert torch.equal(paste_edit(photo, box, before, after, torch.zeros(1, *after.shape[1:])), photo)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 15), st.integers(0, 15), st.integers(33, 64))
def test_pixels_far_from_a_change_stay(row: int, column: int, side: int) -> None:
    """A change of one pixel of the network reaches the pixels that the resampler and the window can see."""
    photo = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(row))
    before = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(column)) * 2 - 1
    after = before.clone()
    after[:, row, column] += 1
    moved = (paste_edit(photo, Box(0, 0, side, side), before, after) != photo).any(0).nonzero()
    assert len(moved)
    places = (moved + 0.5) * 16 / side - 0.5
    assert float((places - torch.tensor([row, column])).abs().max()) < 4 + 2 + 0.5


@settings(deadline=None, max_examples=15)
@given(squares())
def test_photo_of_the_size_of_the_network_becomes_the_edit(pair: tuple[Tensor, Tensor]) -> None:
    before, after = pair[0].expand(3, -1, -1), quantize_image(pair[1].expand(3, -1, -1))
    photo, size = quantize_image(before), before.shape[1]
    result = paste_edit(photo, Box(0, 0, size, size), normalize_image(photo), normalize_image(after))
    assert int((result.int() - after.int()).abs().max()) <= 1


def test_change_is_full_in_the_middle_and_fades_at_inner_borders() -> None:
    photo = torch.full((3, 80, 100), 100, dtype=torch.uint8)
    before, after = torch.zeros(2, 3, 16, 16)
    after += 0.4
    added = paste_edit(photo, Box(20, 0, 64, 64), before, after).int() - photo.int()
    assert (added[:, 32, 30:74] == 51).all() and (added[:, 0, 30:74] == 51).all(), "the photo's own edge has no seam"
    assert (added[:, 32, 20:26].diff() >= 0).all() and 0 < added[0, 32, 20] < 13 and 0 < added[0, 63, 40] < 13


def test_detail_stays_unless_its_structure_goes() -> None:
    """A recoloured texture keeps its fine lines, an opaque patch hides what it covers."""
    texture = 0.4 * torch.sin(torch.arange(128.0) * 2.5).expand(3, 128, -1) + 0.5 * torch.sin(
        torch.arange(128.0) / 8
    ).expand(3, 128, -1)
    photo = quantize_image(texture)
    before = normalize_image(crop_photo(photo, Facts(image_size=32)))
    box = Box(0, 0, 128, 128)

    def fine(image: Tensor) -> float:
        levels = image.float()[:, 32:96, 32:96]
        return float((levels - F.avg_pool2d(levels[None], 5, 1, 2)[0])[:, 4:-4, 4:-4].square().mean())

    recoloured = paste_edit(photo, box, before, before + 0.1)
    hidden = paste_edit(photo, box, before, torch.full_like(before, 0.1))
    assert fine(recoloured) > 0.95 * fine(photo) and fine(hidden) < 0.05 * fine(photo)
    assert int((hidden.float() - 140).abs()[:, 32:96, 32:96].max()) < 30
    lost = measure_lost_structure(before, torch.full_like(before, 0.1) - before)
    assert lost.mean() > 0.8 and float(measure_lost_structure(before, torch.full_like(before, 0.1)).max()) < 1e-3


def test_mask_limits_the_change() -> None:
    photo = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    before, after, mask = torch.zeros(3, 16, 16), torch.full((3, 16, 16), 0.5), torch.zeros(1, 16, 16)
    mask[:, :, 8:] = 0.5
    result = paste_edit(photo, Box(0, 0, 64, 64), before, after, mask)
    assert (result[:, :, :24] == 128).all() and (result[:, :, 40:] == 192).all()


def test_grey_networks_change_the_brightness_alone() -> None:
    photo = torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
    result = paste_edit(photo, Box(0, 0, 32, 32), torch.zeros(1, 16, 16), torch.full((1, 16, 16), 0.2))
    assert (result[:, 16, 16].int() - photo[:, 16, 16].int()).tolist() == [25] * 3 or (
        result[:, 16, 16].int() - photo[:, 16, 16].int()
    ).tolist() == [26] * 3


def test_strips_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = torch.randint(0, 256, (3, 70, 60), dtype=torch.uint8)
    before, after = torch.rand(2, 3, 16, 16) * 2 - 1
    whole = paste_edit(photo, Box(2, 3, 50, 60), before, after)
    monkeypatch.setattr("zoogan.pictures.paste.STRIP", 7 * 50)
    assert int((paste_edit(photo, Box(2, 3, 50, 60), before, after).int() - whole.int()).abs().max()) <= 1


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 60))
def test_resize_matrix_resizes_as_interpolate_does(size: int, length: int) -> None:
    image = torch.rand(1, 1, size, 3)
    wanted = F.interpolate(image, (length, 3), mode="bicubic", antialias=True)[0, 0]
    torch.testing.assert_close(make_resize_matrix(size, length) @ image[0, 0], wanted, atol=1e-5, rtol=1e-5)
    assert size != length or torch.equal(make_resize_matrix(size, length), torch.eye(size))
    ramp = make_border_ramp(length, True, True)
    assert ramp.shape == (length,) and 0 < ramp.min() <= ramp.max() <= 1 and torch.allclose(ramp, ramp.flip(0))
    assert torch.equal(make_border_ramp(length, False, False), torch.ones(length))


# ---- boxes ----


@settings(deadline=None, max_examples=30)
@given(photos(), st.floats(0.1, 1))
def test_squares_lie_in_the_photo(photo_box: tuple[Tensor, Box], share: float) -> None:
    photo, box = photo_box
    height, width = photo.shape[1:]
    centre = find_centre_box(width, height, share)
    assert centre.is_inside(width, height) and centre.width == centre.height
    if max(box.width, box.height) > min(width, height):
        with pytest.raises(ConfigError, match=f"give at most {min(width, height)} for w and h"):
            fit_square(box, width, height)
        return
    square = fit_square(box, width, height)
    assert square.is_inside(width, height) and square.width == square.height == max(box.width, box.height)
    assert square.left <= box.left and square.right >= box.right and square.top <= box.top
    assert square.bottom >= box.bottom and square.measure_overlap(square) == 1
    assert parse_box(str(box)) == box


def test_wrong_boxes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("1,2,3", "1,2,3,x", "1.5,2,3,4", ""):
        with pytest.raises(ConfigError, match="expected four whole numbers"):
            parse_box(text)
    for text in ("-1,2,3,4", "1,2,0,4"):
        with pytest.raises(ConfigError, match="0 or more"):
            parse_box(text)
    with pytest.raises(ConfigError, match="reaches to 11,6, but the photo is 10 x 20"):
        fit_square(Box(1, 2, 10, 4), 10, 20)
    with pytest.raises(ValueError, match="not inside a photo"):
        paste_edit(torch.zeros(3, 8, 8, dtype=torch.uint8), Box(0, 0, 9, 8), *torch.zeros(2, 3, 4, 4))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the checks of tests come first
    with pytest.raises(ValueError, match="their shapes are"):
        paste_edit(torch.zeros(3, 8, 8, dtype=torch.uint8), Box(0, 0, 8, 8), torch.zeros(3, 4, 4), torch.zeros(3, 5, 5))
