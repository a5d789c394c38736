"""Synthesis layers without modulation: equalized layers, FIR filters, the residual discriminator."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from zoogan.layers.equalized import EqualizedConv2d, EqualizedLinear
from zoogan.layers.fir import downsample2d, filter2d, upsample2d
from zoogan.layers.mapping import PixelNormMLP, pixel_norm
from zoogan.layers.residual_discriminator import (
    DiscriminatorBlock,
    DiscriminatorHead,
    DiscriminatorTrunk,
    compute_minibatch_std,
    get_group_size,
)
from zoogan.testing.strategies import batches, make_noise, seeds

sides = st.sampled_from([2, 4, 6])
widths = st.integers(1, 5)
ROOT = math.sqrt(2)


def random(network: nn.Module, seed: int) -> nn.Module:
    """With arbitrary parameters, in double precision."""
    with torch.no_grad():
        for k, parameter in enumerate(network.parameters()):
            parameter.copy_(make_noise(seed + k, *parameter.shape))
    return network.double()


def real(seed: int, *shape: int) -> Tensor:
    return make_noise(seed, *shape).double()


def agree(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def twice_differentiable(function, *inputs: Tensor) -> bool:  # type: ignore[no-untyped-def]
    """First and second derivatives against differences."""
    given = tuple(x.detach().clone().requires_grad_() for x in inputs)
    return gradcheck(function, given, nondet_tol=1e-12) and gradgradcheck(function, given, nondet_tol=1e-12)


# ---- equalised learning rates ----


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * ROOT


@given(seed=seeds, n=batches, i=widths, o=widths, lr=st.sampled_from([1.0, 0.01]), activate=st.booleans())
def test_equalized_linear_equals_hand_computation(seed: int, n: int, i: int, o: int, lr: float, activate: bool) -> None:
    layer, x = random(EqualizedLinear(i, o, lr_multiplier=lr, activate=activate), seed), real(seed + 9, n, i)
    assert isinstance(layer, EqualizedLinear) and layer.bias is not None
    plain = x @ (layer.weight * (lr / math.sqrt(i))).T + layer.bias * lr
    agree(layer(x), leaky(plain) if activate else plain)
    agree(layer(x[:, None]), layer(x)[:, None])


@given(seed=seeds, lr=st.sampled_from([1.0, 0.1, 0.01]), bias=st.sampled_from([None, 0.0, 1.0]))
def test_equalized_layers_start_with_unit_variance(seed: int, lr: float, bias: float | None) -> None:
    """Whatever the multiplier: stored weights N(0, 1) over it, and the first value of the bias as it is used."""
    torch.manual_seed(seed)
    layer = EqualizedLinear(64, 300, lr_multiplier=lr, bias=bias)
    assert float(layer.weight.detach().std()) == pytest.approx(1 / lr, rel=0.05)
    zero = layer(torch.zeros(1, 64))
    torch.testing.assert_close(zero, torch.full_like(zero, bias or 0.0))
    assert float((layer(make_noise(seed, 40, 64)) - zero).std()) == pytest.approx(1, rel=0.2)
    conv = EqualizedConv2d(16, 32, 3)
    assert float(conv.weight.detach().std()) == pytest.approx(1, rel=0.1)
    assert float(conv(make_noise(seed, 4, 16, 12, 12))[:, :, 1:-1, 1:-1].std()) == pytest.approx(1, rel=0.2)


@given(
    seed=seeds, n=batches, i=widths, o=widths, side=sides, kernel=st.sampled_from([1, 3]), activate=st.booleans(),
    gain=st.sampled_from([1.0, 0.5**0.5]), stride=st.sampled_from([1, 2]), bias=st.booleans(),
)  # fmt: skip
def test_equalized_conv_equals_hand_computation(
    seed: int, n: int, i: int, o: int, side: int, kernel: int, activate: bool, gain: float, stride: int, bias: bool
) -> None:
    made = EqualizedConv2d(i, o, kernel, stride=stride, bias=bias, activate=activate, gain=gain)
    layer, x = random(made, seed), real(seed + 9, n, i, side, side)
    assert isinstance(layer, EqualizedConv2d)
    plain = F.conv2d(x, layer.weight / math.sqrt(i * kernel**2), layer.bias, stride, kernel // 2)
    agree(layer(x), gain * (leaky(plain) if activate else plain))


@given(seed=seeds, n=batches, d=st.integers(2, 9), scale=st.floats(0.01, 100))
def test_pixel_norm_has_unit_mean_square(seed: int, n: int, d: int, scale: float) -> None:
    x = real(seed, n, d)
    agree(pixel_norm(x), x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt())
    torch.testing.assert_close(pixel_norm(scale * x), pixel_norm(x), rtol=1e-3, atol=1e-3)
    mlp = random(PixelNormMLP(d, 2, 0.01), seed)
    torch.testing.assert_close(mlp(scale * x), mlp(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("activate", [False, True])
def test_equalized_layers_are_twice_differentiable(activate: bool) -> None:
    linear, x = random(EqualizedLinear(3, 2, activate=activate, lr_multiplier=0.5), 1), real(2, 2, 3)
    parameters = dict(linear.named_parameters())
    assert twice_differentiable(
        lambda x, w, b: torch.func.functional_call(linear, {"weight": w, "bias": b}, (x,)), x, *parameters.values()
    )
    conv, image = random(EqualizedConv2d(2, 2, 3, stride=2, activate=activate), 3), real(4, 1, 2, 4, 4)
    parameters = dict(conv.named_parameters())
    assert twice_differentiable(
        lambda x, w, b: torch.func.functional_call(conv, {"weight": w, "bias": b}, (x,)), image, *parameters.values()
    )


# ---- the filter ----


def plain_filter(x: Tensor, up: int, down: int, before: int, after: int) -> Tensor:
    """Zeros between the pixels, zeros around, the filter channel by channel, every `down`-th pixel."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, up, w, up)
    spread[:, :, :, 0, :, 0] = x
    spread = F.pad(spread.reshape(n, c, h * up, w * up), (before, after, before, after))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8 * up
    kernel = (taps[:, None] * taps[None, :]).flip(0, 1)[None, None]
    channels = [F.conv2d(spread[:, k : k + 1], kernel) for k in range(c)]
    return torch.cat(channels, 1)[:, :, ::down, ::down]


