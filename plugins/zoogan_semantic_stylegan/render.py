"""Renders an image and its segmentation from the parts' features; no latent enters here.

Source: SemanticStyleGAN, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers import (
    DEMODULATION_EPSILON,
    LRELU_GAIN,
    add_noise_and_activate,
    conv3x3,
    disable_autocast,
    filter2d,
    upsample2d,
)


def demodulate_weight(
    weight: Float[Tensor, "o i k k"], scale: Float[Tensor, " i"], gain: float = 1.0
) -> Float[Tensor, "o i k k"]:
    """Scale the input channels of a weight and bring each output channel to norm `gain`.

    Args:
        weight: Kernels (o, i, k, k).
        scale: One factor an input channel.
        gain: Norm of each output channel.
    """
    with disable_autocast(weight):
        scaled = weight * (scale / math.sqrt(weight[0].numel()))[:, None, None]
        return scaled * (torch.rsqrt(scaled.square().sum((1, 2, 3), keepdim=True) + DEMODULATION_EPSILON) * gain)


class LearnedScaleConv2d(nn.Module):
    """StyleGAN2's styled 3x3 convolution, with learned scales instead of a latent's; noise, bias, leaky ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        up: Double height and width.
        noise: Add noise.
    """

    def __init__(self, inputs: int, outputs: int, *, up: bool = False, noise: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale = nn.Parameter(torch.ones(inputs))
        self.strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up

    def forward(
        self, x: Float[Tensor, "n i h w"], noise: Float[Tensor, "m 1 h2 w2"] | None = None
    ) -> Float[Tensor, "n o h2 w2"]:
        """Convolve (n, inputs, h, w) to (n, outputs, h, w), or twice as high and wide.

        Args:
            x: Features.
            noise: A map of N(0, 1) with n rows, or one for all; None = none is added.
        """
        weight = demodulate_weight(self.weight, self.scale, LRELU_GAIN).to(x.dtype)
        if self.up:
            x = filter2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
        else:
            x = conv3x3(x, weight)
        return add_noise_and_activate(x, self.bias, self.strength, noise)


class OutputConv(nn.Module):
    """The 1x1 convolution with learned scales that reads an image or a segmentation from features.

    Args:
        inputs: Channels in.
        channels: Channels out.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.scale = nn.Parameter(torch.ones(inputs))
        self.bias = nn.Parameter(torch.zeros(channels))

    def make_kernel(self) -> Float[Tensor, "c i 1 1"]:
        """Make the weights of the convolution."""
        return (self.weight * (self.scale / math.sqrt(len(self.scale))))[..., None, None]


class RenderStage(nn.Module):
    """One resolution: doubles the size by the first of two convolutions, and adds to image and segmentation.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        channels: Channels of an image.
        parts: Channels of a segmentation.
        noise: Add noise after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, channels: int, parts: int, noise: bool) -> None:
        super().__init__()
        self.up = LearnedScaleConv2d(inputs, outputs, up=True, noise=noise)
        self.conv = LearnedScaleConv2d(outputs, outputs, noise=noise)
        self.image = OutputConv(outputs, channels)
        self.segmentation = OutputConv(outputs, parts)

    def render_outputs(self, x: Float[Tensor, "n i h w"], before: Tensor | None) -> Float[Tensor, "n o h w"]:
        """Render image and segmentation as channels of one tensor, added to the doubled outputs of the stage before.

        Args:
            x: Features of this stage.
            before: Outputs of the stage before; None = this is the first.
        """
        kernel = torch.cat([self.image.make_kernel(), self.segmentation.make_kernel()])
        bias = torch.cat([self.image.bias, self.segmentation.bias])[:, None, None]
        outputs = F.conv2d(x, kernel.to(x.dtype)) + bias  # the sum has the bias's precision
        if before is None:
            return outputs
        with disable_autocast(before):  # do not round the sum at each resolution
            return outputs + upsample2d(before)


class Renderer(nn.Module):
    """Pools features to side `first` and renders them up to the image's side.

    At the features' own side they are concatenated again, in full. With `refine` the coarse masks are added to the
    segmentation there.

    Args:
        features: Channels of the features.
        features_side: Side of the features in pixels.
        first: Side at which rendering begins.
        widths: Channels at first, 2 * first, ... up to the image's side.
        channels: Channels of an image.
        parts: Channels of a segmentation.
        refine: Add the coarse masks to the segmentation.
        noise: Add noise after each convolution.
    """

    def __init__(
        self,
        features: int,
        features_side: int,
        first: int,
        widths: Sequence[int],
        channels: int,
        parts: int,
        *,
        refine: bool = True,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.features_side, self.first, self.channels, self.refine = features_side, first, channels, refine
        self.stages = nn.ModuleList()
        inputs, sides = features, []
        for k, width in enumerate(widths[1:]):
            side = first * 2**k
            inputs += features if side == features_side else 0
            self.stages.append(RenderStage(inputs, width, channels, parts, noise))
            inputs = width
            sides += [2 * side] * 2
        self.noise_sizes = tuple((side, side) for side in sides) if noise else ()

    def forward(
        self,
        features: Float[Tensor, "n f h w"],
        coarse: Float[Tensor, "n k h w"],
        noise: Sequence[Tensor | None],
    ) -> tuple[Float[Tensor, "n c s s"], Float[Tensor, "n k s s"]]:
        """Render an image and its segmentation.

        Args:
            features: The composed features of the parts.
            coarse: Masks of the parts in [-1, 1].
            noise: Two maps for each stage.

        Returns:
            Image and segmentation, unbounded.
        """
        x = F.adaptive_avg_pool2d(features, self.first)
        outputs: Tensor | None = None
        for k, stage in enumerate(self.stages):
            assert isinstance(stage, RenderStage)
            if x.shape[2] == self.features_side:
                x = torch.cat([x, features], 1)
            x = stage.conv(stage.up(x, noise[2 * k]), noise[2 * k + 1])
            outputs = stage.render_outputs(x, outputs)
            if self.refine and x.shape[2] == self.features_side:
                image, segmentation = outputs[:, : self.channels], outputs[:, self.channels :]
                outputs = torch.cat([image, segmentation + coarse.to(segmentation.dtype)], 1)
        assert outputs is not None
        return outputs[:, : self.channels], outputs[:, self.channels :]
