"""Losses: identities that hold for all scores, and penalties against derivatives worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.interfaces import Clock, Draws, EditedImage, Shared, Turn, World
from zoogan.losses.adversarial import HingeLoss, LsganLoss, NonSaturatingLoss, WganLoss
from zoogan.losses.classification import BinaryClassification, SoftmaxClassification
from zoogan.losses.config import GradientPenaltyConfig, NoPenaltyConfig, R1Config, UnmaskedIdentityConfig
from zoogan.losses.penalties import GradientPenalty, NoPenalty, R1Penalty
from zoogan.losses.reconstruction import l1_loss
from zoogan.losses.terms import MaskArea, MaskVariation, UnmaskedIdentity
from zoogan.testing.strategies import batches, make_faces, make_labels, make_noise, seeds

LOSSES = [WganLoss, NonSaturatingLoss, HingeLoss, LsganLoss]
maps = st.tuples(batches, st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))


def draws(seed: int, rows: int, **injected: Tensor) -> Draws:
    return Draws(seed, World.make_single(), rows, slice(None), injected)


def turn() -> Turn:
    """A turn of which nothing is read."""
    return Turn({}, {}, {}, Shared(), Clock(0, 1), World.make_single(), draws(0, 1))


def discriminator(seed: int, channels: int = 3) -> Callable[[Tensor], Tensor]:
    """A smooth, nonlinear scorer (n, 3, h, w) -> (n, 1, h, w) in double precision."""
    weight = make_noise(seed, 4, channels, 3, 3).double()
    return lambda image: torch.nn.functional.conv2d(image, weight, padding=1).tanh().sum(1, keepdim=True)


# ---- adversarial ----


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=seeds, shape=maps)
def test_adversarial_losses_are_means_over_scores(loss: type, seed: int, shape: tuple[int, ...]) -> None:
    """A map counts as its scores do, in any order and shape; every cost is 0-d."""
    real, fake = make_noise(seed, *shape), make_noise(seed + 1, *shape)
    costs = (*loss().discriminator_loss(real, fake), loss().generator_loss(fake))
    flat = (
        *loss().discriminator_loss(real.flatten().flip(0), fake.flatten()),
        loss().generator_loss(fake.flatten().flip(0)),
    )
    for one, other in zip(costs, flat):
        assert one.shape == ()
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=seeds)
def test_adversarial_losses_have_correct_gradient_signs(loss: type, seed: int) -> None:
    real, fake = (make_noise(seed + k, 2, 1, 2, 2).clamp(-0.9, 0.9).requires_grad_() for k in (0, 1))
    if loss is LsganLoss:  # pulls to a value, not in a direction: below 1 and above 0 the direction is the same
        fake = (fake.detach().abs() + 0.05).clamp(max=0.9).requires_grad_()
    on_real, on_fake = loss().discriminator_loss(real, fake)
    (up,) = torch.autograd.grad(on_real, real)
    (down,) = torch.autograd.grad(on_fake, fake)
    (fooled,) = torch.autograd.grad(loss().generator_loss(fake), fake)
    assert (up < 0).all() and (down > 0).all() and (fooled < 0).all()


@given(score=st.floats(-200, 200))
def test_non_saturating_equals_stable_cross_entropy(score: float) -> None:
    value = torch.tensor([score], dtype=torch.float64)
    real, fake = NonSaturatingLoss().discriminator_loss(value, value)
    assert math.isfinite(real) and math.isfinite(fake)
    # softplus(x) - softplus(-x) = x, and -log sigmoid(x) = softplus(-x)
    assert float(fake - real) == pytest.approx(score, abs=1e-9)
    assert float(NonSaturatingLoss().generator_loss(value)) == pytest.approx(
        float(-torch.nn.functional.logsigmoid(value))
    )


@given(seed=seeds, shift=st.floats(-5, 5))
def test_wgan_loss_ignores_constant_offset(seed: int, shift: float) -> None:
    real, fake = make_noise(seed, 3, 1, 2, 2).double(), make_noise(seed + 1, 3, 1, 2, 2).double()
    plain, moved = WganLoss().discriminator_loss(real, fake), WganLoss().discriminator_loss(real + shift, fake + shift)
    torch.testing.assert_close(sum(plain), sum(moved))


@given(seed=seeds)
def test_hinge_ignores_scores_beyond_margin(seed: int) -> None:
    beyond = 1 + make_noise(seed, 2, 1, 2, 2).abs()
    assert [float(cost) for cost in HingeLoss().discriminator_loss(beyond, -beyond)] == [0.0, 0.0]


def test_lsgan_is_zero_at_its_labels() -> None:
    one, zero = torch.ones(2, 1), torch.zeros(2, 1)
    assert [float(c) for c in LsganLoss().discriminator_loss(one, zero)] == [0.0, 0.0]
    assert float(LsganLoss().generator_loss(zero)) == 0.5


# ---- penalties ----


@given(seed=seeds, slope=st.floats(0.01, 3), n=batches)
def test_gradient_penalty_of_linear_network_is_exact(seed: int, slope: float, n: int) -> None:
    """Each of 4 patches scores slope * sum of pixels: the summed map's gradient is 4 * slope everywhere."""
    image = make_faces(seed, n, 16).double()
    score = lambda x: (slope * x.sum((1, 2, 3), keepdim=True)).expand(-1, 1, 2, 2)  # noqa: E731
    got = GradientPenalty()(score, image, -image, draws(seed, n))
    norm = 4 * slope * math.sqrt(3 * 16 * 16)
    assert float(got) == pytest.approx((norm - 1) ** 2, rel=1e-6)


