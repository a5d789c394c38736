"""Layers with an equalised learning rate (Karras et al. 2018, section 4.1): weights are kept N(0, 1), scaled when used.

`lr_multiplier` further slows a layer down: its weights are kept that much larger.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.winograd import conv3x3

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Of the activation: keeps the variance of what passes a leaky ReLU of slope 0.2, nearly."""


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, in place. Without its gain: what comes before has been scaled by it, bias and all."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def pixel_norm(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Each row to a mean square of 1 (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class EqualisedLinear(nn.Module):
    """Linear layer; used weight = stored * lr_multiplier / sqrt(inputs).

    activate: followed by the leaky ReLU and its gain. bias: the first value of every bias; None = no bias.
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
        self.bias_gain = lr_multiplier * (GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """(..., inputs) -> (..., outputs)."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        x = F.linear(x, self.weight * self.weight_gain, bias)
        return activated(x) if self.activate else x


class EqualisedConv2d(nn.Module):
    """Convolution; used weight = stored / sqrt(inputs * kernel^2). activate: followed by the leaky ReLU and its gain.

    gain: of the output, for sums of branches.
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
        self.bias_gain = gain * (GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, ...)."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        weight = self.weight * self.weight_gain
        plain = weight.shape[2] == 3 and self.stride == 1 and self.padding == 1
        x = conv3x3(x, weight, bias) if plain else F.conv2d(x, weight, bias, self.stride, self.padding)
        return activated(x) if self.activate else x


class PixelNormMLP(nn.Sequential):
    """StyleGAN's mapping: pixel norm, then linear layers with leaky ReLUs, all of one width (StyleGAN, figure 1b)."""

    def __init__(self, width: int, layers: int, lr_multiplier: float) -> None:
        super().__init__(
            *(EqualisedLinear(width, width, lr_multiplier=lr_multiplier, activate=True) for _ in range(layers))
        )

    def forward(self, input: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """(n, width) -> (n, width)."""
        return super().forward(pixel_norm(input))
