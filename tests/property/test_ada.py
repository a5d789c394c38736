"""Adaptive augmentation against the paper's definitions, written out by hand, and against what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi, sin, sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan.interfaces import Draws, World
from zoogan.layers.ada import GROUPS, KINDS, NORMAL, UNIFORM, AdaptiveAugment
from zoogan.layers.augment import DiffAugment, NoAugment
from zoogan.layers.config import AdaConfig, DiffAugmentConfig
from zoogan.layers.warp import CENTRE, SYM6, Sampled, mirrored, plain, warped
from zoogan.losses.penalties import R1
from zoogan.testing.strategies import batches, faces, noise, seeds

HALF = torch.tensor(0.5)
sides = st.sampled_from([8, 16, 21])
chances = st.floats(0, 1)


def draws(seed: int, n: int, part: slice = slice(None), **injected: Tensor) -> Draws:
    return Draws(seed, World.alone(), n, part, {f"x.{name}": tensor for name, tensor in injected.items()})


def only(*kinds: str, n: int = 1, **values: float) -> Draws:
    """Draws by which, at p = 1/2, each image gets these changes and no other, from these numbers."""
    whether = [[0.0 if kind in kinds else 0.9 for kind in KINDS]] * n
    even, normal = ([[values.get(name, 0.0) for name in names]] * n for names in (UNIFORM, NORMAL))
    assert set(values) <= {*UNIFORM, *NORMAL}
    return draws(0, n, whether=torch.tensor(whether), uniform=torch.tensor(even), normal=torch.tensor(normal))


def waves(x: Tensor, y: Tensor) -> Tensor:
    """Three smooth pictures as functions of a place in pixels from the middle."""
    kx, ky = torch.tensor([0.9, 0.2, -0.5]), torch.tensor([0.1, -0.8, 0.6])
    return torch.cos(kx[:, None, None] * x + ky[:, None, None] * y + 1)


def middle(side: int) -> tuple[Tensor, Tensor]:
    """Across and down of each pixel, from the middle."""
    place = torch.arange(side) - (side - 1) / 2
    return place.expand(side, side), place[:, None].expand(side, side)


# ---- the filter ----


def test_the_filter_is_the_wavelet_it_says() -> None:
    """Sum, orthonormality to even shifts, and six vanishing moments of the high-pass mirror."""
    h = torch.tensor(SYM6, dtype=torch.float64)
    assert abs(h.sum() - sqrt(2)) < 1e-10
    for shift in range(6):
        assert abs(h[2 * shift :] @ h[: 12 - 2 * shift] - float(shift == 0)) < 1e-10
    k = torch.arange(12, dtype=torch.float64)
    mirror = (-1.0) ** k * h
    assert all(abs((mirror * (k / 12) ** power).sum()) < 1e-10 for power in range(6))
    assert abs((mirror * (k / 12) ** 6).sum()) > 1e-4, "no seventh"
    assert abs(CENTRE - 5.5) < 0.5, "the least asymmetric of its family"


@given(st.integers(1, 9), st.floats(-50, 50))
def test_mirrored_is_reflection_for_ever(side: int, place: float) -> None:
    last = side - 1
    expected = place
    while last and not 0 <= expected <= last:
        expected = -expected if expected < 0 else 2 * last - expected
    assert float(mirrored(torch.tensor(place), side)) == pytest.approx(expected if last else 0, abs=1e-4)


# ---- what holds for all changes together ----


@given(seeds, batches, sides, chances, st.sampled_from([1, 3, 5]))
def test_each_image_is_augmented_alone_and_repeatably(seed: int, n: int, side: int, p: float, channels: int) -> None:
    augment, image, chance = AdaptiveAugment(), noise(seed, n, channels, side, side), torch.tensor(p)
    one, again = (augment(image, draws(seed, n), "x", chance) for _ in range(2))
    assert one.shape == image.shape and one.dtype == image.dtype and torch.equal(one, again) and one.isfinite().all()
    for k in range(n):
        alone = augment(image[k : k + 1], draws(seed, n, slice(k, k + 1)), "x", chance)
        torch.testing.assert_close(alone, one[k : k + 1], rtol=1e-4, atol=1e-4)


@given(seeds, sides)
def test_p_0_gives_the_images_back_and_p_1_does_not(seed: int, side: int) -> None:
    augment, image = AdaptiveAugment(), faces(seed, 2, side)
    same = augment(image, draws(seed, 2), "x", torch.tensor(0.0))
    torch.testing.assert_close(same, image, rtol=0, atol=1e-6)
    other = augment(image, draws(seed, 2), "x", torch.tensor(1.0))
    assert ((other - image).abs().amax((1, 2, 3)) > 0.1).all()
    assert not torch.equal(other, augment(image, draws(seed + 1, 2), "x", torch.tensor(1.0)))


@given(seeds)
def test_the_gradient_reaches_its_own_image_only(seed: int) -> None:
    image = faces(seed, 3, 16).requires_grad_()
    output = AdaptiveAugment()(image, draws(seed, 3), "x", torch.tensor(0.8))
    (gradient,) = torch.autograd.grad(output[1].square().sum(), image)
    assert not gradient[[0, 2]].any() and gradient[1].any() and gradient.isfinite().all()


@given(seeds, chances)
def test_a_constant_stays_constant_wherever_it_is_moved(seed: int, p: float) -> None:
    """Nothing dark comes in from outside."""
    output = AdaptiveAugment(AdaConfig(color=False))(
        torch.full((3, 2, 9, 9), 0.7), draws(seed, 3), "x", torch.tensor(p)
    )
    torch.testing.assert_close(output, torch.full_like(output, 0.7), rtol=0, atol=1e-4)


@given(seeds)
def test_further_channels_move_with_the_picture_and_keep_their_values(seed: int) -> None:
    p, image = torch.tensor(0.9), faces(seed, 2, 16)
    both = AdaptiveAugment()(torch.cat([image, image], 1), draws(seed, 2), "x", p)
    moved = AdaptiveAugment(AdaConfig(color=False))(image, draws(seed, 2), "x", p)
    torch.testing.assert_close(both[:, 3:], moved, rtol=0, atol=1e-4)
    torch.testing.assert_close(both[:, :3], AdaptiveAugment()(image, draws(seed, 2), "x", p), rtol=0, atol=1e-4)
    behind = DiffAugment(DiffAugmentConfig(translation=0, cutout=0))(torch.cat([image, image], 1), draws(seed, 2), "x")
    assert torch.equal(behind[:, 3:], image) and not torch.equal(behind[:, :3], image)


@given(seeds)
def test_behind_a_grey_picture_no_channel_is_coloured(seed: int) -> None:
    """A picture of one channel with a segmentation: as if nothing lay behind it, hue and saturation of no effect."""
    image, facts = noise(seed, 2, 3, 16, 16), Facts(image_size=16, channels=1)
    for augment in (
        AdaptiveAugment(AdaConfig(flip=False, turn=False, shift=False, geometry=False, fixed=0.9), facts),
        DiffAugment(DiffAugmentConfig(translation=0, cutout=0), facts),
    ):
        both = augment(image, draws(seed, 2), "x")
        assert torch.equal(both[:, 1:], image[:, 1:])
        torch.testing.assert_close(both[:, :1], augment(image[:, :1], draws(seed, 2), "x"), rtol=0, atol=1e-6)
    ada = AdaptiveAugment(facts=facts)
    still = ada(image[:1], only("hue", "saturation", hue=0.3, saturation=1.5), "x", HALF)
    torch.testing.assert_close(still, image[:1], rtol=0, atol=1e-6)


# ---- geometry ----


@given(seeds, st.integers(0, 1), st.integers(0, 3), sides)
def test_flips_and_quarter_turns_are_torchs(seed: int, flip: int, turn: int, side: int) -> None:
    image = faces(seed, 1, side)
    draw = only("flip", "turn", flip=0.75 - flip / 2, turn=turn / 4 + 0.1)
    expected = (image.flip(3) if flip else image).rot90(turn, (2, 3))
    torch.testing.assert_close(AdaptiveAugment()(image, draw, "x", HALF), expected, rtol=0, atol=1e-6)


@given(seeds, st.floats(0, 0.999), st.floats(0, 0.999), sides)
def test_a_shift_is_a_move_by_whole_pixels_into_the_mirror(seed: int, across: float, down: float, side: int) -> None:
    image = faces(seed, 1, side)
    dx, dy = (round(float((torch.tensor(u) - 0.5) / 4 * side)) for u in (across, down))
    assert max(abs(dx), abs(dy)) <= round(side / 8)
    padded = F.pad(image, (4, 4, 4, 4), mode="reflect")
    expected = padded[..., 4 - dy : 4 - dy + side, 4 - dx : 4 - dx + side]
    shifted = AdaptiveAugment()(image, only("shift", shift_across=across, shift_down=down), "x", HALF)
    torch.testing.assert_close(shifted, expected, rtol=0, atol=2e-5)


def turn_by(angle: float) -> Tensor:
    return torch.tensor([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]], dtype=torch.float64)


def scale_by(x: float, y: float) -> Tensor:
    return torch.diag(torch.tensor([x, y, 1], dtype=torch.float64))


def move_by(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


normals, evens = st.floats(-2, 2), st.floats(0, 0.999)


@given(normals, normals, evens, evens, st.tuples(normals, normals), st.tuples(evens, evens))
def test_geometry_is_the_papers_product_of_matrices(
    scale: float, stretch: float, before: float, after: float, move: tuple[float, float], shift: tuple[float, float]
) -> None:
    """On a ramp, which every step of the resampling keeps exactly, and on waves, which it keeps nearly."""
    side = 48
    values = dict(zip(("move_across", "move_down", "shift_across", "shift_down"), (*move, *shift)))
    draw = only("shift", *GROUPS["geometry"], n=1, scale=scale, stretch=stretch, rotation_before=before,
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
def test_resampling_is_true_to_smooth_pictures(turn: float, across: float, down: float) -> None:
    """Waves of 7 pixels, rotated and moved by parts of pixels: what is lost is small, and nothing is displaced."""
    x, y = middle(32)
    draw = only("rotation_before", "move", rotation_before=turn, move_across=across, move_down=down)
    output = AdaptiveAugment()(waves(x, y)[None], draw, "x", HALF)[0]
    angle, dx, dy = pi * (2 * turn - 1), 4 * across, 4 * down
    u = cos(angle) * (x - dx) + sin(angle) * (y - dy)
    v = -sin(angle) * (x - dx) + cos(angle) * (y - dy)
    inside = torch.maximum(u.abs(), v.abs()) < 9
    assert (output - waves(u, v))[:, inside].abs().max() < 0.1


@given(seeds, st.integers(-2, 2), st.integers(-2, 2))
def test_far_beyond_the_border_the_picture_repeats_mirrored(seed: int, across: int, down: int) -> None:
    side = 24
    image = faces(seed, 1, side)
    period = 2.0 * (side - 1) * torch.tensor([[across, down]])
    moved = warped(image, torch.eye(2)[None], period)
    torch.testing.assert_close(moved[..., 6:-6, 6:-6], image[..., 6:-6, 6:-6], rtol=0, atol=1e-3)


def test_only_squares_turn() -> None:
    image = faces(0, 1, 16)[..., :12]
    with pytest.raises(ValueError, match=r"must be square; got 16 x 12"):
        AdaptiveAugment()(image, draws(0, 1), "x", HALF)
    assert AdaptiveAugment(AdaConfig(turn=False))(image, draws(0, 1), "x", torch.tensor(1.0)).shape == image.shape


# ---- colour ----


@given(seeds, normals, normals, evens, evens, normals)
def test_colour_is_the_papers_product_of_matrices(
    seed: int, brightness: float, contrast: float, inversion: float, hue: float, saturation: float
) -> None:
    image = faces(seed, 1, 8)
    draw = only(*GROUPS["color"], brightness=brightness, contrast=contrast, inversion=inversion, hue=hue,
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
def test_hue_and_saturation_leave_grey_alone(hue: float, saturation: float) -> None:
    grey = noise(0, 1, 1, 8, 8).expand(1, 3, 8, 8)
    output = AdaptiveAugment()(grey, only("hue", "saturation", hue=hue, saturation=saturation), "x", HALF)
    torch.testing.assert_close(output, grey, rtol=1e-4, atol=1e-5)


# ---- how often, and how much ----

MANY = 4000


def drawn(p: float, config: AdaConfig | None = None, seed: int = 5) -> Mapping[str, Tensor]:
    image = torch.zeros(MANY, 1, 16, 16)
    return AdaptiveAugment(config).changes(image, draws(seed, MANY), "x", torch.tensor(p))._asdict()


NEUTRAL = {"scale": 1, "stretch": 1, "contrast": 1, "inversion": 1, "saturation": 1}


def happened(changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        kind: (value != NEUTRAL.get(kind, 0)).view(MANY, -1).any(1).float()
        for kind, value in ((k, changes[k]) for k in KINDS)
    }


@pytest.mark.parametrize("p", [0.2, 0.7, 1.0])
def test_each_change_comes_with_its_probability_and_independently(p: float) -> None:
    came = happened(drawn(p))
    rotation = 1 - sqrt(1 - p)
    special = {"flip": p / 2, "inversion": p / 2, "turn": 3 / 4 * p, "shift": p * (1 - 1 / 16),
               "rotation_before": rotation, "rotation_after": rotation}  # fmt: skip
    for kind in KINDS:  # within four standard deviations, and for shifts what rounding makes of the ends
        assert abs(came[kind].mean() - special.get(kind, p)) < 2 / sqrt(MANY) + 0.05 * (kind == "shift"), kind
    assert abs(torch.maximum(came["rotation_before"], came["rotation_after"]).mean() - p) < 2 / sqrt(MANY)
    table = torch.stack([came[kind] for kind in KINDS])
    if p < 1:
        assert (table.corrcoef() - torch.eye(len(KINDS))).abs().max() < 5 / sqrt(MANY)


def test_how_much_each_change_does() -> None:
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


@pytest.mark.parametrize("group", GROUPS)
def test_a_switch_takes_its_own_changes_away_and_no_other(group: str) -> None:
    all_of_them, without = drawn(0.6), drawn(0.6, AdaConfig(**{group: False}))
    for kind in KINDS:
        assert torch.equal(all_of_them[kind], without[kind]) is (kind not in GROUPS[group])
    assert not any(happened(without)[kind].any() for kind in GROUPS[group])


def test_without_any_change_the_images_pass() -> None:
    image = faces(0, 2, 16)
    none = AdaptiveAugment(AdaConfig(**dict.fromkeys(GROUPS, False)))
    assert torch.equal(none(image, draws(0, 2), "x", torch.tensor(1.0)), image)


# ---- derivatives ----


@given(seeds)
def test_sampling_and_its_first_gradient_are_torchs(seed: int) -> None:
    image, grid = noise(seed, 2, 3, 7, 5).requires_grad_(), noise(seed + 1, 2, 6, 4, 2) / 2
    twin, weight = image.detach().clone().requires_grad_(), noise(seed + 2, 2, 3, 6, 4)
    ours, torchs = Sampled.apply(image, grid), plain(twin, grid)
    assert torch.equal(ours, torchs)
    for output, leaf in ((ours, image), (torchs, twin)):
        (output.square() * weight).sum().backward()
        assert leaf.grad is not None
    torch.testing.assert_close(image.grad, twin.grad)


@given(seeds)
@settings(max_examples=3)
def test_sampling_has_the_derivatives_that_finite_differences_show(seed: int) -> None:
    image, grid = noise(seed, 1, 1, 5, 4).double().requires_grad_(), noise(seed + 1, 1, 3, 4, 2).double() / 2
    assert torch.autograd.gradcheck(lambda x: Sampled.apply(x, grid).square(), image)
    assert torch.autograd.gradgradcheck(lambda x: Sampled.apply(x, grid).square(), image)


@given(seeds)
@settings(max_examples=5)
def test_the_whole_pipe_is_twice_differentiable(seed: int) -> None:
    image, p = noise(seed, 2, 3, 8, 8).double().requires_grad_(), torch.tensor(0.8)

    def squared(x: Tensor) -> Tensor:
        return AdaptiveAugment()(x, draws(seed, 2), "x", p).square()

    assert torch.autograd.gradcheck(squared, image, fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, image, fast_mode=True)


@pytest.mark.parametrize("half", [False, True])
def test_r1_passes_through_to_the_critic_also_beside_half_precision(half: bool) -> None:
    """R1 of the augmented reals, against the same with the augmentation's matrix written out."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 1))
    image, augment = noise(0, 1, 1, 8, 8), AdaptiveAugment(AdaConfig(color=False))

    def moved(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return augment(x, draws(2, len(x)), "x", torch.tensor(1.0))

    matrix = torch.autograd.functional.jacobian(moved, image).view(64, 64)
    gradients = []
    for scorer in (lambda x: critic(moved(x)), lambda x: critic((x.flatten(1) @ matrix.T).view(-1, 1, 8, 8))):
        critic.zero_grad()
        R1()(scorer, image, image, draws(0, 1)).backward()
        gradients.append([p.grad.clone() for p in critic.parameters() if p.grad is not None])
    assert gradients[0][0].abs().max() > 1e-4
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


# ---- devices and precision ----


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_shapes_are_known_without_values(channels: int) -> None:
    """On `meta` nothing can be read: so neither forward nor the penalty's two backwards make the host wait."""
    image = torch.empty(2, channels, 16, 16, device="meta", requires_grad=True)
    augment, p = AdaptiveAugment(), torch.empty((), device="meta")
    output = augment(image, draws(0, 2), "x", p)
    assert output.shape == image.shape and output.is_meta
    (gradient,) = torch.autograd.grad(output.square().sum(), image, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    assert second.shape == image.shape
    assert augment.adapted(p, p, torch.empty((), dtype=torch.int64, device="meta")).shape == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_geometry_keeps_its_precision(dtype: torch.dtype) -> None:
    """The output has the images' type; autocast changes nothing."""
    image, p = faces(0, 2, 16), torch.tensor(0.9)
    augment = AdaptiveAugment()
    full = augment(image, draws(3, 2), "x", p)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(image, draws(3, 2), "x", p), full)
        other = augment(image.to(dtype), draws(3, 2), "x", p)
    assert other.dtype == dtype
    coarse = augment(image.to(dtype).float(), draws(3, 2), "x", p).to(dtype)
    torch.testing.assert_close(other, coarse, rtol=0.01, atol=1e-4)


# ---- adaptation ----

trusts, counts = st.floats(-1, 1), st.integers(1, 10_000)


@given(chances, trusts, counts, st.floats(-1, 1), st.sampled_from([1000, 500_000]))
def test_p_follows_trust_at_the_promised_speed(p: float, trust: float, seen: int, target: float, speed: int) -> None:
    augment = AdaptiveAugment(AdaConfig(target=target, images=speed))
    after = augment.adapted(*(torch.tensor(v, dtype=torch.float64) for v in (p, trust)), torch.tensor(seen))
    way = (trust > target) - (trust < target)
    assert after.shape == () and after.dtype == torch.float64
    assert float(after) == pytest.approx(min(1.0, max(0.0, p + way * seen / speed)))


def test_p_takes_the_named_number_of_images_from_0_to_1() -> None:
    augment, p = AdaptiveAugment(AdaConfig(images=640)), torch.tensor(0.0)
    for step in range(11):
        assert float(p) == pytest.approx(min(1, step / 10), abs=1e-6)
        p = augment.adapted(p, torch.tensor(0.9), torch.tensor(64))
    assert torch.equal(augment.adapted(HALF, torch.tensor(float("nan")), torch.tensor(64)), HALF)


def test_where_p_comes_from() -> None:
    """The game's if it adapts, else `start`; `fixed` wins over both, and never adapts."""
    image = faces(0, 2, 16)

    def shown(p: Tensor | None, **options: Any) -> Tensor:
        return AdaptiveAugment(AdaConfig(**options))(image, draws(1, 2), "x", p)

    torch.testing.assert_close(shown(None), image, rtol=0, atol=1e-6)
    assert torch.equal(shown(None, start=0.7), shown(torch.tensor(0.7)))
    assert torch.equal(shown(HALF, start=0.7), shown(HALF))
    assert torch.equal(shown(torch.tensor(0.0), fixed=0.7, start=0.1), shown(torch.tensor(0.7)))
    assert (AdaptiveAugment().every, AdaptiveAugment(AdaConfig(every=8, start=0.3)).start) == (4, 0.3)
    still = AdaptiveAugment(AdaConfig(fixed=0.7))
    assert (still.every, still.start) == (0, 0.7)
    for augment in (still, NoAugment(), DiffAugment()):
        assert augment.adapted(HALF, torch.tensor(1.0), torch.tensor(10**6)) is HALF
    assert (NoAugment().every, DiffAugment().every, DiffAugment().start) == (0, 0, 0.0)
    assert torch.equal(DiffAugment()(image, draws(1, 2), "x", HALF), DiffAugment()(image, draws(1, 2), "x"))
    assert NoAugment()(image, draws(1, 2), "x", HALF) is image
