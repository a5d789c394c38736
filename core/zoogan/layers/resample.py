"""Convolutions that halve or double an image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: no lattice, unlike a transposed one (Odena et al. 2016).

    Computed as the transposed 4x4 convolution of stride 2 that is the same function, its kernel the 3x3 one laid over
    each of the four pixels that a pixel becomes: less than half the multiplications, and no enlarged image in memory.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, 2h, 2w)."""
        laid = F.pad(self.weight.flip(2, 3), (1, 1, 1, 1))
        kernel = laid[:, :, 1:, 1:] + laid[:, :, 1:, :-1] + laid[:, :, :-1, 1:] + laid[:, :, :-1, :-1]
        return F.conv_transpose2d(input, kernel.transpose(0, 1), self.bias, stride=2, padding=1)


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
