"""L1, PSNR and SSIM inside regions: against other libraries, and by their laws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from zoogan.evaluation.metrics.similarity import BEST_PSNR, RANGE, compute_l1, compute_psnr, compute_ssim
from zoogan.interfaces.edits import round_as_saved

seeds = st.integers(0, 1000)


def faces(seed: int, n: int = 3, side: int = 24) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@given(seeds)
def test_similarity_equals_torchmetrics(seed: int) -> None:
    a, b = faces(seed), faces(seed + 1)
    assert compute_l1(a, b) == pytest.approx((a - b).abs().mean((1, 2, 3)))
    for k in range(len(a)):
        assert float(compute_psnr(a, b)[k]) == pytest.approx(
            float(peak_signal_noise_ratio(a[k : k + 1], b[k : k + 1], data_range=RANGE)), abs=1e-4
        )
    theirs = structural_similarity_index_measure(a, b, data_range=RANGE, reduction="none")
    assert torch.allclose(compute_ssim(a, b), theirs, atol=1e-5)


@given(seeds)
def test_identical_images_are_perfectly_similar(seed: int) -> None:
    a = faces(seed)
    assert torch.equal(compute_l1(a, a), torch.zeros(3))
    assert torch.allclose(compute_psnr(a, a), torch.full((3,), BEST_PSNR))
    assert torch.allclose(compute_ssim(a, a), torch.ones(3), atol=1e-5)


@given(seeds)
def test_similarity_is_symmetric(seed: int) -> None:
    a, b = faces(seed), faces(seed + 1)
    for measure in (compute_l1, compute_psnr, compute_ssim):
        assert torch.allclose(measure(a, b), measure(b, a), atol=1e-5)


@given(seeds)
def test_similarity_falls_with_noise(seed: int) -> None:
    a = faces(seed) * 0.5
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(seed + 7))
    some, more = a + 0.05 * noise, a + 0.3 * noise
    assert bool((compute_l1(a, some) < compute_l1(a, more)).all())
    assert bool((compute_psnr(a, some) > compute_psnr(a, more)).all())
    assert bool((compute_ssim(a, some) > compute_ssim(a, more)).all())


@given(seeds)
def test_similarity_ignores_pixels_outside_region(seed: int) -> None:
    a, b = faces(seed), faces(seed + 1)
    region = torch.zeros(3, 1, 24, 24, dtype=torch.bool)
    region[:, :, 4:9, 5:20] = True
    changed = torch.where(region, b, faces(seed + 2))
    for measure in (compute_l1, compute_psnr):
        assert torch.allclose(measure(a, b, region), measure(a, changed, region), atol=1e-6)
    cut = (slice(None), slice(None), slice(4, 9), slice(5, 20))
    assert torch.allclose(compute_l1(a, b, region), (a - b)[cut].abs().mean((1, 2, 3)), atol=1e-6)


@given(seeds)
def test_similarity_uses_quantized_images(seed: int) -> None:
    image = faces(seed) * 1.2
    saved = round_as_saved(image)
    assert torch.allclose(round_as_saved(saved), saved, atol=1e-6)
    assert float((saved - image.clamp(-1, 1)).abs().max()) <= 1 / 255 + 1e-6