@given(seed=seeds, n=batches, c=widths, h=sides, w=sides)
def test_fir_filters_equal_their_definition(seed: int, n: int, c: int, h: int, w: int) -> None:
    x = real(seed, n, c, h, w)
    agree(upsample2d(x), plain_filter(x, 2, 1, 2, 1))
    agree(downsample2d(x), plain_filter(x, 1, 2, 1, 1))
    for padding in ((1, 1), (2, 2), (2, 1), (1, 2)):
        agree(filter2d(x, padding), plain_filter(x, 1, 1, *padding))
        agree(filter2d(x, padding, 4.0), 4 * plain_filter(x, 1, 1, *padding))
        agree(filter2d(x, padding, stride=2), plain_filter(x, 1, 2, *padding))


@given(seed=seeds, side=st.sampled_from([6, 8]), value=st.floats(-2, 2))
def test_fir_filters_keep_constants(seed: int, side: int, value: float) -> None:
    x = torch.full((1, 2, side, side), value, dtype=torch.float64)
    for y in (upsample2d(x), downsample2d(x), filter2d(x, (2, 1))):
        inside = y[..., 2:-2, 2:-2] if y.shape[-1] > 4 else y[..., 1:-1, 1:-1]
        agree(inside, torch.full_like(inside, value))


@given(seed=seeds, n=batches, c=widths, side=sides)
def test_upsample_is_scaled_transpose_of_downsample(seed: int, n: int, c: int, side: int) -> None:
    x, y = real(seed, n, c, side, side), real(seed + 1, n, c, 2 * side, 2 * side)
    agree((upsample2d(x) * y).sum(), 4 * (x * downsample2d(y)).sum())


def test_fir_second_derivative_batches_channels() -> None:
    """torch's own takes those of a depthwise convolution one by one."""
    for filtered in (downsample2d, upsample2d):
        counts = []
        for channels in (2, 32):
            image = make_noise(0, 1, channels, 8, 8).requires_grad_()
            with Calls() as calls:
                (slope,) = torch.autograd.grad(filtered(image).square().sum(), image, create_graph=True)
                slope.square().sum().backward()
            counts.append(calls.convolutions)
        assert counts[0] == counts[1] > 0


