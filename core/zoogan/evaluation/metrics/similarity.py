"""How alike two pictures are, inside a region: L1, PSNR, SSIM. One value a picture."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.evaluation.metrics.rows import FaceMetric
from zoogan.interfaces import Edits

Image = Float[Tensor, "n c h w"]
Region = Bool[Tensor, "n 1 h w"]
RANGE = 2.0  # from -1 to 1
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2  # of SSIM
BEST_PSNR = 58.92  # dB; what rounding to 256 levels alone leaves: 10 log10(RANGE**2 / ((RANGE / 255)**2 / 12))


def within(values: Image, region: Region | None) -> Float[Tensor, " n"]:
    """The mean of each picture over its region; nan where the region is empty."""
    if region is None:
        return values.flatten(1).mean(1)
    return (values * region).flatten(1).sum(1) / (region.flatten(1).sum(1) * values.shape[1])


def l1(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Mean |a - b| on the [-1, 1] scale."""
    return within((a - b).abs(), region)


def psnr(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Peak signal to noise in dB, at most BEST_PSNR."""
    return (10 * (RANGE**2 / within((a - b).square(), region)).log10()).clamp(max=BEST_PSNR)


def ssim(a: Image, b: Image, region: Region | None = None) -> Float[Tensor, " n"]:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5, edges mirrored; its map
    averaged."""
    mean_a, mean_b = blurred(a), blurred(b)
    variance_a, variance_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a.clamp(min=0) + variance_b.clamp(min=0) + C2)
    return within(light * structure, region)


def blurred(image: Image) -> Image:
    """Under SSIM's window."""
    channels = image.shape[1]
    at = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    window = (-(at**2) / (2 * 1.5**2)).exp()
    window = (window / window.sum()).expand(channels, 1, 1, 11)
    padded = F.pad(image, (5, 5, 5, 5), mode="reflect")
    return F.conv2d(F.conv2d(padded, window, groups=channels), window.transpose(2, 3), groups=channels)


MEASURES = {"l1": l1, "psnr": psnr, "ssim": ssim}
BETTER = {"l1": "lower", "psnr": "higher", "ssim": "higher"}


def compare(metric: FaceMetric, prefix: str, edits: Edits, a: Image, b: Image, region: Region | None = None) -> None:
    """Add `prefix.l1`, `prefix.psnr` and `prefix.ssim` of a batch; faces whose region is empty are left out."""
    some = torch.ones(len(a), dtype=torch.bool) if region is None else region.flatten(1).any(1)
    for name, measure in MEASURES.items():
        metric.add(f"{prefix}.{name}", edits, measure(a, b, region), where=some)
