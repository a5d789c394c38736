"""Convolutions that halve or double an image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def spread(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    """The 4x4 kernel that a 3x3 one is when every pixel stands for 2 x 2 of them."""
    laid = F.pad(weight, (1, 1, 1, 1))
    return laid[:, :, 1:, 1:] + laid[:, :, 1:, :-1] + laid[:, :, :-1, 1:] + laid[:, :, :-1, :-1]


def pays(pixels: int, channels: int) -> bool:
    """Whether spreading a kernel costs less than it saves, for so many pixels of the larger image.

    Measured on CPU, with its fast 3x3 convolutions, in both directions: below it one loses up to three times, above it
    one gains up to four times.
    """
    return pixels > 2 * channels


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: no lattice, unlike a transposed one (Odena et al. 2016).

    Large images: computed as the transposed 4x4 convolution of stride 2 that is the same function, its kernel the 3x3
    one laid over each of the four pixels that a pixel becomes: less than half the multiplications, and no enlarged
    image in memory.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, 2h, 2w)."""
        if not pays(4 * input.shape[2] * input.shape[3], self.in_channels):
            return super().forward(F.interpolate(input, scale_factor=2.0, mode="nearest"))
        kernel = spread(self.weight.flip(2, 3)).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class PooledConv2d(nn.Conv2d):
    """A 3x3 convolution, then the mean of each 2 x 2 pixels.

    Large images: computed as the 4x4 convolution of stride 2 that is the same function (Karras et al. 2018), less than
    half the multiplications.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, 2h, 2w) -> (n, outputs, h, w)."""
        if not pays(input.shape[2] * input.shape[3], self.in_channels):
            return F.avg_pool2d(super().forward(input), 2)
        return F.conv2d(input, spread(self.weight) / 4, self.bias, stride=2, padding=1)


def halving(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    """Convolution k4 s2 p1: (n, inputs, 2h, 2w) -> (n, outputs, h, w)."""
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)


def doubling(kind: str, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """`transpose` (k4 s2 p1) or `resize`: (n, inputs, h, w) -> (n, outputs, 2h, 2w)."""
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
    if kind == "resize":
        return ResizeConv2d(inputs, outputs, bias)
    raise ValueError(f"no upsampling is called {kind!r}; known: transpose, resize")
