"""Convolutions that a latent scales: two ways to compute one function, and what must hold for it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_synthesis_layers import ROOT, agree, leaky, plain_filter, random, real, twice_differentiable
from torch import Tensor
from torch.nn import functional as F

from zoogan.layers.modulated_conv import ModulatedConv2d, StyledConv2d, ToRGB, compute_demodulation, modulated_conv2d
from zoogan.testing.strategies import seeds

batches = st.integers(1, 4)
kernels = st.sampled_from([1, 3])
widths = st.integers(1, 5)
gains = st.sampled_from([1.0, ROOT])
STYLE = 4


def plain(x: Tensor, weight: Tensor, scale: Tensor, demodulate: bool, up: bool, gain: float) -> Tensor:
    """Image by image, as the paper draws it: modulate, demodulate, convolve (StyleGAN2, equations 1 to 3)."""
    made = []
    for image, own in zip(x, scale):
        each = weight * own[None, :, None, None]
        if demodulate:
            each = each / (each.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            y = F.conv_transpose2d(image[None], each.transpose(0, 1), stride=2)
            made.append(4 * plain_filter(y, 1, 1, 1, 1))
        else:
            made.append(F.conv2d(image[None], each, padding=weight.shape[2] // 2))
    return gain * torch.cat(made)


def example(seed: int, n: int, i: int, o: int, kernel: int, side: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    return real(seed, n, i, side, side), real(seed + 1, o, i, kernel, kernel), real(seed + 2, n, i)


@given(
    seed=seeds, n=batches, i=widths, o=widths, kernel=kernels, demodulate=st.booleans(), up=st.booleans(), gain=gains
)
def test_modulated_conv_forms_equal_paper_formula(
    seed: int, n: int, i: int, o: int, kernel: int, demodulate: bool, up: bool, gain: float
) -> None:
    x, weight, scale = example(seed, n, i, o, kernel)
    before = x.clone()
    wanted = plain(x, weight, scale, demodulate, up, gain)
    for form in ("scaled", "grouped"):
        found = modulated_conv2d(x, weight, scale, demodulate=demodulate, up=up, gain=gain, form=form)  # type: ignore
        agree(found, wanted)
        if kernel == 3:
            assert found.shape == (n, o, *[8 if up else 4] * 2)
    assert torch.equal(x, before)


@given(seed=seeds, n=batches, i=widths, o=widths, kernel=kernels)
def test_demodulated_weights_have_unit_norm(seed: int, n: int, i: int, o: int, kernel: int) -> None:
    _, weight, scale = example(seed, n, i, o, kernel)
    each = weight * scale[:, None, :, None, None] * compute_demodulation(weight, scale)[:, :, None, None, None]
    torch.testing.assert_close(
        each.square().sum((2, 3, 4)), torch.ones(n, o, dtype=torch.float64), rtol=1e-4, atol=1e-4
    )


@given(seed=seeds, n=batches, kernel=kernels, up=st.booleans(), factor=st.floats(0.5, 20))
def test_demodulation_ignores_style_scale(seed: int, n: int, kernel: int, up: bool, factor: float) -> None:
    x, weight, scale = example(seed, n, 3, 2, kernel)
    one, other = (modulated_conv2d(x, weight, f * scale, up=up) for f in (1.0, factor))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    free = [modulated_conv2d(x, weight, f * scale, up=up, demodulate=False) for f in (1.0, factor)]
    agree(free[1], factor * free[0])


@given(seed=seeds, kernel=kernels, up=st.booleans(), order=st.permutations(range(3)))
def test_modulated_conv_uses_weights_per_image(seed: int, kernel: int, up: bool, order: list[int]) -> None:
    x, weight, scale = example(seed, 3, 3, 2, kernel)
    whole = modulated_conv2d(x, weight, scale, up=up)
    agree(modulated_conv2d(x[order], weight, scale[order], up=up), whole[order])
    agree(modulated_conv2d(x[:1], weight, scale[:1], up=up), whole[:1])


@given(seed=seeds, n=batches, affine=st.sampled_from(["equalised", "delta"]), kernel=kernels, up=st.booleans())
def test_style_scales_are_affine_in_latent(seed: int, n: int, affine: str, kernel: int, up: bool) -> None:
    layer = random(ModulatedConv2d(3, 2, kernel, STYLE, affine=affine, up=up, gain=2.0), seed)  # type: ignore[arg-type]
    assert isinstance(layer, ModulatedConv2d)
    x, latent, inner = real(seed + 9, n, 3, 4, 4), real(seed + 10, n, STYLE), layer.affine
    assert inner.weight.shape == (3, STYLE)
    if affine == "equalised":
        scale = (latent @ inner.weight.T / math.sqrt(STYLE) + inner.bias) / math.sqrt(3 * kernel**2)  # type: ignore
    else:
        scale = 1 + latent @ inner.weight.T + inner.bias  # type: ignore[operator]
    agree(layer.compute_scale(latent), scale)
    agree(layer(x, latent), plain(x, layer.weight, scale, True, up, 2.0))


def test_fresh_layer_scales_by_about_one() -> None:
    torch.manual_seed(0)
    latent = torch.zeros(1, STYLE)
    equalised = ModulatedConv2d(3, 2, 3, STYLE)
    torch.testing.assert_close(equalised.compute_scale(latent), torch.full((1, 3), 27**-0.5))
    delta = ModulatedConv2d(3, 2, 3, STYLE, affine="delta")
    torch.testing.assert_close(delta.compute_scale(latent), 1 + delta.affine.bias[None])  # type: ignore[union-attr, index]


@given(seed=seeds, n=batches, up=st.booleans(), rows=st.sampled_from(["each", "one", "none"]))
def test_styled_conv_equals_hand_computation(seed: int, n: int, up: bool, rows: str) -> None:
    layer = random(StyledConv2d(3, 2, STYLE, up=up), seed)
    assert isinstance(layer, StyledConv2d) and layer.strength is not None
    x, latent, side = real(seed + 9, n, 3, 4, 4), real(seed + 10, n, STYLE), 8 if up else 4
    noise = None if rows == "none" else real(seed + 11, n if rows == "each" else 1, 1, side, side)
    y = plain(x, layer.conv.weight, layer.conv.compute_scale(latent), True, up, 1.0) + layer.bias[None, :, None, None]
    y = y if noise is None else y + layer.strength * noise
    agree(layer(x, latent, noise), leaky(y))
    with torch.no_grad():
        layer.strength.zero_()
    agree(layer(x, latent, noise), layer(x, latent))


@given(seed=seeds, n=batches, channels=st.sampled_from([1, 3]))
def test_to_rgb_equals_hand_computation(seed: int, n: int, channels: int) -> None:
    layer = random(ToRGB(3, channels, STYLE), seed)
    assert isinstance(layer, ToRGB)
    x, latent, skip = real(seed + 9, n, 3, 4, 4), real(seed + 10, n, STYLE), real(seed + 11, n, channels, 2, 2)
    alone = (
        plain(x, layer.conv.weight, layer.conv.compute_scale(latent), False, False, 1.0)
        + layer.bias[None, :, None, None]
    )
    agree(layer(x, latent), alone)
    agree(layer(x, latent, skip), alone + plain_filter(skip, 2, 1, 2, 1))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["scaled", "grouped"])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_is_twice_differentiable(form: str, up: bool, demodulate: bool) -> None:
    x, weight, scale = example(0, 2, 2, 1, 3, side=2)
    options = {"form": form, "up": up, "demodulate": demodulate}
    assert twice_differentiable(lambda *a: modulated_conv2d(*a, **options), x, weight, scale)  # type: ignore[arg-type]


@pytest.mark.slow
def test_blocks_are_twice_differentiable() -> None:
    """In what comes in, and in every parameter."""
    x, latent, skip = real(1, 1, 2, 2, 2), real(2, 1, 2), real(3, 1, 1, 1, 1)
    for block, more in (
        (StyledConv2d(2, 1, 2), real(4, 1, 1, 2, 2)), (StyledConv2d(2, 1, 2, up=True), real(5, 1, 1, 4, 4)),
        (ToRGB(2, 1, 2), skip),
    ):  # fmt: skip
        module = random(block, 6)
        names = [name for name, _ in module.named_parameters()]

        def function(x, latent, more, *values, module=module, names=names):  # type: ignore[no-untyped-def]
            return torch.func.functional_call(module, dict(zip(names, values)), (x, latent, more))

        assert twice_differentiable(function, x, latent, more, *module.parameters())
