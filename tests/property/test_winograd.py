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
from zoogan.layers.winograd import Convolve, Correlate, conv3x3, pays
from zoogan.testing.strategies import noise, seeds

sides = st.sampled_from([4, 8, 12])


def direct(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), sides, sides)
def test_it_is_the_convolution(seed: int, n: int, inputs: int, outputs: int, height: int, width: int) -> None:
    x, weight = noise(seed, n, inputs, height, width).double(), noise(seed + 1, outputs, inputs, 3, 3).double()
    torch.testing.assert_close(Convolve.apply(x, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds, st.booleans())
def test_memory_layout_does_not_show(seed: int, last: bool) -> None:
    x, weight = noise(seed, 2, 3, 8, 8).double(), noise(seed + 1, 4, 3, 3, 3).double()
    laid = x.to(memory_format=torch.channels_last) if last else x
    torch.testing.assert_close(Convolve.apply(laid, weight), direct(x, weight), rtol=0, atol=1e-12)


@given(seeds)
def test_gradients_are_those_of_the_convolution(seed: int) -> None:
    x = noise(seed, 2, 3, 8, 4).double().requires_grad_()
    weight = noise(seed + 1, 4, 3, 3, 3).double().requires_grad_()
    back = noise(seed + 2, 2, 4, 8, 4).double()
    ours = torch.autograd.grad((Convolve.apply(x, weight) * back).sum(), (x, weight))
    theirs = torch.autograd.grad((direct(x, weight) * back).sum(), (x, weight))
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", [Convolve, Correlate])
def test_derivatives_of_every_order_asked_for(function: type[torch.autograd.Function]) -> None:
    second = (2, 2, 3, 3) if function is Convolve else (1, 2, 4, 4)
    arguments = tuple(noise(k, *shape).double().requires_grad_() for k, shape in enumerate([(1, 2, 4, 4), second]))
    assert gradcheck(function.apply, arguments)
    assert gradgradcheck(function.apply, arguments)


def test_rounding_is_a_few_times_that_of_a_direct_convolution() -> None:
    x, weight = noise(0, 2, 128, 32, 32), noise(1, 128, 128, 3, 3) / (9 * 128) ** 0.5
    assert pays(x, weight)
    truth = direct(x.double(), weight.double())
    ours, theirs = ((found - truth).abs().max() for found in (conv3x3(x, weight), direct(x, weight)))
    assert ours < 1e-4 and ours < 12 * theirs, (ours, theirs)


def test_a_penalty_on_gradients_trains_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = noise(0, 1, 128, 32, 32), (noise(1, 128, 128, 3, 3) / 34).requires_grad_(), noise(2, 128)

    def learnt() -> Tensor:
        image = x.clone().requires_grad_()
        hidden = F.leaky_relu(conv3x3(image, weight, bias), 0.2)
        (slope,) = torch.autograd.grad(conv3x3(hidden, weight).square().sum(), image, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weight)[0]

    assert pays(x, weight)
    fast = learnt()
    monkeypatch.setattr(winograd, "WIDE", 10_000)
    assert not pays(x, weight)
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
    assert not pays(x, weight)
    assert conv3x3(x, weight).shape == (len(x), weight.shape[0], *x.shape[2:])


def test_not_in_mixed_precision() -> None:
    x, weight = torch.zeros(1, 128, 32, 32), torch.zeros(128, 128, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(x, weight)
        assert conv3x3(x, weight).dtype == torch.bfloat16