class Calls(TorchDispatchMode):
    """Counts the convolutions that run inside."""

    convolutions = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.convolutions += func.overloadpacket is torch.ops.aten.convolution
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_fir_filters_are_twice_differentiable() -> None:
    x = real(0, 1, 2, 4, 4)
    for function in (upsample2d, downsample2d, lambda x: filter2d(x, (2, 1), 4.0)):
        assert twice_differentiable(lambda x, f=function: f(x).sin(), x)


# ---- the discriminator ----


@pytest.mark.parametrize("batch", range(1, 13))
@pytest.mark.parametrize("most", [1, 4, 8])
def test_minibatch_group_divides_the_batch(batch: int, most: int) -> None:
    assert get_group_size(batch, most) == max(size for size in range(1, most + 1) if batch % size == 0)


@given(seed=seeds, n=st.integers(1, 9), c=widths, side=sides)
def test_minibatch_std_equals_reference_loop(seed: int, n: int, c: int, side: int) -> None:
    x, size = real(seed, n, c, side, side), get_group_size(n)
    found = compute_minibatch_std(x)
    assert found.shape == (n, 1, side, side) and found.dtype == x.dtype
    groups = n // size
    for image in range(n):
        mates = [x[other] for other in range(n) if other % groups == image % groups]
        assert len(mates) == size
        mean = sum(mates) / size
        variance = sum((mate - mean) ** 2 for mate in mates) / size
        agree(found[image], (variance + 1e-8).sqrt().mean().expand(1, side, side))


@given(seed=seeds, n=st.integers(1, 8), c=widths)
def test_minibatch_std_of_equal_images_is_zero(seed: int, n: int, c: int) -> None:
    x = real(seed, n, c, 4, 4)
    same = compute_minibatch_std(x[:1].expand(n, -1, -1, -1))
    torch.testing.assert_close(same, torch.full_like(same, 1e-4))  # the root of 1e-8
    size = get_group_size(n)
    order = torch.arange(n).view(size, n // size).roll(1, 0).flatten()  # each image to the next place of its group
    agree(compute_minibatch_std(x[order]), compute_minibatch_std(x))
    agree(compute_minibatch_std(x + 3), compute_minibatch_std(x))


@given(seed=seeds, n=st.sampled_from([1, 3, 5, 8]), channels=st.sampled_from([1, 3]))
def test_minibatch_groups_are_independent(seed: int, n: int, channels: int) -> None:
    trunk, head = random(DiscriminatorTrunk(channels, [2, 3, 4]), seed), random(DiscriminatorHead(4, 4), seed + 50)
    image = real(seed + 1, n, channels, 16, 16)
    features = trunk(image)
    score = head(features)
    assert features.shape == (n, 4, 4, 4) and score.shape == (n, 1) and score.isfinite().all()
    agree(trunk(image[:1]), features[:1])
    groups = n // get_group_size(n)
    mates = torch.arange(n) % groups == 0
    agree(head(features[mates]), score[mates])
    if n in (3, 8):  # of 5 no group but the single image divides
        assert (head(features[:1]) - score[:1]).abs().max() > 1e-6, "scores of a group depend on each other"


@given(seed=seeds, n=batches, i=widths, o=widths)
def test_downsampling_block_equals_hand_computation(seed: int, n: int, i: int, o: int) -> None:
    block, x = random(DiscriminatorBlock(i, o), seed), real(seed + 9, n, i, 8, 8)
    assert isinstance(block, DiscriminatorBlock)
    before = x.clone()
    y = leaky(F.conv2d(x, block.first.weight / math.sqrt(9 * i), block.first.bias, padding=1))
    y = F.conv2d(plain_filter(y, 1, 1, 2, 2), block.second.weight / math.sqrt(9 * i), block.second.bias, stride=2)
    short = F.conv2d(plain_filter(x, 1, 1, 1, 1), block.shortcut.weight / math.sqrt(i), stride=2)
    agree(block(x), (leaky(y) + short) / ROOT)
    assert torch.equal(x, before)  # nothing is done in place to what others may read


@pytest.mark.slow
def test_discriminator_blocks_are_twice_differentiable() -> None:
    block = random(DiscriminatorBlock(2, 2), 0)
    assert twice_differentiable(block, real(1, 1, 2, 4, 4))
    assert twice_differentiable(compute_minibatch_std, real(2, 4, 2, 2, 2))
    head = random(DiscriminatorHead(2, 2), 3)
    assert twice_differentiable(head, real(4, 2, 2, 4, 4))
