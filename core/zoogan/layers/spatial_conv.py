"""Spatially adaptive convolutions: the layout and the codes of its parts scale the channels of each pixel.

Source: SMILE (Romero et al. 2021), section 3.2, official `metrics/smileSYN.py` (`ModulatedConv2d_SEAN`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.activations import LRELU_GAIN
from zoogan.layers.equalized import EqualizedConv2d
from zoogan.layers.fir import filter2d, upsample2d
from zoogan.layers.modulated_conv import DEMODULATION_EPSILON, add_noise_and_activate
from zoogan.layers.precision import disable_autocast
from zoogan.layers.regions import Codes, Layout, RegionLinear, scatter_codes
from zoogan.layers.winograd import conv3x3


def compute_spatial_demodulation(
    scale: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i k k"]
) -> Float[Tensor, "n o"]:
    """Compute the factor that brings each output channel to norm 1, averaged over the pixels.

    It is 1 / sqrt(mean over the pixels of conv(scale^2, weight^2)) with zeros around the image, without the
    convolution: a place of the kernel sees all pixels but a border row or column.

    Args:
        scale: Factors of the input channels at each pixel.
        weight: Kernels of 1 or 3 pixels.

    Returns:
        Factors (n, o).

    Source: SMILE (Romero et al. 2021), official `metrics/smileSYN.py`.
    """
    with disable_autocast(weight):
        squares, weights = scale.to(weight.dtype).square(), weight.square()
        if weight.shape[2] == 1:
            mean = F.linear(squares.mean((2, 3)), weights[:, :, 0, 0])
            return torch.rsqrt(mean + DEMODULATION_EPSILON)
        none = squares.new_zeros(squares.shape[:2])
        whole = squares.sum((2, 3))
        rows = torch.stack([squares[:, :, -1].sum(2), none, squares[:, :, 0].sum(2)], 2)
        columns = torch.stack([squares[..., -1].sum(2), none, squares[..., 0].sum(2)], 2)
        corners = torch.stack([
            squares[:, :, -1, -1], none, squares[:, :, -1, 0], none, none, none,
            squares[:, :, 0, -1], none, squares[:, :, 0, 0],
        ], 2).unflatten(2, (3, 3))  # fmt: skip
        seen = whole[:, :, None, None] - rows[..., None] - columns[:, :, None] + corners
        pixels = scale.shape[2] * scale.shape[3]
        mean = torch.einsum("nihw,oihw->no", seen, weights) / pixels
        return torch.rsqrt(mean + DEMODULATION_EPSILON)


class SpatialModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled at each pixel by the layout and by the code of the pixel's part.

    The scales are a blend of two maps: of a small network on the layout alone, and of the scattered codes. Layers that
    read the layout alone have a blend too, which they do not use, as the official weights have.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width of the kernel, 1 or 3.
        regions: Number of parts.
        code_dim: Numbers in a code.
        up: Double height and width.
        demodulate: Bring each output channel to norm 1.
        reads_codes: Read the codes; False = the layout alone.
        hidden: Channels of the network on the layout.
        gain: Factor of the output.

    Source: SMILE (Romero et al. 2021), section 3.2.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        regions: int,
        code_dim: int,
        *,
        up: bool = False,
        demodulate: bool = True,
        reads_codes: bool = True,
        hidden: int = 128,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)
        self.blend = nn.Parameter(torch.zeros(1))
        self.layout_hidden = EqualizedConv2d(regions, hidden, 3, activate=True)
        self.layout_scale = EqualizedConv2d(hidden, inputs, 3)
        self.regions = RegionLinear(regions, code_dim, code_dim) if reads_codes else None
        self.code_scale = EqualizedConv2d(code_dim, inputs, 3) if reads_codes else None
        self.up, self.demodulate, self.gain = up, demodulate, gain

    def compute_scale(self, codes: Codes, layout: Layout) -> Float[Tensor, "n i h w"]:
        """Compute the factors of the input channels at each pixel.

        Args:
            codes: A code of each part.
            layout: The layout, of the size of the input.

        Returns:
            Factors (n, inputs, h, w).
        """
        of_layout: Tensor = self.layout_scale(self.layout_hidden(layout))
        if self.regions is None or self.code_scale is None:
            return of_layout
        of_codes = self.code_scale(scatter_codes(self.regions(codes), layout))
        return torch.lerp(of_layout, of_codes, self.blend.sigmoid().to(of_layout.dtype))

    def forward(self, x: Float[Tensor, "n i h w"], codes: Codes, layout: Layout) -> Float[Tensor, "n o h2 w2"]:
        """Convolve features.

        Args:
            x: Features (n, inputs, h, w).
            codes: A code of each part (n, regions, code_dim).
            layout: The layout (n, regions, h, w).

        Returns:
            Features (n, outputs, h, w), or twice as high and wide.
        """
        scale, weight = self.compute_scale(codes, layout), self.weight * self.weight_gain
        x = x * scale.to(x.dtype)
        if self.up:
            y = filter2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
        else:
            y = conv3x3(x, weight) if weight.shape[2] == 3 else F.conv2d(x, weight)
        if self.demodulate:
            factor = compute_spatial_demodulation(scale, weight) * self.gain
            return y * factor.to(y.dtype)[:, :, None, None]
        return y * self.gain if self.gain != 1.0 else y


class StyledSpatialConv2d(nn.Module):
    """Spatially adaptive 3x3 convolution, noise of one learned strength, bias, leaky ReLU with its gain.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        regions: Number of parts.
        code_dim: Numbers in a code.
        up: Double height and width.
        reads_codes: Read the codes; False = the layout alone.
        hidden: Channels of the network on the layout.
        noise: Add noise; False = the layer has no strength either.

    Source: SMILE (Romero et al. 2021), section 3.2.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        regions: int,
        code_dim: int,
        *,
        up: bool = False,
        reads_codes: bool = True,
        hidden: int = 128,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.conv = SpatialModulatedConv2d(
            inputs, outputs, 3, regions, code_dim, up=up, reads_codes=reads_codes, hidden=hidden, gain=LRELU_GAIN
        )
        self.strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self, x: Float[Tensor, "n i h w"], codes: Codes, layout: Layout, noise: Float[Tensor, "m 1 h2 w2"] | None = None
    ) -> Float[Tensor, "n o h2 w2"]:
        """Convolve and activate.

        Args:
            x: Features (n, inputs, h, w).
            codes: A code of each part (n, regions, code_dim).
            layout: The layout (n, regions, h, w).
            noise: Maps N(0, 1) of n rows, or of one for all; None = no noise.

        Returns:
            Features (n, outputs, h, w), or twice as high and wide.
        """
        return add_noise_and_activate(self.conv(x, codes, layout), self.bias, self.strength, noise)


