"""Sampling of moved pictures: its filter, its mirror, and its derivatives against torch and finite differences."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoogan.layers.warp import SYM6, SYM6_CENTRE, BilinearSample, reflect_positions, sample_bilinear, warp_affine
from zoogan.testing.strategies import make_faces, make_noise, seeds

# ---- the filter ----


def test_warp_filter_equals_named_wavelet() -> None:
    """Sum, orthonormality to even shifts, and six vanishing moments of the high-pass mirror."""
    h = torch.tensor(SYM6, dtype=torch.float64)
    assert abs(h.sum() - sqrt(2)) < 1e-10
    for shift in range(6):
        assert abs(h[2 * shift :] @ h[: 12 - 2 * shift] - float(shift == 0)) < 1e-10
    k = torch.arange(12, dtype=torch.float64)
    mirror = (-1.0) ** k * h
    assert all(abs((mirror * (k / 12) ** power).sum()) < 1e-10 for power in range(6))
    assert abs((mirror * (k / 12) ** 6).sum()) > 1e-4, "no seventh"
    assert abs(SYM6_CENTRE - 5.5) < 0.5, "the least asymmetric of its family"


@given(st.integers(1, 9), st.floats(-50, 50))
def test_reflection_is_periodic(side: int, place: float) -> None:
    last = side - 1
    expected = place
    while last and not 0 <= expected <= last:
        expected = -expected if expected < 0 else 2 * last - expected
    assert float(reflect_positions(torch.tensor(place), side)) == pytest.approx(expected if last else 0, abs=1e-4)


# ---- beyond the border ----


@given(seeds, st.integers(-2, 2), st.integers(-2, 2))
def test_warp_far_outside_repeats_mirrored_image(seed: int, across: int, down: int) -> None:
    side = 24
    image = make_faces(seed, 1, side)
    period = 2.0 * (side - 1) * torch.tensor([[across, down]])
    moved = warp_affine(image, torch.eye(2)[None], period)
    torch.testing.assert_close(moved[..., 6:-6, 6:-6], image[..., 6:-6, 6:-6], rtol=0, atol=1e-3)


# ---- derivatives ----


@given(seeds)
def test_sampling_and_gradient_equal_torch(seed: int) -> None:
    image, grid = make_noise(seed, 2, 3, 7, 5).requires_grad_(), make_noise(seed + 1, 2, 6, 4, 2) / 2
    twin, weight = image.detach().clone().requires_grad_(), make_noise(seed + 2, 2, 3, 6, 4)
    ours, torchs = BilinearSample.apply(image, grid), sample_bilinear(twin, grid)
    assert torch.equal(ours, torchs)
    for output, leaf in ((ours, image), (torchs, twin)):
        (output.square() * weight).sum().backward()
        assert leaf.grad is not None
    torch.testing.assert_close(image.grad, twin.grad)


@given(seeds)
@settings(max_examples=3)
def test_sampling_derivatives_match_finite_differences(seed: int) -> None:
    image, grid = make_noise(seed, 1, 1, 5, 4).double().requires_grad_(), make_noise(seed + 1, 1, 3, 4, 2).double() / 2
    assert torch.autograd.gradcheck(lambda x: BilinearSample.apply(x, grid).square(), image)
    assert torch.autograd.gradgradcheck(lambda x: BilinearSample.apply(x, grid).square(), image)
