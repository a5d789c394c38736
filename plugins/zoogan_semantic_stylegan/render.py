"""From the parts' features to a picture and its segmentation (SemanticStyleGAN, section 3.3); no latent enters here."""

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
    """A weight, its input channels scaled, each output channel brought to norm `gain`."""
    with disable_autocast(weight):
        scaled = weight * (scale / math.sqrt(weight[0].numel()))[:, None, None]
        return scaled * (torch.rsqrt(scaled.square().sum((1, 2, 3), keepdim=True) + DEMODULATION_EPSILON) * gain)


class LearnedScaleConv2d(nn.Module):
    """StyleGAN2's styled 3x3 convolution with learned scales in the place of a latent's; noise, bias, leaky ReLU."""

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
        """(n, inputs, h, w) -> (n, outputs, h, w), or twice as high and wide. noise: of n rows, or one for all."""
        weight = demodulate_weight(self.weight, self.scale, LRELU_GAIN).to(x.dtype)
        if self.up:
            x = filter2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
        else:
            x = conv3x3(x, weight)
        return add_noise_and_activate(x, self.bias, self.strength, noise)


class OutputConv(nn.Module):
    """What features show, a picture or a segmentation: a 1x1 convolution with learned scales."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.scale = nn.Parameter(torch.ones(inputs))
        self.bias = nn.Parameter(torch.zeros(channels))

    def make_kernel(self) -> Float[Tensor, "c i 1 1"]:
        """The convolution's weights."""
        return (self.weight * (self.scale / math.sqrt(len(self.scale))))[..., None, None]


class RenderStage(nn.Module):
    """One resolution: twice the size, two convolutions, the picture and the segmentation so far."""

    def __init__(self, inputs: int, outputs: int, channels: int, parts: int, noise: bool) -> None:
        super().__init__()
        self.up = LearnedScaleConv2d(inputs, outputs, up=True, noise=noise)
        self.conv = LearnedScaleConv2d(outputs, outputs, noise=noise)
        self.image = OutputConv(outputs, channels)
        self.segmentation = OutputConv(outputs, parts)

    def render_outputs(self, x: Float[Tensor, "n i h w"], before: Tensor | None) -> Float[Tensor, "n o h w"]:
        """Picture and segmentation, one behind the other, added to the doubled ones of the stage before."""
        kernel = torch.cat([self.image.make_kernel(), self.segmentation.make_kernel()])
        bias = torch.cat([self.image.bias, self.segmentation.bias])[:, None, None]
        shown = F.conv2d(x, kernel.to(x.dtype)) + bias  # in the bias's precision, whatever the convolution's
        if before is None:
            return shown
        with disable_autocast(before):  # what all resolutions add up to is not rounded at each of them
            return shown + upsample2d(before)


class Renderer(nn.Module):
    """Features at side `features_side`, pooled to `first`, rendered up to the picture's side.

    Where rendering comes by the features' own side they are laid beside, in full; so are the coarse masks when the
    segmentation gets there, if `refine`.

    widths: of the layers at first, 2 * first, ... up to the picture's side.
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
        """(picture, segmentation); coarse: the parts' masks in [-1, 1]. noise: two maps for each stage."""
        x = F.adaptive_avg_pool2d(features, self.first)
        shown: Tensor | None = None
        for k, stage in enumerate(self.stages):
            assert isinstance(stage, RenderStage)
            if x.shape[2] == self.features_side:
                x = torch.cat([x, features], 1)
            x = stage.conv(stage.up(x, noise[2 * k]), noise[2 * k + 1])
            shown = stage.render_outputs(x, shown)
            if self.refine and x.shape[2] == self.features_side:
                image, segmentation = shown[:, : self.channels], shown[:, self.channels :]
                shown = torch.cat([image, segmentation + coarse.to(segmentation.dtype)], 1)
        assert shown is not None
        return shown[:, : self.channels], shown[:, self.channels :]
