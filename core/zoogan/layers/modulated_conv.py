"""StyleGAN2's modulated convolutions: a latent scales their weights.

Source: StyleGAN2 (Karras et al. 2020), section 2.2 and appendix B.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.activations import LRELU_GAIN, leaky_relu
from zoogan.layers.equalized import EqualizedLinear
from zoogan.layers.fir import filter2d, upsample2d
from zoogan.layers.precision import disable_autocast
from zoogan.layers.winograd import conv3x3

DEMODULATION_EPSILON = 1e-8
"""Added to the squared norm before the division."""
Scales = Float[Tensor, "n i"]


def compute_demodulation(weight: Float[Tensor, "o i k k"], scale: Scales) -> Float[Tensor, "n o"]:
    """Compute the factor that brings the scaled weights of each output channel to norm 1.

    Args:
        weight: Kernels (o, i, k, k).
        scale: Factors of the input channels (n, i), one row an image.

    Returns:
        Factors (n, o).

    Source: StyleGAN2 (Karras et al. 2020), section 2.2.
    """
    with disable_autocast(weight):
        squares = F.linear(scale.to(weight.dtype).square(), weight.square().sum((2, 3)))
        return torch.rsqrt(squares + DEMODULATION_EPSILON)


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
    """Convolve each image with its own weights: the input channels of `weight` times `scale`, then demodulated.

    Args:
        x: Features (n, i, h, w).
        weight: Shared kernels (o, i, k, k).
        scale: Factors of the input channels (n, i), one row an image; the 1 / sqrt(i k^2) of an equalized learning
            rate is included.
        demodulate: Bring the weights of each output channel to norm 1.
        up: Double height and width: a transposed convolution of stride 2, then the low-pass filter.
        gain: Factor of the output.
        form: Two ways to compute the same function. `scaled`: scale the images, convolve with the shared weight,
            demodulate; 1 to 10 times as fast in training. `grouped`: make the weights of each image and use them in
            one grouped convolution; for single images, and as the reference of the other.

    Returns:
        Features (n, o, h, w), or twice as high and wide.

    Source: StyleGAN2 (Karras et al. 2020), section 2.2 and appendix B.
    """
    n, outputs, kernel = x.shape[0], weight.shape[0], weight.shape[2]
    after = compute_demodulation(weight, scale) * gain if demodulate else None
    if form == "grouped":
        each = weight * scale[:, None, :, None, None]
        each = each * (gain if after is None else after[:, :, None, None, None])
        flat = x.reshape(1, -1, *x.shape[2:])
        if up:
            y = F.conv_transpose2d(flat, each.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
            return filter2d(y.view(n, outputs, *y.shape[2:]), (1, 1), 4.0)
        return F.conv2d(flat, each.flatten(0, 1), padding=kernel // 2, groups=n).view(n, outputs, *x.shape[2:])
    x = x * scale.to(x.dtype)[:, :, None, None]
    if up:
        y = filter2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
    else:
        y = conv3x3(x, weight) if kernel == 3 else F.conv2d(x, weight, padding=kernel // 2)
    if after is not None:
        return y * after.to(y.dtype)[:, :, None, None]
    return y * gain if gain != 1.0 else y


class ModulatedConv2d(nn.Module):
    """A modulated convolution whose scales are an affine function of a latent.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width of the kernel.
        style_dim: Numbers in a latent.
        demodulate: Bring the weights of each output channel to norm 1.
        up: Double height and width.
        gain: Factor of the output.
        affine: `equalised` = StyleGAN2's: a linear layer with an equalized learning rate whose bias starts at 1, and
            a weight with one; `delta` = SMILE's: 1 + a plain linear layer, and a plain weight.

    Source: StyleGAN2 (Karras et al. 2020), section 2.2; `delta`: SMILE (Romero et al. 2021).
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
            self.affine = EqualizedLinear(style_dim, inputs, bias=1.0)
            self.offset, self.weight_gain = 0.0, 1 / math.sqrt(inputs * kernel**2)
        else:
            nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")
            self.affine = nn.Linear(style_dim, inputs)
            self.offset, self.weight_gain = 1.0, 1.0
        self.demodulate, self.up, self.gain = demodulate, up, gain

    def compute_scale(self, latent: Float[Tensor, "n s"]) -> Scales:
        """Compute the factors (n, inputs) of the input channels from latents (n, style_dim)."""
        return (self.affine(latent) + self.offset) * self.weight_gain

    def forward(self, x: Float[Tensor, "n i h w"], latent: Float[Tensor, "n s"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) and latents (n, style_dim) to (n, outputs, h, w), or twice as high and wide."""
        return modulated_conv2d(
            x, self.weight, self.compute_scale(latent), demodulate=self.demodulate, up=self.up, gain=self.gain
        )


def add_noise_and_activate(
    x: Float[Tensor, "n o h w"],
    bias: Float[Tensor, " o"],
    strength: Float[Tensor, "1"] | None,
    noise: Float[Tensor, "m 1 h w"] | None,
) -> Float[Tensor, "n o h w"]:
    """Add noise and bias after a convolution that has the activation's gain already, then apply the leaky ReLU.

    Args:
        x: Features (n, o, h, w).
        bias: One number a channel (o,).
        strength: Factor of the noise (1,); None = no noise.
        noise: Maps N(0, 1) of n rows, or of one for all (m, 1, h, w); None = no noise.

    Returns:
        Features (n, o, h, w).

    Source: StyleGAN2 (Karras et al. 2020), section 2.2.
    """
    added = (bias * LRELU_GAIN)[None, :, None, None]
    if strength is not None and noise is not None:
        added = added + noise * (strength * LRELU_GAIN)
    return leaky_relu(x + added.to(x.dtype), inplace=True)


class StyledConv2d(nn.Module):
    """Modulated 3x3 convolution, noise of one learned strength, bias, leaky ReLU with its gain.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        style_dim: Numbers in a latent.
        up: Double height and width.
        noise: Add noise; False = the layer has no strength either.

    Source: StyleGAN2 (Karras et al. 2020), section 2.2.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, up: bool = False, noise: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style_dim, up=up, gain=LRELU_GAIN)
        self.strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self,
        x: Float[Tensor, "n i h w"],
        latent: Float[Tensor, "n s"],
        noise: Float[Tensor, "m 1 h2 w2"] | None = None,
    ) -> Float[Tensor, "n o h2 w2"]:
        """Convolve and activate.

        Args:
            x: Features (n, inputs, h, w).
            latent: Latents (n, style_dim).
            noise: Maps N(0, 1) of n rows, or of one for all (m, 1, h2, w2); None = no noise.

        Returns:
            Features (n, outputs, h, w), or twice as high and wide.
        """
        return add_noise_and_activate(self.conv(x, latent), self.bias, self.strength, noise)


class ToRGB(nn.Module):
    """Map features to an image: modulated 1x1 convolution without demodulation, and bias.

    Args:
        inputs: Channels in.
        channels: Channels of the image.
        style_dim: Numbers in a latent.

    Source: StyleGAN2 (Karras et al. 2020).
    """

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
        """Map features to an image.

        Args:
            x: Features (n, inputs, h, w).
            latent: Latents (n, style_dim).
            skip: The image of the resolution below, half as high and wide; None = there is none.

        Returns:
            The image (n, channels, h, w), added to the upsampled `skip`.
        """
        image = self.conv(x, latent) + self.bias[None, :, None, None]
        if skip is None:
            return image
        with disable_autocast(skip):  # the sum over all resolutions is not rounded at each of them
            return image + upsample2d(skip)
