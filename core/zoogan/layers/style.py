"""Blocks of style translation: StarGAN v2 (Choi et al. 2020, appendix A) and SMILE's layout stage (Romero et al. 2021).

Pre-activation residual blocks, those of the decoder driven by a style, and the encoder and decoder made of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.norm import InstanceNorm2d
from zoogan.layers.resample import PooledConv2d, ResizeConv2d

SLOPE = 0.2
HALF_POWER = 0.5**0.5
"""Keeps the variance of a sum of two."""

Images = Float[Tensor, "n c h w"]


def lrelu(x: Tensor, inplace: bool = False) -> Tensor:
    """LeakyReLU of slope 0.2. inplace: for what nobody else reads."""
    return F.leaky_relu(x, SLOPE, inplace)


def he_init(network: nn.Module) -> None:
    """Kaiming-normal weights (fan in, gain sqrt(2)) and zero biases of every convolution and linear layer, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def widths_of(width: int, halvings: int, most: int) -> list[int]:
    """Channels at each size, largest first: doubled at each halving up to `most`; the first is never cut."""
    return [width, *(min(width * 2**k, most) for k in range(1, halvings + 1))]


class ResBlock(nn.Module):
    """Pre-activation residual block: [norm], LReLU, 3x3, [pool], [norm], LReLU, 3x3; plus the input; over sqrt(2).

    The input passes a 1x1 convolution without bias where the number of channels changes.

    Args:
        normalise: instance norms with scale and shift.
        downsample: the mean of each 2 x 2 pixels.
    """

    def __init__(self, inputs: int, outputs: int, *, normalise: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.norm1 = InstanceNorm2d(inputs, affine=True) if normalise else None
        self.conv1 = PooledConv2d(inputs, inputs) if downsample else nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.norm2 = InstanceNorm2d(inputs, affine=True) if normalise else None
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, h, w), or half as high and wide."""
        y = lrelu(x) if self.norm1 is None else lrelu(self.norm1(x), inplace=True)
        y = self.conv1(y)
        y = lrelu(y if self.norm2 is None else self.norm2(y), inplace=True)
        y = self.conv2(y)
        # Pooling first is the same function as pooling last, and leaves the convolution a quarter of the pixels.
        x = F.avg_pool2d(x, 2) if self.downsample else x
        return (y + (x if self.shortcut is None else self.shortcut(x))).mul_(HALF_POWER)


class AdaIN(nn.Module):
    """Adaptive instance norm (Huang & Belongie 2017): (1 + scale) * normalised + shift, both linear in the style."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.norm = InstanceNorm2d(channels, affine=False)
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Images, style: Float[Tensor, "n s"]) -> Images:
        """`x` in the style."""
        scale, shift = self.fc(style).chunk(2, 1)
        if not x.is_contiguous():
            return torch.addcmul(shift[:, :, None, None], self.norm(x), 1 + scale[:, :, None, None])
        # Rows as more channels of one image, so that norm, scale and shift are one pass over the pixels.
        groups = x.shape[0] * x.shape[1]
        joined = x.view(1, groups, *x.shape[2:])
        return F.group_norm(joined, groups, (1 + scale).flatten(), shift.flatten(), self.norm.eps).view(x.shape)


