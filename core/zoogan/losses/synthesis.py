"""Losses of synthesis: masks of parts, and path lengths."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.interfaces import SynthesisedFace
from zoogan.layers.precision import ensure_float32
from zoogan.losses.penalties import compute_gradient


def mask_loss(synthesised: SynthesisedFace) -> Float[Tensor, ""]:
    """Compute the mean squared difference between the segmentation, pooled to coarse pixels, and the coarse masks.

    Args:
        synthesised: Generated faces with a segmentation and coarse masks.

    Returns:
        A 0-d tensor, at least 0.

    Source: SemanticStyleGAN, section 3.4; official code: train.py.
    """
    coarse, segmentation = synthesised.coarse, synthesised.segmentation
    assert coarse is not None and segmentation is not None
    pooled = F.adaptive_avg_pool2d(ensure_float32(segmentation), (coarse.shape[2], coarse.shape[3]))
    return (ensure_float32(coarse) - pooled).square().mean()


def compute_path_lengths(
    image: Float[Tensor, "n c h w"], latents: Float[Tensor, "n rows s"], direction: Float[Tensor, "n c h w"]
) -> Float[Tensor, " n"]:
    """Compute how far each face moves along a random direction when its latents move.

    |J^T y| with y ~ N(0, 1) / sqrt(h w): the root of the mean over the rows of w+ of the sum over a row. Twice
    differentiable.

    Args:
        image: Generated faces (n, c, h, w), with a graph to the latents.
        latents: w+ (n, rows, style_dim).
        direction: N(0, 1) of the shape of the faces.

    Returns:
        Lengths (n,), at least 0.

    Source: StyleGAN2 (Karras et al. 2020), section 3.2.
    """
    scaled = direction / (image.shape[2] * image.shape[3]) ** 0.5
    return compute_gradient((image * scaled).sum(), latents).square().sum(2).mean(1).sqrt()
