"""Convolutions that halve or double height and width."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.winograd import Conv3x3


def expand_kernel(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    """Make the 4x4 kernel that equals a 3x3 kernel where every pixel stands for 2 x 2 pixels.

    Args:
        weight: Kernels (o, i, 3, 3).

    Returns:
        Kernels (o, i, 4, 4): each 3x3 kernel laid over the four pixels and summed.
    """
    padded = F.pad(weight, (1, 1, 1, 1))
    return padded[:, :, 1:, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, 1:] + padded[:, :, :-1, :-1]


def is_fused_faster(pixels: int, channels: int) -> bool:
    """Tell whether one 4x4 convolution is faster than resizing and a 3x3 convolution.

    Measured on a CPU, with its fast 3x3 convolutions, in both directions: below the threshold the fused form is up to
    three times slower, above it up to four times faster.

    Args:
        pixels: Height times width of the larger image.
        channels: Input channels.

    Returns:
        True if computing the 4x4 kernel costs less than it saves.
    """
    return pixels > 2 * channels


class ResizeConv2d(Conv3x3):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution: no checkerboard, unlike a transposed convolution.

    Large images take the transposed 4x4 convolution of stride 2 that is the same function: less than half the
    multiplications, and no enlarged image in memory.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Add a bias.

    Source: Odena et al. 2016 (Deconvolution and Checkerboard Artifacts).
    """

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Upsample (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        if not is_fused_faster(4 * input.shape[2] * input.shape[3], self.in_channels):
            return super().forward(F.interpolate(input, scale_factor=2.0, mode="nearest"))
        kernel = expand_kernel(self.weight.flip(2, 3)).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class PooledConv2d(Conv3x3):
    """A 3x3 convolution, then the mean of each 2 x 2 pixels.

    Large images take the 4x4 convolution of stride 2 that is the same function: less than half the multiplications.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Add a bias.

    Source: Karras et al. 2018.
    """

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Downsample (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        if not is_fused_faster(input.shape[2] * input.shape[3], self.in_channels):
            return F.avg_pool2d(super().forward(input), 2)
        return F.conv2d(input, expand_kernel(self.weight) / 4, self.bias, stride=2, padding=1)


def make_downsampling_conv(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    """Make a convolution k4 s2 p1 from (n, inputs, 2h, 2w) to (n, outputs, h, w).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Add a bias.

    Returns:
        The layer.
    """
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)


def make_upsampling_conv(kind: str, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Make a layer from (n, inputs, h, w) to (n, outputs, 2h, 2w).

    Args:
        kind: `transpose` = transposed convolution k4 s2 p1; `resize` = `ResizeConv2d`.
        inputs: Channels in.
        outputs: Channels out.
        bias: Add a bias.

    Returns:
        The layer.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
    if kind == "resize":
        return ResizeConv2d(inputs, outputs, bias)
    raise ValueError(f"no upsampling is called {kind!r}; choose transpose or resize")
