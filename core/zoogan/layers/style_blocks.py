"""Blocks of style translation: residual blocks, and the encoder and the decoder made of them.

The decoder's blocks take a style through AdaIN.

Source: StarGAN v2 (Choi et al. 2020), appendix A; SMILE's layout stage (Romero et al. 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.interfaces.graph import is_exporting
from zoogan.layers.activations import SQRT_HALF, leaky_relu
from zoogan.layers.norm import InstanceNorm2d
from zoogan.layers.resample import PooledConv2d, ResizeConv2d
from zoogan.layers.shapes import Images
from zoogan.layers.winograd import Conv3x3


def init_kaiming(network: nn.Module) -> None:
    """Set every convolution and linear layer to Kaiming-normal weights and zero biases, in place.

    Args:
        network: The network to initialise; fan in, gain sqrt(2).

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class PreActResidualBlock(nn.Module):
    """Pre-activation residual block: [norm], LReLU, 3x3, [pool], [norm], LReLU, 3x3; plus the input; over sqrt(2).

    The input passes a 1x1 convolution without bias where the number of channels changes.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        normalise: Use instance norms with scale and shift.
        downsample: Halve height and width by the mean of each 2 x 2 pixels.

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
    """

    def __init__(self, inputs: int, outputs: int, *, normalise: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.norm1 = InstanceNorm2d(inputs, affine=True) if normalise else None
        self.conv1 = PooledConv2d(inputs, inputs) if downsample else Conv3x3(inputs, inputs)
        self.norm2 = InstanceNorm2d(inputs, affine=True) if normalise else None
        self.conv2 = Conv3x3(inputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) to (n, outputs, h, w), or half as high and wide."""
        y = leaky_relu(x) if self.norm1 is None else leaky_relu(self.norm1(x), inplace=True)
        y = self.conv1(y)
        y = leaky_relu(y if self.norm2 is None else self.norm2(y), inplace=True)
        y = self.conv2(y)
        # Pooling first is the same function as pooling last, and leaves the convolution a quarter of the pixels.
        x = F.avg_pool2d(x, 2) if self.downsample else x
        return (y + (x if self.shortcut is None else self.shortcut(x))).mul_(SQRT_HALF)


class AdaIN(nn.Module):
    """Adaptive instance norm: (1 + scale) * normalised + shift, both linear in the style.

    Args:
        style_dim: Numbers in a style.
        channels: Channels in and out.

    Source: Huang and Belongie 2017.
    """

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.norm = InstanceNorm2d(channels, affine=False)
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Images, style: Float[Tensor, "n s"]) -> Images:
        """Normalise (n, channels, h, w), then scale and shift by styles (n, style_dim)."""
        scale, shift = self.fc(style).chunk(2, 1)
        if not x.is_contiguous() or is_exporting():  # an exporter would fix the batch in the number of groups
            return torch.addcmul(shift[:, :, None, None], self.norm(x), 1 + scale[:, :, None, None])
        # Rows as more channels of one image, so that norm, scale and shift are one pass over the pixels.
        groups = x.shape[0] * x.shape[1]
        joined = x.view(1, groups, *x.shape[2:])
        return F.group_norm(joined, groups, (1 + scale).flatten(), shift.flatten(), self.norm.eps).view(x.shape)


class AdainResidualBlock(nn.Module):
    """Residual block with a style: AdaIN, LReLU, [nearest x2], 3x3, AdaIN, LReLU, 3x3; plus the input; over sqrt(2).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        style_dim: Numbers in a style.
        upsample: Double height and width.
        shortcut: Add the input; False = the residual alone, neither summed nor divided, without weights for the input.

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
    """

    def __init__(
        self, inputs: int, outputs: int, *, style_dim: int, upsample: bool = False, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = AdaIN(style_dim, inputs)
        self.conv1 = ResizeConv2d(inputs, outputs) if upsample else Conv3x3(inputs, outputs)
        self.norm2 = AdaIN(style_dim, outputs)
        self.conv2 = Conv3x3(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut and inputs != outputs else None
        self.sums, self.upsample = shortcut, upsample

    def forward(self, x: Float[Tensor, "n i h w"], style: Float[Tensor, "n s"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) and styles (n, style_dim) to (n, outputs, h, w), or twice as high and wide."""
        y = self.conv1(leaky_relu(self.norm1(x, style), inplace=True))
        y = self.conv2(leaky_relu(self.norm2(y, style), inplace=True))
        if not self.sums:
            return y
        # Enlarging last is the same function as enlarging first, and leaves the convolution a quarter of the pixels.
        x = x if self.shortcut is None else self.shortcut(x)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.upsample else x
        return (y + x).mul_(SQRT_HALF)


class HighPass(nn.Module):
    """High-pass filter: (8 * pixel - its eight neighbours) / divisor, with zeros around the image.

    Args:
        divisor: Divides the result.

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
    """

    kernel: Float[Tensor, "1 1 3 3"]

    def __init__(self, divisor: float) -> None:
        super().__init__()
        kernel = torch.full((1, 1, 3, 3), -1.0)
        kernel[..., 1, 1] = 8.0
        self.register_buffer("kernel", kernel, persistent=False)
        self.divisor = divisor

    def forward(self, x: Images) -> Images:
        """Filter images (n, c, h, w), each channel by itself."""
        channels, kernel = x.shape[1], self.kernel.to(x.dtype) / self.divisor
        return F.conv2d(x, kernel.expand(channels, -1, -1, -1), padding=1, groups=channels)


class Content(NamedTuple):
    """The encoding of an image, which a decoder uses with any style.

    Attributes:
        features: Features of the bottleneck.
        details: By side in pixels, features of the encoder whose details masks may keep.
    """

    features: Float[Tensor, "n c i j"]
    details: dict[int, Float[Tensor, "n _ _ _"]]


class ContentEncoder(nn.Module):
    """A 3x3 convolution, one residual block with norms a halving, and more of them as the bottleneck.

    Args:
        channels: Channels of the image.
        widths: Channels at each size, largest size first.
        bottleneck: Blocks at the smallest size.
        keep: Sides in pixels at which the features that enter the block are kept.

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], *, bottleneck: int = 2, keep: Collection[int] = ()
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1)
        down = [PreActResidualBlock(a, b, normalise=True, downsample=True) for a, b in itertools.pairwise(widths)]
        last = [PreActResidualBlock(widths[-1], widths[-1], normalise=True) for _ in range(bottleneck)]
        self.blocks = nn.ModuleList([*down, *last])
        self.keep = frozenset(keep)

    def forward(self, image: Images) -> Content:
        """Map (n, channels, h, w) to features (n, widths[-1], h / 2^halvings, w / 2^halvings), and the details."""
        x, details = self.stem(image), {}
        for block in self.blocks:
            if x.shape[2] in self.keep:
                details[x.shape[2]] = x
            x = block(x)
        return Content(x, details)


class StyleDecoder(nn.Module):
    """The mirror of `ContentEncoder`: blocks that take a style, and between them the details that masks keep.

    Args:
        widths: Channels at each size, as those of the encoder.
        block: Makes a block from (inputs, outputs, upsample); the block is called as `block(features, style)`, or as
            `block(features, style, noise)`.
        head: Maps features of the first width to the image.
        bottleneck: Blocks at the smallest size.
        high_pass: Divisor of the details that are kept; 0 = none are kept, and masks are refused.
        coarse: Side in pixels at which the coarse mask applies; the fine mask applies at all others.

    Source: StarGAN v2 (Choi et al. 2020), appendix A.
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
        self,
        content: Content,
        style: Float[Tensor, "n *heads s"],
        masks: Sequence[Tensor] | None = None,
        noise: Sequence[Tensor] | None = None,
    ) -> Images:
        """Decode an image in a style.

        Args:
            content: Output of the encoder.
            style: Styles (n, *heads, s).
            masks: Coarse and fine masks (n, 1, i, j) of any size, in [0, 1]: where details are kept; None = nowhere.
            noise: Two maps (n, 1, i, j) for each block, of the size of its output, if its blocks take noise; None = no
                noise.

        Returns:
            The images, unbounded.

        Raises:
            ValueError: There are masks, but no high-pass filter for the details that they keep.
        """
        if masks is not None and self.high_pass is None:
            raise ValueError(
                "masks keep high-pass details, but high_pass=0 keeps none: remove the masks or set high_pass"
            )
        x = content.features
        for k, block in enumerate(self.blocks):
            x = block(x, style) if noise is None else block(x, style, noise[2 * k : 2 * k + 2])
            side = x.shape[2]
            if masks is not None and self.high_pass is not None and side in content.details:
                details, mask = content.details[side], masks[0 if side == self.coarse else 1]
                mask = F.interpolate(mask, details.shape[2:], mode="bilinear", align_corners=False)
                x = x + self.high_pass(mask * details)
        return self.head(x)
