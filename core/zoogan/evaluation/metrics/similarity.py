"""Similarity of two pictures inside a region: L1, PSNR and SSIM, one value a picture."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.interfaces import Edits

Image = Float[Tensor, "n c h w"]
Region = Bool[Tensor, "n 1 h w"]
RANGE = 2.0  # from -1 to 1
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2  # of SSIM
BEST_PSNR = 58.92  # dB; that of rounding to 256 levels: 10 log10(RANGE**2 / ((RANGE / 255)**2 / 12))


def average_in_region(values: Image, region: Region | None) -> Float[Tensor, " n"]:
    """Average each picture over its region; nan where the region is empty, None = the whole picture."""
    if region is None:
        return values.flatten(1).mean(1)
    return (values * region).flatten(1).sum(1) / (region.flatten(1).sum(1) * values.shape[1])


def compute_l1(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Compute the mean |a - b| of pictures in [-1, 1]."""
    return average_in_region((a - b).abs(), region)


def compute_psnr(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Compute the peak signal-to-noise ratio in dB, at most BEST_PSNR."""
    return (10 * (RANGE**2 / average_in_region((a - b).square(), region)).log10()).clamp(max=BEST_PSNR)


def compute_ssim(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Compute the structural similarity, averaged over the region.

    Gaussian window of 11 pixels, sigma 1.5, edges mirrored.

    Source: Wang et al. 2004.
    """
    mean_a, mean_b = blur_image(a), blur_image(b)
    variance_a, variance_b = blur_image(a * a) - mean_a**2, blur_image(b * b) - mean_b**2
    covariance = blur_image(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a.clamp(min=0) + variance_b.clamp(min=0) + C2)
    return average_in_region(light * structure, region)


def blur_image(image: Image) -> Image:
    """Average each pixel's surroundings under the window of SSIM."""
    channels = image.shape[1]
    at = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    window = (-(at**2) / (2 * 1.5**2)).exp()
    window = (window / window.sum()).expand(channels, 1, 1, 11)
    padded = F.pad(image, (5, 5, 5, 5), mode="reflect")
    return F.conv2d(F.conv2d(padded, window, groups=channels), window.transpose(2, 3), groups=channels)


SIMILARITIES = {"l1": compute_l1, "psnr": compute_psnr, "ssim": compute_ssim}


def add_similarities(
    metric: FaceMetric, prefix: str, edits: Edits, a: Image, b: Image, region: Region | None = None
) -> None:
    """Add the rows of `prefix.l1`, `prefix.psnr` and `prefix.ssim`; faces whose region is empty are left out."""
    some = torch.ones(len(a), dtype=torch.bool) if region is None else region.flatten(1).any(1)
    for name, compute in SIMILARITIES.items():
        metric.add_rows(f"{prefix}.{name}", edits, compute(a, b, region), where=some)
