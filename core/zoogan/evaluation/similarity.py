"""How alike two pictures are, inside a region: L1, PSNR, SSIM. One value a picture."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.evaluation.rows import FaceMetric
from zoogan.interfaces import Edits

Image = Float[Tensor, "n c h w"]
Region = Bool[Tensor, "n 1 h w"]
RANGE = 2.0  # from -1 to 1
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
    """Structural similarity (Wang et al. 2004; Gaussian window of 11 pixels, sigma 1.5), its map averaged."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, similar = structural_similarity_index_measure(a, b, data_range=RANGE, reduction="none", return_full_image=True)
    return within(similar, region)


MEASURES = {"l1": l1, "psnr": psnr, "ssim": ssim}
BETTER = {"l1": "lower", "psnr": "higher", "ssim": "higher"}


def compare(metric: FaceMetric, prefix: str, edits: Edits, a: Image, b: Image, region: Region | None = None) -> None:
    """Add `prefix.l1`, `prefix.psnr` and `prefix.ssim` of a batch; faces whose region is empty are left out."""
    some = torch.ones(len(a), dtype=torch.bool) if region is None else region.flatten(1).any(1)
    for name, measure in MEASURES.items():
        metric.add(f"{prefix}.{name}", edits, measure(a, b, region), where=some)
