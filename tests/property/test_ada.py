"""Adaptive augmentation as a whole: what it promises of images, gradients, types and its own strength."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from support.augmentation import HALF, draw_only, image_sizes, make_draws
from zoogan.facts import Facts
from zoogan.layers.ada import AdaptiveAugment
from zoogan.layers.augment import DiffAugment, NoAugment
from zoogan.layers.config import AdaConfig, DiffAugmentConfig
from zoogan.losses.penalties import R1Penalty
from zoogan.testing.strategies import batches, make_faces, make_noise, seeds

chances = st.floats(0, 1)


# ---- what holds for all changes together ----


@pytest.mark.slow
@given(seeds, batches, image_sizes, chances, st.sampled_from([1, 3, 5]))
def test_augment_treats_images_independently_and_repeatably(
    seed: int, n: int, side: int, p: float, channels: int
) -> None:
    augment, image, chance = AdaptiveAugment(), make_noise(seed, n, channels, side, side), torch.tensor(p)
    one, again = (augment(image, make_draws(seed, n), "x", chance) for _ in range(2))
    assert one.shape == image.shape and one.dtype == image.dtype and torch.equal(one, again) and one.isfinite().all()
    for k in range(n):
        alone = augment(image[k : k + 1], make_draws(seed, n, slice(k, k + 1)), "x", chance)
        torch.testing.assert_close(alone, one[k : k + 1], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@given(seeds, image_sizes)
def test_augment_probability_zero_is_identity(seed: int, side: int) -> None:
    augment, image = AdaptiveAugment(), make_faces(seed, 2, side)
    same = augment(image, make_draws(seed, 2), "x", torch.tensor(0.0))
    torch.testing.assert_close(same, image, rtol=0, atol=1e-6)
    other = augment(image, make_draws(seed, 2), "x", torch.tensor(1.0))
    assert ((other - image).abs().amax((1, 2, 3)) > 0.1).all()
    assert not torch.equal(other, augment(image, make_draws(seed + 1, 2), "x", torch.tensor(1.0)))


@given(seeds)
def test_augment_gradient_reaches_only_its_own_image(seed: int) -> None:
    image = make_faces(seed, 3, 16).requires_grad_()
    output = AdaptiveAugment()(image, make_draws(seed, 3), "x", torch.tensor(0.8))
    (gradient,) = torch.autograd.grad(output[1].square().sum(), image)
    assert not gradient[[0, 2]].any() and gradient[1].any() and gradient.isfinite().all()


@given(seeds, chances)
def test_geometry_keeps_a_constant_image_constant(seed: int, p: float) -> None:
    """Nothing dark comes in from outside."""
    output = AdaptiveAugment(AdaConfig(color=False))(
        torch.full((3, 2, 9, 9), 0.7), make_draws(seed, 3), "x", torch.tensor(p)
    )
    torch.testing.assert_close(output, torch.full_like(output, 0.7), rtol=0, atol=1e-4)


@given(seeds)
def test_extra_channels_follow_geometry_without_recolouring(seed: int) -> None:
    p, image = torch.tensor(0.9), make_faces(seed, 2, 16)
    both = AdaptiveAugment()(torch.cat([image, image], 1), make_draws(seed, 2), "x", p)
    moved = AdaptiveAugment(AdaConfig(color=False))(image, make_draws(seed, 2), "x", p)
    torch.testing.assert_close(both[:, 3:], moved, rtol=0, atol=1e-4)
    torch.testing.assert_close(both[:, :3], AdaptiveAugment()(image, make_draws(seed, 2), "x", p), rtol=0, atol=1e-4)
    behind = DiffAugment(DiffAugmentConfig(translation=0, cutout=0))(
        torch.cat([image, image], 1), make_draws(seed, 2), "x"
    )
    assert torch.equal(behind[:, 3:], image) and not torch.equal(behind[:, :3], image)


@given(seeds)
def test_extra_channels_of_grey_images_are_not_coloured(seed: int) -> None:
    """A picture of one channel with a segmentation: as if nothing lay behind it, hue and saturation of no effect."""
    image, facts = make_noise(seed, 2, 3, 16, 16), Facts(image_size=16, channels=1)
    for augment in (
        AdaptiveAugment(AdaConfig(flip=False, turn=False, shift=False, geometry=False, fixed=0.9), facts),
        DiffAugment(DiffAugmentConfig(translation=0, cutout=0), facts),
    ):
        both = augment(image, make_draws(seed, 2), "x")
        assert torch.equal(both[:, 1:], image[:, 1:])
        torch.testing.assert_close(both[:, :1], augment(image[:, :1], make_draws(seed, 2), "x"), rtol=0, atol=1e-6)
    ada = AdaptiveAugment(facts=facts)
    still = ada(image[:1], draw_only("hue", "saturation", hue=0.3, saturation=1.5), "x", HALF)
    torch.testing.assert_close(still, image[:1], rtol=0, atol=1e-6)


# ---- derivatives ----


@pytest.mark.slow
@given(seeds)
@settings(max_examples=5)
def test_augment_pipeline_is_twice_differentiable(seed: int) -> None:
    image, p = make_noise(seed, 2, 3, 8, 8).double().requires_grad_(), torch.tensor(0.8)

    def squared(x: Tensor) -> Tensor:
        return AdaptiveAugment()(x, make_draws(seed, 2), "x", p).square()

    assert torch.autograd.gradcheck(squared, image, fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, image, fast_mode=True)


@pytest.mark.parametrize("half", [False, True])
def test_r1_passes_augmentation_under_mixed_precision(half: bool) -> None:
    """R1 of the augmented reals, against the same with the augmentation's matrix written out."""
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 1))
    image, augment = make_noise(0, 1, 1, 8, 8), AdaptiveAugment(AdaConfig(color=False))

    def moved(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return augment(x, make_draws(2, len(x)), "x", torch.tensor(1.0))

    matrix = torch.autograd.functional.jacobian(moved, image).view(64, 64)
    gradients = []
    for scorer in (
        lambda x: discriminator(moved(x)),
        lambda x: discriminator((x.flatten(1) @ matrix.T).view(-1, 1, 8, 8)),
    ):
        discriminator.zero_grad()
        R1Penalty()(scorer, image, image, make_draws(0, 1)).backward()
        gradients.append([p.grad.clone() for p in discriminator.parameters() if p.grad is not None])
    assert gradients[0][0].abs().max() > 1e-4
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


# ---- devices and precision ----


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_augment_on_meta_device_keeps_shapes(channels: int) -> None:
    """On `meta` nothing can be read: so neither forward nor the penalty's two backwards make the host wait."""
    image = torch.empty(2, channels, 16, 16, device="meta", requires_grad=True)
    augment, p = AdaptiveAugment(), torch.empty((), device="meta")
    output = augment(image, make_draws(0, 2), "x", p)
    assert output.shape == image.shape and output.is_meta
    (gradient,) = torch.autograd.grad(output.square().sum(), image, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    assert second.shape == image.shape
    assert augment.adapt_probability(p, p, torch.empty((), dtype=torch.int64, device="meta")).shape == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_geometry_under_autocast_keeps_precision(dtype: torch.dtype) -> None:
    """The output has the images' type; autocast changes nothing."""
    image, p = make_faces(0, 2, 16), torch.tensor(0.9)
    augment = AdaptiveAugment()
    full = augment(image, make_draws(3, 2), "x", p)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(image, make_draws(3, 2), "x", p), full)
        other = augment(image.to(dtype), make_draws(3, 2), "x", p)
    assert other.dtype == dtype
    coarse = augment(image.to(dtype).float(), make_draws(3, 2), "x", p).to(dtype)
    torch.testing.assert_close(other, coarse, rtol=0.01, atol=1e-4)


# ---- adaptation ----

trusts, counts = st.floats(-1, 1), st.integers(1, 10_000)


@given(chances, trusts, counts, st.floats(-1, 1), st.sampled_from([1000, 500_000]))
def test_probability_follows_real_signs_at_documented_speed(
    p: float, trust: float, seen: int, target: float, speed: int
) -> None:
    augment = AdaptiveAugment(AdaConfig(target=target, images=speed))
    after = augment.adapt_probability(*(torch.tensor(v, dtype=torch.float64) for v in (p, trust)), torch.tensor(seen))
    way = (trust > target) - (trust < target)
    assert after.shape == () and after.dtype == torch.float64
    assert float(after) == pytest.approx(min(1.0, max(0.0, p + way * seen / speed)))


def test_probability_reaches_one_after_configured_images() -> None:
    augment, p = AdaptiveAugment(AdaConfig(images=640)), torch.tensor(0.0)
    for step in range(11):
        assert float(p) == pytest.approx(min(1, step / 10), abs=1e-6)
        p = augment.adapt_probability(p, torch.tensor(0.9), torch.tensor(64))
    assert torch.equal(augment.adapt_probability(HALF, torch.tensor(float("nan")), torch.tensor(64)), HALF)


def test_probability_source_depends_on_config() -> None:
    """The game's if it adapts, else `start`; `fixed` wins over both, and never adapts."""
    image = make_faces(0, 2, 16)

    def shown(p: Tensor | None, **options: Any) -> Tensor:
        return AdaptiveAugment(AdaConfig(**options))(image, make_draws(1, 2), "x", p)

    torch.testing.assert_close(shown(None), image, rtol=0, atol=1e-6)
    assert torch.equal(shown(None, start=0.7), shown(torch.tensor(0.7)))
    assert torch.equal(shown(HALF, start=0.7), shown(HALF))
    assert torch.equal(shown(torch.tensor(0.0), fixed=0.7, start=0.1), shown(torch.tensor(0.7)))
    assert (AdaptiveAugment().every, AdaptiveAugment(AdaConfig(every=8, start=0.3)).start) == (4, 0.3)
    still = AdaptiveAugment(AdaConfig(fixed=0.7))
    assert (still.every, still.start) == (0, 0.7)
    for augment in (still, NoAugment(), DiffAugment()):
        assert augment.adapt_probability(HALF, torch.tensor(1.0), torch.tensor(10**6)) is HALF
    assert (NoAugment().every, DiffAugment().every, DiffAugment().start) == (0, 0, 0.0)
    assert torch.equal(DiffAugment()(image, make_draws(1, 2), "x", HALF), DiffAugment()(image, make_draws(1, 2), "x"))
    assert NoAugment()(image, make_draws(1, 2), "x", HALF) is image