@given(seed=seeds, n=batches)
def test_gradient_penalty_interpolates_by_alpha(seed: int, n: int) -> None:
    """alpha 1 is at the real image, alpha 0 at the fake one; between, against autograd image by image."""
    score, real, fake = discriminator(seed), make_faces(seed, n, 16).double(), make_faces(seed + 1, n, 16).double()
    for value in (0.0, 0.3, 1.0):
        alpha = torch.full((n, 1, 1, 1), value, dtype=torch.float64)
        got = GradientPenalty()(score, real, fake, draws(0, n, alpha=alpha))
        expected = []
        for k in range(n):
            mix = (value * real[k : k + 1] + (1 - value) * fake[k : k + 1]).requires_grad_()
            (gradient,) = torch.autograd.grad(score(mix).sum(), mix)
            expected.append((gradient.square().sum().sqrt() - 1) ** 2)
        torch.testing.assert_close(got, torch.stack(expected).mean())


@given(seed=seeds, n=batches)
def test_r1_equals_half_squared_gradient_of_mean_map(seed: int, n: int) -> None:
    score, real = discriminator(seed), make_faces(seed, n, 16).double()
    got = R1Penalty()(score, real, torch.full_like(real, torch.nan), draws(0, n))  # fake is not looked at
    expected = []
    for k in range(n):
        image = real[k : k + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(image).mean(), image)
        expected.append(gradient.square().sum() / 2)
    torch.testing.assert_close(got, torch.stack(expected).mean())


