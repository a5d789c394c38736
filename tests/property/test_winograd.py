"""The 3x3 convolution by minimal filtering is the convolution: its values, and every derivative of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from zoogan.layers import winograd
from zoogan.layers.blocks import ResidualBlock
from zoogan.layers.resample import PooledConv2d, ResizeConv2d
from zoogan.layers.style_blocks import AdainResidualBlock, PreActResidualBlock
from zoogan.layers.winograd import Conv3x3, WinogradConvolution, WinogradWeightGradient, conv3x3, is_faster_than_direct
from zoogan.testing.strategies import make_noise, seeds

sides = st.sampled_from([4, 8, 12])


def direct(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), sides, sides)
def test_winograd_equals_direct_convolution(
    seed: int, n: int, inputs: int, outputs: int, height: int, width: int
) -> None:
    x, weight = (
        make_noise(seed, n, inputs, height, width).double(),
        make_noise(seed + 1, outputs, inputs, 3, 3).double(),
    )
    torch.testing.assert_close(WinogradConvolution.apply(x, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds, st.booleans())
def test_winograd_ignores_memory_layout(seed: int, last: bool) -> None:
    x, weight = make_noise(seed, 2, 3, 8, 8).double(), make_noise(seed + 1, 4, 3, 3, 3).double()
    laid = x.to(memory_format=torch.channels_last) if last else x
    torch.testing.assert_close(WinogradConvolution.apply(laid, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds)
def test_winograd_gradients_equal_direct_convolution(seed: int) -> None:
    x = make_noise(seed, 2, 3, 8, 4).double().requires_grad_()
    weight = make_noise(seed + 1, 4, 3, 3, 3).double().requires_grad_()
    back = make_noise(seed + 2, 2, 4, 8, 4).double()
    ours = torch.autograd.grad((WinogradConvolution.apply(x, weight) * back).sum(), (x, weight))
    theirs = torch.autograd.grad((direct(x, weight) * back).sum(), (x, weight))
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("function", [WinogradConvolution, WinogradWeightGradient])
def test_winograd_passes_gradgradcheck(function: type[torch.autograd.Function]) -> None:
    second = (2, 2, 3, 3) if function is WinogradConvolution else (1, 2, 4, 4)
    arguments = tuple(make_noise(k, *shape).double().requires_grad_() for k, shape in enumerate([(1, 2, 4, 4), second]))
    assert gradcheck(function.apply, arguments)
    assert gradgradcheck(function.apply, arguments)


ROUNDING = 2.0**-24  # unit roundoff of float32


def rounding_deviation(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation of the rounding error of both convolutions, at every output, computed in float64.

    Model: every rounding is an independent error of relative deviation at most 2**-24 (Higham and Mary 2019), so that a
    sum of m products has variance m * 2**-48 times the sum of the squared products, in whatever order a CPU adds them.
    Variances pass through the three transforms with their squared entries.
    """
    (n, inputs, height, width), outputs = x.shape, weight.shape[0]
    unit = ROUNDING**2
    image, kernel, tile = (
        winograd.make_transform(rows, torch.float64)
        for rows in (winograd.IMAGE_TRANSFORM, winograd.KERNEL_TRANSFORM, winograd.TILE_TRANSFORM)
    )
    framed = F.pad(x.double().permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = framed.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3).reshape(36, -1)
    kernels = weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    moved, moved_kernels = (image @ windows).view(36, -1, inputs), (kernel @ kernels).view(36, inputs, outputs)
    moved_variance = 36 * unit * (image.square() @ windows.square()).view_as(moved)
    kernel_variance = 9 * unit * (kernel.square() @ kernels.square()).view_as(moved_kernels)
    squares = torch.bmm(moved.square(), moved_kernels.square())
    variance = (
        torch.bmm(moved_variance, moved_kernels.square())
        + torch.bmm(moved.square(), kernel_variance)
        + inputs * unit * squares
    )
    products = torch.bmm(moved, moved_kernels).square()
    result = tile.square() @ (variance + 36 * unit * products).view(36, -1)
    tiles = result.view(4, 4, n, height // 4, width // 4, outputs).permute(2, 3, 0, 4, 1, 5)
    minimal = tiles.reshape(n, height, width, outputs).permute(0, 3, 1, 2).sqrt()
    return minimal, (9 * inputs * unit * direct(x.double().square(), weight.double().square())).sqrt()


def test_winograd_rounding_stays_within_six_deviations() -> None:
    """Six deviations of 262,144 normal errors are exceeded once in 2,000 draws; here the worst is 1.5 deviations."""
    x, weight = make_noise(0, 2, 128, 32, 32), make_noise(1, 128, 128, 3, 3) / (9 * 128) ** 0.5
    assert is_faster_than_direct(x, weight)
    minimal, plain = rounding_deviation(x, weight)
    error = (conv3x3(x, weight) - direct(x.double(), weight.double())).abs()
    assert (error <= 6 * minimal).all(), float((error / minimal).max())
    assert error.max() < 1e-4
    assert minimal.mean() < 4 * plain.mean(), "minimal filtering loses two bits against a direct convolution, not more"


def test_winograd_gradient_penalty_equals_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = (
        make_noise(0, 1, 128, 32, 32),
        (make_noise(1, 128, 128, 3, 3) / 34).requires_grad_(),
        make_noise(2, 128),
    )

    def learnt() -> Tensor:
        image = x.clone().requires_grad_()
        hidden = F.leaky_relu(conv3x3(image, weight, bias), 0.2)
        (slope,) = torch.autograd.grad(conv3x3(hidden, weight).square().sum(), image, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weight)[0]

    assert is_faster_than_direct(x, weight)
    fast = learnt()
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 10_000)
    assert not is_faster_than_direct(x, weight)
    slow = learnt()
    assert (fast - slow).abs().max() < 1e-4 * slow.abs().max()


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.zeros(2, 64, 32, 32), torch.zeros(64, 64, 3, 3)),  # narrow
        (torch.zeros(2, 128, 30, 32), torch.zeros(128, 128, 3, 3)),  # no whole tiles
        (torch.zeros(1, 128, 8, 8), torch.zeros(128, 128, 3, 3)),  # few tiles
        (torch.zeros(2, 128, 32, 32).double(), torch.zeros(128, 128, 3, 3).double()),
        (torch.zeros(2, 128, 32, 32, device="meta"), torch.zeros(128, 128, 3, 3, device="meta")),
    ],
)
def test_conv3x3_uses_direct_convolution_elsewhere(x: Tensor, weight: Tensor) -> None:
    assert not is_faster_than_direct(x, weight)
    assert conv3x3(x, weight).shape == (len(x), weight.shape[0], *x.shape[2:])


