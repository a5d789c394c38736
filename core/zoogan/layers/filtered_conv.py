"""Convolutions that halve or double height and width with a low-pass filter, as StyleGAN2's.

Source: StyleGAN2 (Karras et al. 2020), appendix B.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.activations import LRELU_GAIN, leaky_relu
from zoogan.layers.equalized import EqualizedConv2d
from zoogan.layers.fir import filter2d


class FilteredDownConv2d(nn.Module):
    """Low-pass filter, 3x3 convolution of stride 2, bias, leaky ReLU with its gain.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(inputs, outputs, 3, stride=2, padding=0, activate=True)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        return self.conv(filter2d(x, (2, 2)))


class FilteredUpConv2d(nn.Module):
    """Transposed 3x3 convolution of stride 2, low-pass filter, bias, leaky ReLU with its gain.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain = LRELU_GAIN / math.sqrt(9 * inputs)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        weight = (self.weight * self.weight_gain).transpose(0, 1)
        y = filter2d(F.conv_transpose2d(x, weight, stride=2), (1, 1), 4.0)
        return leaky_relu(y + (self.bias * LRELU_GAIN)[None, :, None, None], inplace=True)
