"""Linear and convolution layers with an equalized learning rate.

Weights are stored as N(0, 1) and scaled whenever they are used. `lr_multiplier` slows a layer down further: its weights
are stored that much larger.

Source: Karras et al. 2018 (Progressive GAN), section 4.1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.activations import LRELU_GAIN, leaky_relu
from zoogan.layers.winograd import conv3x3


class EqualizedLinear(nn.Module):
    """Linear layer whose used weight is stored * lr_multiplier / sqrt(inputs).

    Args:
        inputs: Numbers in.
        outputs: Numbers out.
        bias: Initial value of every bias; None = no bias.
        lr_multiplier: Factor of the layer's learning rate.
        activate: Apply a leaky ReLU with its gain.

    Source: Karras et al. 2018, section 4.1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: float | None = 0.0,
        lr_multiplier: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = None if bias is None else nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.activate = activate
        self.bias_gain = lr_multiplier * (LRELU_GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """Map (..., inputs) to (..., outputs)."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        x = F.linear(x, self.weight * self.weight_gain, bias)
        return leaky_relu(x, inplace=True) if self.activate else x


class EqualizedConv2d(nn.Module):
    """Convolution whose used weight is stored / sqrt(inputs * kernel^2).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width of the kernel.
        stride: Pixels from one output to the next.
        padding: Zeros at each border; None = kernel // 2.
        bias: Add a bias that starts at 0.
        activate: Apply a leaky ReLU with its gain.
        gain: Factor of the output, for sums of branches.

    Source: Karras et al. 2018, section 4.1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        activate: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.stride, self.padding, self.activate = stride, kernel // 2 if padding is None else padding, activate
        self.bias_gain = gain * (LRELU_GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Convolve (n, inputs, h, w) to (n, outputs, h2, w2)."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        weight = self.weight * self.weight_gain
        is_plain = weight.shape[2] == 3 and self.stride == 1 and self.padding == 1
        x = conv3x3(x, weight, bias) if is_plain else F.conv2d(x, weight, bias, self.stride, self.padding)
        return leaky_relu(x, inplace=True) if self.activate else x