def test_conv3x3_avoids_winograd_under_autocast() -> None:
    x, weight = torch.zeros(1, 128, 32, 32), torch.zeros(128, 128, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster_than_direct(x, weight)
        assert conv3x3(x, weight).dtype == torch.bfloat16


def gradient_deviation(x: Tensor, y: Tensor) -> Tensor:
    """Standard deviation of the rounding error of the gradient with respect to the weight; model as above."""
    inputs, outputs, unit = x.shape[1], y.shape[1], ROUNDING**2
    image, kernel, tile = (
        winograd.make_transform(rows, torch.float64)
        for rows in (winograd.IMAGE_TRANSFORM, winograd.KERNEL_TRANSFORM, winograd.TILE_TRANSFORM)
    )
    framed = F.pad(x.double().permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = framed.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3).reshape(36, -1)
    tiles = winograd.extract_tiles(y.double())
    moved, moved_tiles = (image @ windows).view(36, -1, inputs), (tile.T @ tiles).view(36, -1, outputs)
    moved_variance = 36 * unit * (image.square() @ windows.square()).view_as(moved)
    tile_variance = 16 * unit * (tile.T.square() @ tiles.square()).view_as(moved_tiles)
    squares = torch.bmm(moved_tiles.square().mT, moved.square())
    variance = (
        torch.bmm(tile_variance.mT, moved.square())
        + torch.bmm(moved_tiles.square().mT, moved_variance)
        + moved.shape[1] * unit * squares
        + 36 * unit * torch.bmm(moved_tiles.mT, moved).square()
    )
    result = kernel.T.square() @ variance.view(36, -1)
    return result.view(3, 3, outputs, inputs).permute(2, 3, 0, 1).sqrt()


def check_within(error: Tensor, deviation: Tensor) -> None:
    assert (error.abs() <= 6 * deviation).all(), float((error.abs() / deviation).max())


def test_conv3x3_float32_equals_direct_within_rounding() -> None:
    """Values, gradients, and the gradient of a penalty on the gradient, against float64."""
    layer, x, y = Conv3x3(128, 128, bias=False), make_noise(0, 2, 128, 32, 32), make_noise(1, 2, 128, 32, 32) / 100
    with torch.no_grad():
        layer.weight.copy_(make_noise(2, 128, 128, 3, 3) / (9 * 128) ** 0.5)
    assert is_faster_than_direct(x, layer.weight)
    weight, turned = layer.weight.detach(), layer.weight.detach().transpose(0, 1).flip(2, 3)
    image = x.clone().requires_grad_()
    values = layer(image)
    slope, on_weight = torch.autograd.grad(values, (image, layer.weight), y, create_graph=True)
    check_within(values.detach() - direct(x.double(), weight.double()), rounding_deviation(x, weight)[0])
    check_within(slope.detach() - direct(y.double(), turned.double()), rounding_deviation(y, turned)[0])
    exact = weight.double().requires_grad_()
    (true_on_weight,) = torch.autograd.grad(direct(x.double(), exact), exact, y.double())
    check_within(on_weight.detach() - true_on_weight, gradient_deviation(x, y))
    # The slope is bilinear in `y` and the weight, so the gradient of its penalty is another weight gradient: of `y`,
    # with the slope as the gradient of the output.
    (penalty,) = torch.autograd.grad(slope.square().sum() / 2, layer.weight)
    exact_turned = turned.double().requires_grad_()
    (true_penalty,) = torch.autograd.grad(direct(y.double(), exact_turned), exact_turned, slope.detach().double())
    check_within(penalty.transpose(0, 1).flip(2, 3) - true_penalty, gradient_deviation(y, slope.detach()))


@pytest.mark.parametrize("channels", [64, 128])
def test_conv3x3_elsewhere_equals_conv2d_bitwise(channels: int) -> None:
    """In float64, and in float32 where layers are narrow: values and both orders of derivatives."""
    ours, theirs = Conv3x3(channels, channels), torch.nn.Conv2d(channels, channels, 3, 1, 1)
    theirs.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, theirs):
        layer = layer.double() if channels == 128 else layer
        image = make_noise(0, 1, channels, 32, 32).to(layer.weight.dtype).requires_grad_()
        (slope,) = torch.autograd.grad(layer(image).square().sum(), image, create_graph=True)
        results.append((layer(image), slope, *torch.autograd.grad(slope.square().sum(), (layer.weight, layer.bias))))
    for one, other in zip(*results):
        assert torch.equal(one, other)


def test_conv3x3_initialises_like_conv2d() -> None:
    torch.manual_seed(0)
    ours = Conv3x3(5, 3)
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(5, 3, 3, 1, 1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters()))


def test_conv3x3_keeps_the_memory_format() -> None:
    layer, x = Conv3x3(128, 128), torch.zeros(1, 128, 32, 32)
    assert layer(x).is_contiguous()
    last = layer(x.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_conv3x3_is_used_by_stargan_and_stargan_v2() -> None:
    stargan, plain = (ResidualBlock(128, "instance", bias=False, fast=fast) for fast in (True, False))
    blocks = PreActResidualBlock(128, 128), AdainResidualBlock(128, 128, style_dim=4)
    assert all(type(conv) is torch.nn.Conv2d for conv in (plain.first.conv, plain.second.conv))
    convolutions = [stargan.first.conv, stargan.second.conv, *(conv for b in blocks for conv in (b.conv1, b.conv2))]
    assert all(isinstance(conv, Conv3x3) for conv in convolutions)
    assert issubclass(PooledConv2d, Conv3x3) and issubclass(ResizeConv2d, Conv3x3)
