"""Codes of the regions of a layout: read off features, transformed, and laid on the pixels again.

Source: SEAN (Zhu et al. 2020), section 3; SMILE (Romero et al. 2021), section 3.2.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

Layout = Float[Tensor, "n k h w"]
"""One-hot maps of the parts."""
Codes = Float[Tensor, "n k s"]
"""A code of each part of each face."""


def resize_layout(layout: Layout, height: int, width: int) -> Float[Tensor, "n k h2 w2"]:
    """Resize a layout by nearest pixels, so that it stays one-hot; parts smaller than a pixel may vanish."""
    return layout if layout.shape[2:] == (height, width) else F.interpolate(layout, (height, width), mode="nearest")


def scatter_codes(codes: Codes, layout: Layout) -> Float[Tensor, "n s h w"]:
    """Give every pixel the code of its part; 0 where the layout has none."""
    return torch.einsum("nks,nkhw->nshw", codes, layout)


def pool_regions(
    features: Float[Tensor, "n s h2 w2"], layout: Layout, *, soft: bool = False
) -> tuple[Codes, Bool[Tensor, "n k"]]:
    """Compute the mean of the features over each part.

    Args:
        features: Features (n, s, h2, w2).
        layout: The layout, as high and wide or larger.
        soft: Shrink a larger layout to the shares of the parts in each pixel, so that no part is lost; False = to the
            nearest pixels, as published, where small parts vanish.

    Returns:
        (the means, 0 for parts that the shrunk layout lacks; which parts it has).

    Source: SEAN (Zhu et al. 2020), section 3.1.
    """
    height, width = features.shape[2:]
    weights = F.adaptive_avg_pool2d(layout, (height, width)) if soft else resize_layout(layout, height, width)
    area = weights.sum((2, 3))
    means = torch.einsum("nshw,nkhw->nks", features, weights.to(features.dtype))
    present = area > 0
    return means / torch.where(present, area, 1).to(means.dtype)[..., None], present


class RegionLinear(nn.Module):
    """A linear layer of its own for the code of each part, with an equalized learning rate; biases start at 1.

    Args:
        regions: Number of parts.
        inputs: Numbers in a code.
        outputs: Numbers out.

    Source: SMILE (Romero et al. 2021), official `metrics/smileSYN.py`.
    """

    def __init__(self, regions: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(regions, outputs, inputs))
        self.bias = nn.Parameter(torch.ones(regions, outputs))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, codes: Codes) -> Float[Tensor, "n k o"]:
        """Map codes (n, regions, inputs) to (n, regions, outputs)."""
        return torch.einsum("nks,kos->nko", codes, self.weight * self.weight_gain) + self.bias


class NoRegionEncoder:
    """Role `region_encoder`: reads nothing, and every code is drawn (the paper's ablation without encoder).

    Args:
        config: Unused.
        facts: Unused.
    """

    is_empty = True

    def __init__(self, config: object = None, facts: object = None) -> None:
        pass
