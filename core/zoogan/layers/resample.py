"""Convolutions that halve or double an image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution, which leaves no lattice (Odena et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, 2h, 2w)."""
        return super().forward(F.interpolate(input, scale_factor=2, mode="nearest"))


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
