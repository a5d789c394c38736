"""StyleGAN2's discriminator (Karras et al. 2020, section 4.1): residual halvings, and how much a batch varies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.layers.equalised import EqualisedConv2d, EqualisedLinear
from zoogan.layers.fir import blurred, halved

HALF_POWER = 0.5**0.5
GROUP = 4
Images = Float[Tensor, "n c h w"]


class HalvingResBlock(nn.Module):
    """3x3, then a filtered 3x3 of stride 2; plus the filtered, halved input through a 1x1; over sqrt(2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(inputs, inputs, 3, activate=True)
        self.second = EqualisedConv2d(inputs, outputs, 3, stride=2, padding=0, activate=True, gain=HALF_POWER)
        self.shortcut = EqualisedConv2d(inputs, outputs, 1, bias=False, gain=HALF_POWER)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, 2h, 2w) -> (n, outputs, h, w)."""
        return self.second(blurred(self.first(x), (2, 2))) + self.shortcut(halved(x))


class ResidualTrunk(nn.Sequential):
    """1x1 from the picture's channels, then a halving block for each further width: down to 4 x 4."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        blocks = (HalvingResBlock(i, o) for i, o in pairwise(widths))
        super().__init__(EqualisedConv2d(channels, widths[0], 1, activate=True), *blocks)


def group_of(batch: int, most: int = GROUP) -> int:
    """The largest group size up to `most` into which a batch divides."""
    return next(size for size in range(min(batch, most), 0, -1) if batch % size == 0)


def batch_deviation(x: Images, most: int = GROUP) -> Float[Tensor, "n 1 h w"]:
    """How much the images of a group differ, as a further channel (Karras et al. 2018, section 3).

    The standard deviation over a group of each feature, averaged over all of them. Images whose numbers are equal
    modulo the count of groups make a group. Groups are those of one process: nothing is reduced over processes.
    """
    n, c, h, w = x.shape
    size = group_of(n, most)
    grouped = x.to(torch.promote_types(x.dtype, torch.float32)).view(size, n // size, c, h, w)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(size)[:, None, None, None].expand(n, 1, h, w)


class VerdictHead(nn.Module):
    """From features 4 x 4 to one score: batch deviation in groups of at most `group`, 3x3, two linear layers."""

    def __init__(self, inputs: int, width: int, group: int = GROUP) -> None:
        super().__init__()
        self.group = group
        self.conv = EqualisedConv2d(inputs + 1, width, 3, activate=True)
        self.hidden = EqualisedLinear(16 * width, width, activate=True)
        self.score = EqualisedLinear(width, 1)

    def forward(self, x: Float[Tensor, "n i 4 4"]) -> Float[Tensor, "n 1"]:
        """(n, inputs, 4, 4) -> (n, 1), unbounded."""
        x = self.conv(torch.cat([x, batch_deviation(x, self.group)], 1))
        return self.score(self.hidden(x.flatten(1)))
