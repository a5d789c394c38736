"""StyleGAN2's residual discriminator: a trunk of halving blocks, and a head with the minibatch deviation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.layers.activations import SQRT_HALF
from zoogan.layers.equalized import EqualizedConv2d, EqualizedLinear
from zoogan.layers.fir import downsample2d, filter2d
from zoogan.layers.shapes import Images

MAX_STD_GROUP = 4


class DiscriminatorBlock(nn.Module):
    """Residual block that halves height and width.

    A 3x3 convolution, then a filtered 3x3 convolution of stride 2; plus the filtered, halved input through a 1x1
    convolution; divided by sqrt(2).

    Args:
        inputs: Channels in.
        outputs: Channels out.

    Source: StyleGAN2 (Karras et al. 2020), section 4.1.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualizedConv2d(inputs, inputs, 3, activate=True)
        self.second = EqualizedConv2d(inputs, outputs, 3, stride=2, padding=0, activate=True, gain=SQRT_HALF)
        self.shortcut = EqualizedConv2d(inputs, outputs, 1, bias=False, gain=SQRT_HALF)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        return self.second(filter2d(self.first(x), (2, 2))) + self.shortcut(downsample2d(x))


class DiscriminatorTrunk(nn.Sequential):
    """A 1x1 convolution from the image's channels, then a halving block for each further width, down to 4 x 4.

    Args:
        channels: Channels of the image.
        widths: Channels at each size, largest size first.

    Source: StyleGAN2 (Karras et al. 2020), section 4.1.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        blocks = (DiscriminatorBlock(i, o) for i, o in pairwise(widths))
        super().__init__(EqualizedConv2d(channels, widths[0], 1, activate=True), *blocks)

    def compute_features(self, x: Images) -> list[Float[Tensor, "n _ _ _"]]:
        """Compute the outputs of all layers.

        Args:
            x: Images (n, channels, s, s).

        Returns:
            Features (n, widths[k], s / 2^k, s / 2^k): those of the 1x1 convolution, then one for each block.
        """
        features: list[Tensor] = []
        for layer in self:
            x = layer(x)
            features.append(x)
        return features


def get_group_size(batch: int, maximum: int = MAX_STD_GROUP) -> int:
    """Return the largest group size into which a batch divides.

    Args:
        batch: Images in the batch.
        maximum: Largest size allowed.

    Returns:
        A divisor of `batch`, at most `maximum`.
    """
    return next(size for size in range(min(batch, maximum), 0, -1) if batch % size == 0)


def compute_minibatch_std(x: Images, maximum: int = MAX_STD_GROUP) -> Float[Tensor, "n 1 h w"]:
    """Compute how much the images of a group differ, as a further channel.

    The standard deviation of each feature over a group, averaged over all features. Images whose indices are equal
    modulo the number of groups form a group. Groups are those of one process: nothing is reduced over processes.

    Args:
        x: Features (n, c, h, w).
        maximum: Largest size of a group.

    Returns:
        One constant channel (n, 1, h, w), at least 0.

    Source: Karras et al. 2018 (Progressive GAN), section 3.
    """
    n, c, h, w = x.shape
    size = get_group_size(n, maximum)
    grouped = x.to(torch.promote_types(x.dtype, torch.float32)).view(size, n // size, c, h, w)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(size)[:, None, None, None].expand(n, 1, h, w)


class DiscriminatorHead(nn.Module):
    """Map 4 x 4 features to one score: minibatch deviation, a 3x3 convolution, two linear layers.

    Args:
        inputs: Channels of the features.
        width: Channels of the convolution and numbers of the hidden layer.
        group: Largest group of the minibatch deviation.

    Source: StyleGAN2 (Karras et al. 2020), section 4.1.
    """

    def __init__(self, inputs: int, width: int, group: int = MAX_STD_GROUP) -> None:
        super().__init__()
        self.group = group
        self.conv = EqualizedConv2d(inputs + 1, width, 3, activate=True)
        self.hidden = EqualizedLinear(16 * width, width, activate=True)
        self.score = EqualizedLinear(width, 1)

    def forward(self, x: Float[Tensor, "n i 4 4"]) -> Float[Tensor, "n 1"]:
        """Map (n, inputs, 4, 4) to scores (n, 1), unbounded."""
        x = self.conv(torch.cat([x, compute_minibatch_std(x, self.group)], 1))
        return self.score(self.hidden(x.flatten(1)))