class AdainResBlock(nn.Module):
    """Residual block with a style: AdaIN, LReLU, [nearest x2], 3x3, AdaIN, LReLU, 3x3; plus the input; over sqrt(2).

    Args:
        upsample: twice as high and wide.
        shortcut: False gives the residual alone, neither summed nor divided, and has no weights for the input.
    """

    def __init__(
        self, inputs: int, outputs: int, *, style_dim: int, upsample: bool = False, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = AdaIN(style_dim, inputs)
        self.conv1 = ResizeConv2d(inputs, outputs) if upsample else nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = AdaIN(style_dim, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut and inputs != outputs else None
        self.sums, self.upsample = shortcut, upsample

    def forward(self, x: Float[Tensor, "n i h w"], style: Float[Tensor, "n s"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, h, w), or twice as high and wide."""
        y = self.conv1(lrelu(self.norm1(x, style), inplace=True))
        y = self.conv2(lrelu(self.norm2(y, style), inplace=True))
        if not self.sums:
            return y
        # Enlarging last is the same function as enlarging first, and leaves the convolution a quarter of the pixels.
        x = x if self.shortcut is None else self.shortcut(x)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.upsample else x
        return (y + x).mul_(HALF_POWER)


class HighPass(nn.Module):
    """Each pixel eight times less its eight neighbours, over `divisor`; zeros around the image. No state."""

    kernel: Float[Tensor, "1 1 3 3"]

    def __init__(self, divisor: float) -> None:
        super().__init__()
        kernel = torch.full((1, 1, 3, 3), -1.0)
        kernel[..., 1, 1] = 8.0
        self.register_buffer("kernel", kernel, persistent=False)
        self.divisor = divisor

    def forward(self, x: Images) -> Images:
        """The details of `x`."""
        channels, kernel = x.shape[1], self.kernel.to(x.dtype) / self.divisor
        return F.conv2d(x, kernel.expand(channels, -1, -1, -1), padding=1, groups=channels)


class Content(NamedTuple):
    """What a decoder needs of an image, whatever the style.

    features: of the bottleneck. details: by side, features on the way there of which masks may keep the details.
    """

    features: Float[Tensor, "n c i j"]
    details: dict[int, Float[Tensor, "n _ _ _"]]


class ContentEncoder(nn.Module):
    """A 3x3 convolution, a residual block with norms for each halving, and a bottleneck of more of them.

    Args:
        channels: of the image.
        widths: channels at each size, largest first.
        bottleneck: blocks at the smallest size.
        keep: sides of which the features are remembered, as they enter the block.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], *, bottleneck: int = 2, keep: Collection[int] = ()
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1)
        down = [ResBlock(a, b, normalise=True, downsample=True) for a, b in itertools.pairwise(widths)]
        last = [ResBlock(widths[-1], widths[-1], normalise=True) for _ in range(bottleneck)]
        self.blocks = nn.ModuleList([*down, *last])
        self.keep = frozenset(keep)

    def forward(self, image: Images) -> Content:
        """(n, channels, h, w) -> features (n, widths[-1], h / 2^halvings, w / 2^halvings), and the details."""
        x, details = self.stem(image), {}
        for block in self.blocks:
            if x.shape[2] in self.keep:
                details[x.shape[2]] = x
            x = block(x)
        return Content(x, details)


class StyleDecoder(nn.Module):
    """The encoder's mirror: blocks that take a style, and between them the details that masks keep.

    Args:
        widths: the encoder's.
        block: makes a block of (inputs, outputs, upsample), called as `block(features, style)`.
        head: from features of the first width to the image.
        bottleneck: blocks at the smallest size.
        high_pass: divisor of the details that are kept; 0 = none are, and masks are refused.
        coarse: the side at which the first mask counts; the second does at all others.
    """

    def __init__(
        self,
        widths: Sequence[int],
        block: Callable[[int, int, bool], nn.Module],
        head: nn.Module,
        *,
        bottleneck: int = 2,
        high_pass: float = 0.0,
        coarse: int = 32,
    ) -> None:
        super().__init__()
        first = [block(widths[-1], widths[-1], False) for _ in range(bottleneck)]
        up = [block(b, a, True) for a, b in itertools.pairwise(widths)]
        self.blocks = nn.ModuleList([*first, *reversed(up)])
        self.head = head
        self.high_pass = HighPass(high_pass) if high_pass else None
        self.coarse = coarse

    def forward(
        self, content: Content, style: Float[Tensor, "n *heads s"], masks: Sequence[Tensor] | None = None
    ) -> Images:
        """The image in `style`, unbounded.

        Args:
            masks: coarse and fine (n, 1, i, j) of any size, in [0, 1]: where details are kept.

        Raises:
            ValueError: masks, but no high-pass filter for what they keep.
        """
        if masks is not None and self.high_pass is None:
            raise ValueError(
                "masks keep high-pass details, but high_pass=0 remembers none: give none, or set high_pass"
            )
        x = content.features
        for block in self.blocks:
            x = block(x, style)
            side = x.shape[2]
            if masks is not None and self.high_pass is not None and side in content.details:
                kept, mask = content.details[side], masks[0 if side == self.coarse else 1]
                mask = F.interpolate(mask, kept.shape[2:], mode="bilinear", align_corners=False)
                x = x + self.high_pass(mask * kept)
        return self.head(x)
