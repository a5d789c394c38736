"""Convolutions whose weights a latent scales: StyleGAN2's blocks (Karras et al. 2020, section 2.2 and appendix B)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.equalised import GAIN, EqualisedLinear, activated
from zoogan.layers.fir import blurred, doubled
from zoogan.layers.winograd import conv3x3

EPSILON = 1e-8
Scales = Float[Tensor, "n i"]


def full_precision_on(x: Tensor) -> torch.autocast:
    """Inside, nothing on the device of `x` is cast down."""
    return torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False)


def demodulation(weight: Float[Tensor, "o i k k"], scale: Scales) -> Float[Tensor, "n o"]:
    """What each output channel is multiplied by, so that its weights, scaled for this image, have norm 1."""
    with full_precision_on(weight):
        squares = F.linear(scale.to(weight.dtype).square(), weight.square().sum((2, 3)))
        return torch.rsqrt(squares + EPSILON)


def modulated_conv2d(
    x: Float[Tensor, "n i h w"],
    weight: Float[Tensor, "o i k k"],
    scale: Scales,
    *,
    demodulate: bool = True,
    up: bool = False,
    gain: float = 1.0,
    form: Literal["scaled", "grouped"] = "scaled",
) -> Float[Tensor, "n o h2 w2"]:
    """Convolve each image with its own weights: `weight`, its input channels times `scale`, then demodulated.

    Args:
        scale: for each image and input channel; 1 / sqrt(i k^2) of an equalised learning rate included.
        demodulate: bring the weights of each output channel to norm 1.
        up: double height and width: a transposed convolution of stride 2, then the low-pass filter.
        gain: of the output.
        form: the same function in two ways. `scaled`: the images are scaled before, and demodulated after, one
            convolution with the shared weight; 1 to 10 times as fast in training. `grouped`: the weights are made for
            each image, and one grouped convolution uses them all; for one image, and as the measure of the other.
    """
    n, outputs, kernel = len(x), weight.shape[0], weight.shape[2]
    after = demodulation(weight, scale) * gain if demodulate else None
    if form == "grouped":
        each = weight * scale[:, None, :, None, None]
        each = each * (gain if after is None else after[:, :, None, None, None])
        flat = x.reshape(1, -1, *x.shape[2:])
        if up:
            y = F.conv_transpose2d(flat, each.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
            return blurred(y.view(n, outputs, *y.shape[2:]), (1, 1), 4.0)
        return F.conv2d(flat, each.flatten(0, 1), padding=kernel // 2, groups=n).view(n, outputs, *x.shape[2:])
    x = x * scale.to(x.dtype)[:, :, None, None]
    if up:
        y = blurred(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
    else:
        y = conv3x3(x, weight) if kernel == 3 else F.conv2d(x, weight, padding=kernel // 2)
    if after is not None:
        return y * after.to(y.dtype)[:, :, None, None]
    return y * gain if gain != 1.0 else y


class ModulatedConv2d(nn.Module):
    """A convolution with a latent's scales, an affine function of it.

    affine: `equalised` = StyleGAN2's, a linear layer of equalised learning rate whose bias starts at 1, and such a
    weight; `delta` = SMILE's, 1 + a plain linear layer, and a plain weight.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        up: bool = False,
        gain: float = 1.0,
        affine: Literal["equalised", "delta"] = "equalised",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine: nn.Module
        if affine == "equalised":
            self.affine = EqualisedLinear(style_dim, inputs, bias=1.0)
            self.offset, self.weight_gain = 0.0, 1 / math.sqrt(inputs * kernel**2)
        else:
            nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")
            self.affine = nn.Linear(style_dim, inputs)
            self.offset, self.weight_gain = 1.0, 1.0
        self.demodulate, self.up, self.gain = demodulate, up, gain

    def scale(self, latent: Float[Tensor, "n s"]) -> Scales:
        """What the input channels of each image are multiplied by."""
        return (self.affine(latent) + self.offset) * self.weight_gain

    def forward(self, x: Float[Tensor, "n i h w"], latent: Float[Tensor, "n s"]) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w), (n, style_dim) -> (n, outputs, h, w), or twice as high and wide."""
        return modulated_conv2d(
            x, self.weight, self.scale(latent), demodulate=self.demodulate, up=self.up, gain=self.gain
        )


def finished(
    x: Float[Tensor, "n o h w"],
    bias: Float[Tensor, " o"],
    strength: Float[Tensor, "1"] | None,
    noise: Float[Tensor, "m 1 h w"] | None,
) -> Float[Tensor, "n o h w"]:
    """What follows a convolution that has the activation's gain already: noise of one strength, bias, leaky ReLU."""
    added = (bias * GAIN)[None, :, None, None]
    if strength is not None and noise is not None:
        added = added + noise * (strength * GAIN)
    return activated(x + added.to(x.dtype))


class StyledConv2d(nn.Module):
    """Modulated 3x3 convolution, noise of one learned strength, bias, leaky ReLU with its gain.

    noise: False = without, and without its strength.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, up: bool = False, noise: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style_dim, up=up, gain=GAIN)
        self.strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self,
        x: Float[Tensor, "n i h w"],
        latent: Float[Tensor, "n s"],
        noise: Float[Tensor, "m 1 h2 w2"] | None = None,
    ) -> Float[Tensor, "n o h2 w2"]:
        """(n, inputs, h, w) -> (n, outputs, h, w), or twice as high and wide. noise: of n rows, or one for all."""
        return finished(self.conv(x, latent), self.bias, self.strength, noise)


class ToRGB(nn.Module):
    """The image that features show: modulated 1x1 convolution without demodulation, and bias."""

    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self,
        x: Float[Tensor, "n i h w"],
        latent: Float[Tensor, "n s"],
        skip: Float[Tensor, "n c h//2 w//2"] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """(n, inputs, h, w) -> (n, channels, h, w), added to the doubled `skip`, half as high and wide."""
        image = self.conv(x, latent) + self.bias[None, :, None, None]
        if skip is None:
            return image
        with full_precision_on(skip):  # what all resolutions add up to is not rounded at each of them
            return image + doubled(skip)
