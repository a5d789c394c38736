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
from zoogan.layers.winograd import WinogradConvolution, WinogradWeightGradient, conv3x3, is_faster_than_direct
from zoogan.testing.strategies import make_noise, seeds

sides = st.sampled_from([4, 8, 12])


def direct(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), sides, sides)
def test_it_is_the_convolution(seed: int, n: int, inputs: int, outputs: int, height: int, width: int) -> None:
    x, weight = (
        make_noise(seed, n, inputs, height, width).double(),
        make_noise(seed + 1, outputs, inputs, 3, 3).double(),
    )
    torch.testing.assert_close(WinogradConvolution.apply(x, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds, st.booleans())
def test_memory_layout_does_not_show(seed: int, last: bool) -> None:
    x, weight = make_noise(seed, 2, 3, 8, 8).double(), make_noise(seed + 1, 4, 3, 3, 3).double()
    laid = x.to(memory_format=torch.channels_last) if last else x
    torch.testing.assert_close(WinogradConvolution.apply(laid, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds)
def test_gradients_are_those_of_the_convolution(seed: int) -> None:
    x = make_noise(seed, 2, 3, 8, 4).double().requires_grad_()
    weight = make_noise(seed + 1, 4, 3, 3, 3).double().requires_grad_()
    back = make_noise(seed + 2, 2, 4, 8, 4).double()
    ours = torch.autograd.grad((WinogradConvolution.apply(x, weight) * back).sum(), (x, weight))
    theirs = torch.autograd.grad((direct(x, weight) * back).sum(), (x, weight))
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", [WinogradConvolution, WinogradWeightGradient])
def test_derivatives_of_every_order_asked_for(function: type[torch.autograd.Function]) -> None:
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


def test_rounding_stays_within_six_deviations_of_the_model() -> None:
    """Six deviations of 262,144 normal errors are exceeded once in 2,000 draws; here the worst is 1.5 deviations."""
    x, weight = make_noise(0, 2, 128, 32, 32), make_noise(1, 128, 128, 3, 3) / (9 * 128) ** 0.5
    assert is_faster_than_direct(x, weight)
    minimal, plain = rounding_deviation(x, weight)
    error = (conv3x3(x, weight) - direct(x.double(), weight.double())).abs()
    assert (error <= 6 * minimal).all(), float((error / minimal).max())
    assert error.max() < 1e-4
    assert minimal.mean() < 4 * plain.mean(), "minimal filtering loses two bits against a direct convolution, not more"


def test_a_penalty_on_gradients_trains_alike(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_elsewhere_the_direct_convolution_is_taken(x: Tensor, weight: Tensor) -> None:
    assert not is_faster_than_direct(x, weight)
    assert conv3x3(x, weight).shape == (len(x), weight.shape[0], *x.shape[2:])


def test_not_in_mixed_precision() -> None:
    x, weight = torch.zeros(1, 128, 32, 32), torch.zeros(128, 128, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster_than_direct(x, weight)
        assert conv3x3(x, weight).dtype == torch.bfloat16