class SpatialToRGB(nn.Module):
    """Map features to an image: spatially adaptive 1x1 convolution without demodulation, and bias.

    Args:
        inputs: Channels in.
        channels: Channels of the image.
        regions: Number of parts.
        code_dim: Numbers in a code.
        reads_codes: Read the codes; False = the layout alone.
        hidden: Channels of the network on the layout.

    Source: SMILE (Romero et al. 2021), section 3.2.
    """

    def __init__(
        self, inputs: int, channels: int, regions: int, code_dim: int, *, reads_codes: bool = True, hidden: int = 128
    ) -> None:
        super().__init__()
        self.conv = SpatialModulatedConv2d(
            inputs, channels, 1, regions, code_dim, demodulate=False, reads_codes=reads_codes, hidden=hidden
        )
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "n i h w"], codes: Codes, layout: Layout, skip: Tensor | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Map features to an image.

        Args:
            x: Features (n, inputs, h, w).
            codes: A code of each part (n, regions, code_dim).
            layout: The layout (n, regions, h, w).
            skip: The image of the resolution below, half as high and wide; None = there is none.

        Returns:
            The image (n, channels, h, w), added to the upsampled `skip`.
        """
        image = self.conv(x, codes, layout) + self.bias[None, :, None, None]
        if skip is None:
            return image
        with disable_autocast(skip):  # the sum over all resolutions is not rounded at each of them
            return image + upsample2d(skip)