@pytest.mark.parametrize("penalty", [GradientPenalty, R1Penalty])
@given(seed=seeds)
def test_penalties_have_discriminator_gradients(penalty: type, seed: int) -> None:
    """Twice differentiable: the discriminator's own weights get a gradient, the images none."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 1, 3))
    real, fake = make_faces(seed, 2, 16), make_faces(seed + 1, 2, 16)
    penalty()(network, real, fake, draws(seed, 2)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in list(network.parameters())[:1])
    assert not real.requires_grad and not fake.requires_grad


@pytest.mark.parametrize("penalty", [GradientPenalty, R1Penalty, NoPenalty])
def test_penalties_run_on_meta_device(penalty: type) -> None:
    with torch.device("meta"):
        network, image = torch.nn.Conv2d(3, 1, 3), torch.zeros(4, 3, 16, 16)
    value = penalty()(network, image, image, draws(0, 4))
    assert value.shape == () and value.is_meta


def test_penalty_weight_and_interval_follow_config() -> None:
    assert (GradientPenalty().weight, GradientPenalty().every) == (10.0, 1)
    lazy = R1Penalty(R1Config(weight=0.2))
    assert (lazy.weight, lazy.every) == (0.2, 16)
    assert NoPenalty(NoPenaltyConfig()).weight == 0
    assert GradientPenalty(GradientPenaltyConfig(weight=3, every=2)).every == 2


# ---- classification, reconstruction, terms ----


@given(seed=seeds, n=batches, a=st.integers(1, 6))
def test_binary_classification_sums_over_attributes(seed: int, n: int, a: int) -> None:
    logits, wanted = make_noise(seed, n, a).double(), make_labels(seed, n, a).double()
    probability = logits.sigmoid()
    by_hand = -(wanted * probability.log() + (1 - wanted) * (1 - probability).log()).sum(1).mean()
    torch.testing.assert_close(BinaryClassification()(logits, wanted), by_hand)
    torch.testing.assert_close(BinaryClassification()(-logits, 1 - wanted), by_hand)  # neither value is special


@given(seed=seeds, n=batches, a=st.integers(2, 6))
def test_softmax_classification_uses_set_label(seed: int, n: int, a: int) -> None:
    logits = make_noise(seed, n, a).double()
    index = (make_noise(seed, n).abs() * 7).long() % a
    wanted = torch.nn.functional.one_hot(index, a).double()
    by_hand = (logits.exp().sum(1).log() - (logits * wanted).sum(1)).mean()
    torch.testing.assert_close(SoftmaxClassification()(logits, wanted), by_hand)


@pytest.mark.slow
@given(seed=seeds, n=batches, a=st.integers(2, 6))
def test_predicted_labels_match_training_form(seed: int, n: int, a: int) -> None:
    index = (make_noise(seed, n).abs() * 7).long() % a
    one_hot = torch.nn.functional.one_hot(index, a).double()
    several = make_labels(seed, n, a).double()
    shift = 10 * make_noise(seed + 1, n, 1).double()  # alike for every attribute: a softmax does not see it
    assert torch.equal(SoftmaxClassification().predict_labels(one_hot + shift), one_hot)
    assert torch.equal(BinaryClassification().predict_labels(several - 0.5), several)


@given(seed=seeds, scale=st.floats(0, 4))
def test_l1_loss_is_a_distance(seed: int, scale: float) -> None:
    one, other = make_faces(seed, 2, 16).double(), make_faces(seed + 1, 2, 16).double()
    assert float(l1_loss(one, one)) == 0
    torch.testing.assert_close(l1_loss(one, other), l1_loss(other, one))
    torch.testing.assert_close(l1_loss(scale * one, scale * other), scale * l1_loss(one, other))


@given(seed=seeds)
def test_mask_terms_equal_hand_computation(seed: int) -> None:
    image, mask = make_faces(seed, 2, 16), make_noise(seed, 2, 1, 16, 16).sigmoid()
    values = {"image": image, "edited": EditedImage(image, mask, image), "identity": EditedImage(image, mask, -image)}
    assert float(MaskArea()(turn(), values)) == pytest.approx(float(mask.mean()))
    flat = values | {"edited": EditedImage(image, torch.full_like(mask, 0.3), image)}
    assert float(MaskVariation()(turn(), flat)) == 0 < float(MaskVariation()(turn(), values))
    turned = values | {"edited": EditedImage(image, mask.transpose(2, 3), image)}
    torch.testing.assert_close(MaskVariation()(turn(), values), MaskVariation()(turn(), turned))
    assert float(UnmaskedIdentity()(turn(), values)) == pytest.approx(float(2 * image.abs().mean()))


def test_terms_name_themselves_in_errors() -> None:
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"'mask_area'.*mask"):
        MaskArea()(turn(), {"edited": EditedImage(image)})
    with pytest.raises(ValueError, match=r"'unmasked_identity'.*weights\.identity"):
        UnmaskedIdentity(UnmaskedIdentityConfig())(turn(), {"image": image, "identity": None})
