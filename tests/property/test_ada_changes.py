"""Each change of adaptive augmentation against the paper's definitions, written out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi, sin, sqrt

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.augmentation import HALF, draw_only, image_sizes, make_draws
from zoogan.layers.ada import CHANGE_GROUPS, CHANGE_KINDS, AdaptiveAugment
from zoogan.layers.config import AdaConfig
from zoogan.testing.strategies import make_faces, make_noise, seeds


def waves(x: Tensor, y: Tensor) -> Tensor:
    """Three smooth pictures as functions of a place in pixels from the middle."""
    kx, ky = torch.tensor([0.9, 0.2, -0.5]), torch.tensor([0.1, -0.8, 0.6])
    return torch.cos(kx[:, None, None] * x + ky[:, None, None] * y + 1)


def middle(side: int) -> tuple[Tensor, Tensor]:
    """Across and down of each pixel, from the middle."""
    place = torch.arange(side) - (side - 1) / 2
    return place.expand(side, side), place[:, None].expand(side, side)


# ---- geometry ----


@given(seeds, st.integers(0, 1), st.integers(0, 3), image_sizes)
def test_flips_and_quarter_turns_equal_torch(seed: int, flip: int, turn: int, side: int) -> None:
    image = make_faces(seed, 1, side)
    draw = draw_only("flip", "turn", flip=0.75 - flip / 2, turn=turn / 4 + 0.1)
    expected = (image.flip(3) if flip else image).rot90(turn, (2, 3))
    torch.testing.assert_close(AdaptiveAugment()(image, draw, "x", HALF), expected, rtol=0, atol=1e-6)


@given(seeds, st.floats(0, 0.999), st.floats(0, 0.999), image_sizes)
def test_shift_moves_whole_pixels_and_mirrors_border(seed: int, across: float, down: float, side: int) -> None:
    image = make_faces(seed, 1, side)
    dx, dy = (round(float((torch.tensor(u) - 0.5) / 4 * side)) for u in (across, down))
    assert max(abs(dx), abs(dy)) <= round(side / 8)
    padded = F.pad(image, (4, 4, 4, 4), mode="reflect")
    expected = padded[..., 4 - dy : 4 - dy + side, 4 - dx : 4 - dx + side]
    shifted = AdaptiveAugment()(image, draw_only("shift", shift_across=across, shift_down=down), "x", HALF)
    torch.testing.assert_close(shifted, expected, rtol=0, atol=2e-5)


def turn_by(angle: float) -> Tensor:
    return torch.tensor([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]], dtype=torch.float64)


def scale_by(x: float, y: float) -> Tensor:
    return torch.diag(torch.tensor([x, y, 1], dtype=torch.float64))


def move_by(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


normals, evens = st.floats(-2, 2), st.floats(0, 0.999)


@given(normals, normals, evens, evens, st.tuples(normals, normals), st.tuples(evens, evens))
def test_geometry_equals_matrix_product_of_paper(
    scale: float, stretch: float, before: float, after: float, move: tuple[float, float], shift: tuple[float, float]
) -> None:
    """On a ramp, which every step of the resampling keeps exactly, and on waves, which it keeps nearly."""
    side = 48
    values = dict(zip(("move_across", "move_down", "shift_across", "shift_down"), (*move, *shift)))
    draw = draw_only("shift", *CHANGE_GROUPS["geometry"], n=1, scale=scale, stretch=stretch, rotation_before=before,
                rotation_after=after, **values)  # fmt: skip
    a = 2 ** (0.2 * stretch)
    product = (
        move_by(*(0.125 * side * m for m in move))
        @ turn_by(pi * (2 * after - 1))
        @ scale_by(a, 1 / a)
        @ turn_by(pi * (2 * before - 1))
        @ scale_by(2 ** (0.2 * scale), 2 ** (0.2 * scale))
        @ move_by(*(round((u - 0.5) / 4 * side) for u in shift))
    )
    x, y = middle(side)
    source = product.inverse().float() @ torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])
    u, v = source[0].view(side, side), source[1].view(side, side)
    inside = torch.maximum(u.abs(), v.abs()) < side / 2 - 9  # where the filter does not reach the border
    ramps = torch.stack([0.02 * x, 0.02 * y, 0.01 * (x - y)])
    output = AdaptiveAugment()(ramps[None], draw, "x", HALF)[0]
    expected = torch.stack([0.02 * u, 0.02 * v, 0.01 * (u - v)])
    torch.testing.assert_close(output[:, inside], expected[:, inside], rtol=0, atol=1e-4)


@given(evens, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_resampling_reproduces_smooth_images(turn: float, across: float, down: float) -> None:
    """Waves of 7 pixels, rotated and moved by parts of pixels: what is lost is small, and nothing is displaced."""
    x, y = middle(32)
    draw = draw_only("rotation_before", "move", rotation_before=turn, move_across=across, move_down=down)
    output = AdaptiveAugment()(waves(x, y)[None], draw, "x", HALF)[0]
    angle, dx, dy = pi * (2 * turn - 1), 4 * across, 4 * down
    u = cos(angle) * (x - dx) + sin(angle) * (y - dy)
    v = -sin(angle) * (x - dx) + cos(angle) * (y - dy)
    inside = torch.maximum(u.abs(), v.abs()) < 9
    assert (output - waves(u, v))[:, inside].abs().max() < 0.1


def test_quarter_turns_need_square_images() -> None:
    image = make_faces(0, 1, 16)[..., :12]
    with pytest.raises(ValueError, match=r"need square images, got 16 x 12"):
        AdaptiveAugment()(image, make_draws(0, 1), "x", HALF)
    assert AdaptiveAugment(AdaConfig(turn=False))(image, make_draws(0, 1), "x", torch.tensor(1.0)).shape == image.shape


# ---- colour ----


@given(seeds, normals, normals, evens, evens, normals)
def test_colour_equals_matrix_product_of_paper(
    seed: int, brightness: float, contrast: float, inversion: float, hue: float, saturation: float
) -> None:
    image = make_faces(seed, 1, 8)
    draw = draw_only(*CHANGE_GROUPS["color"], brightness=brightness, contrast=contrast, inversion=inversion, hue=hue,
                saturation=saturation)  # fmt: skip
    axis = torch.full((3, 1), 1 / sqrt(3))
    grey, one = axis @ axis.T, torch.eye(3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / sqrt(3)
    angle = pi * (2 * hue - 1)
    pixels = image[0].flatten(1) + 0.2 * brightness
    pixels = 2 ** (0.5 * contrast) * pixels
    pixels = (one - 2 * grey * (inversion < 0.5)) @ pixels
    pixels = torch.linalg.matrix_exp(angle * cross) @ pixels
    pixels = (grey + (one - grey) * 2**saturation) @ pixels
    output = AdaptiveAugment()(image, draw, "x", HALF)
    torch.testing.assert_close(output[0].flatten(1), pixels, rtol=1e-4, atol=1e-4)
    one_channel = AdaptiveAugment()(image[:, :1], draw, "x", HALF)
    expected = 2 ** (0.5 * contrast) * (image[:, :1] + 0.2 * brightness) * (-1 if inversion < 0.5 else 1)
    torch.testing.assert_close(one_channel, expected, rtol=1e-4, atol=1e-4)


@given(evens, normals)
def test_hue_and_saturation_keep_grey_unchanged(hue: float, saturation: float) -> None:
    grey = make_noise(0, 1, 1, 8, 8).expand(1, 3, 8, 8)
    output = AdaptiveAugment()(grey, draw_only("hue", "saturation", hue=hue, saturation=saturation), "x", HALF)
    torch.testing.assert_close(output, grey, rtol=1e-4, atol=1e-5)


# ---- how often, and how much ----

MANY = 4000


def drawn(p: float, config: AdaConfig | None = None, seed: int = 5) -> Mapping[str, Tensor]:
    image = torch.zeros(MANY, 1, 16, 16)
    return AdaptiveAugment(config).sample_changes(image, make_draws(seed, MANY), "x", torch.tensor(p))._asdict()


NEUTRAL = {"scale": 1, "stretch": 1, "contrast": 1, "inversion": 1, "saturation": 1}


def happened(changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        kind: (value != NEUTRAL.get(kind, 0)).view(MANY, -1).any(1).float()
        for kind, value in ((k, changes[k]) for k in CHANGE_KINDS)
    }


@pytest.mark.parametrize("p", [0.2, 0.7, 1.0])
def test_changes_occur_independently_with_their_probability(p: float) -> None:
    came = happened(drawn(p))
    rotation = 1 - sqrt(1 - p)
    special = {"flip": p / 2, "inversion": p / 2, "turn": 3 / 4 * p, "shift": p * (1 - 1 / 16),
               "rotation_before": rotation, "rotation_after": rotation}  # fmt: skip
    for kind in CHANGE_KINDS:  # within four standard deviations, and for shifts what rounding makes of the ends
        assert abs(came[kind].mean() - special.get(kind, p)) < 2 / sqrt(MANY) + 0.05 * (kind == "shift"), kind
    assert abs(torch.maximum(came["rotation_before"], came["rotation_after"]).mean() - p) < 2 / sqrt(MANY)
    table = torch.stack([came[kind] for kind in CHANGE_KINDS])
    if p < 1:
        assert (table.corrcoef() - torch.eye(len(CHANGE_KINDS))).abs().max() < 5 / sqrt(MANY)


def test_change_strengths_follow_the_paper() -> None:
    """Means and standard deviations of the draws, and that the four turns are equally likely."""
    changes = drawn(1.0)
    spread = {"brightness": 0.2, "move": 0.125 * 16, "shift": sqrt(16.5 / 12)}
    logarithms = {"scale": 0.2, "stretch": 0.2, "contrast": 0.5, "saturation": 1.0}
    angles = {kind: pi / sqrt(3) for kind in ("rotation_before", "rotation_after", "hue")}
    for kind, expected in {**spread, **logarithms, **angles}.items():
        values = changes[kind].log2() if kind in logarithms else changes[kind]
        assert abs(values.std() / expected - 1) < 0.05, kind
        assert abs(values.mean()) < 4 * expected / sqrt(MANY), kind
    assert (torch.bincount(changes["turn"].long(), minlength=4) / MANY - 0.25).abs().max() < 0.03
    assert changes["shift"].abs().max() == 2 and torch.equal(changes["shift"], changes["shift"].round())


@pytest.mark.parametrize("group", CHANGE_GROUPS)
def test_switch_disables_only_its_own_changes(group: str) -> None:
    all_of_them, without = drawn(0.6), drawn(0.6, AdaConfig(**{group: False}))
    for kind in CHANGE_KINDS:
        assert torch.equal(all_of_them[kind], without[kind]) is (kind not in CHANGE_GROUPS[group])
    assert not any(happened(without)[kind].any() for kind in CHANGE_GROUPS[group])


def test_augment_without_changes_is_identity() -> None:
    image = make_faces(0, 2, 16)
    none = AdaptiveAugment(AdaConfig(**dict.fromkeys(CHANGE_GROUPS, False)))
    assert torch.equal(none(image, make_draws(0, 2), "x", torch.tensor(1.0)), image)
