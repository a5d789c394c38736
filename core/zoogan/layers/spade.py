"""Blocks that a layout steers: norms whose scale and shift are maps of the layout, or of the codes of its parts too.

Source: SPADE (Park et al. 2019), section 3 and appendix A; SEAN (Zhu et al. 2020), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.layers.activations import leaky_relu
from zoogan.layers.norm import BatchNorm2d, InstanceNorm2d
from zoogan.layers.regions import Codes, Layout, RegionLinear, resize_layout, scatter_codes
from zoogan.layers.shapes import Images
from zoogan.layers.spectral import add_spectral_norm
from zoogan.layers.winograd import Conv3x3

NormKind = Literal["batch", "instance"]


def init_xavier(network: nn.Module, gain: float) -> None:
    """Set every convolution and linear layer to Xavier-normal weights and zero biases, in place.

    Args:
        network: The network to initialise, before its weights are normalised.
        gain: Factor of the standard deviation.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def make_same_conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Make a convolution that keeps height and width, the fast one where it exists.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel, odd.
    """
    return Conv3x3(inputs, outputs) if kernel == 3 else nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class SpadeNorm(nn.Module):
    """Spatially adaptive norm: (1 + scale) * normalised + shift, both maps that two convolutions make of the layout.

    Args:
        channels: Channels in and out.
        regions: Number of parts.
        norm: The norm without parameters: batch = over the joint batch; instance = of each image.
        hidden: Channels between the two convolutions.
        kernel: Side of the kernels, odd.

    Source: SPADE (Park et al. 2019), section 3, equation 1.
    """

    def __init__(
        self, channels: int, regions: int, *, norm: NormKind = "batch", hidden: int = 128, kernel: int = 3
    ) -> None:
        super().__init__()
        self.norm = (BatchNorm2d if norm == "batch" else InstanceNorm2d)(channels, affine=False)
        self.layout_hidden = make_same_conv(regions, hidden, kernel)
        self.layout_maps = make_same_conv(hidden, 2 * channels, kernel)  # the scales, then the shifts

    def compute_maps(
        self, layout: Layout, codes: Codes | None = None, guide: Images | None = None
    ) -> Float[Tensor, "n c2 h w"]:
        """Compute the maps of scales and of shifts (n, 2 * channels, h, w).

        Args:
            layout: The layout (n, regions, h, w).
            codes: Ignored.
            guide: Features to read in place of the layout (n, regions, h, w).
        """
        return self.layout_maps(self.layout_hidden(layout if guide is None else guide).relu_())

    def forward(self, x: Images, layout: Layout, codes: Codes | None = None, guide: Images | None = None) -> Images:
        """Normalise features, then scale and shift them at each pixel.

        Args:
            x: Features (n, channels, h, w).
            layout: The layout (n, regions, h, w).
            codes: A code of each part (n, regions, code_dim), where the norm reads them.
            guide: Features (n, guide, h, w) that the convolutions of the layout read instead of it; the codes are
                still laid on the layout.

        Returns:
            Features of the shape of `x`.
        """
        scale, shift = self.compute_maps(layout, codes, guide).chunk(2, 1)
        return torch.addcmul(shift, self.norm(x), 1 + scale)


class SeanNorm(SpadeNorm):
    """Region-adaptive norm: its maps are a learned blend of those of the layout and those of the codes of the parts.

    Each code passes a linear layer of its part and a ReLU, and is laid on the pixels of the part, where a convolution
    makes the maps of it. The blends start at half. The official layer adds noise of a learned strength before the norm;
    this one, as that of SD-GAN, does not.

    Args:
        channels: Channels in and out.
        regions: Number of parts.
        code_dim: Numbers in a code.
        norm: The norm without parameters: batch = over the joint batch; instance = of each image.
        hidden: Channels between the two convolutions of the layout.
        kernel: Side of the kernels, odd.
        guide: Channels of the features that the convolutions of the layout read instead of it; None = they read the
            layout.

    Source: SEAN (Zhu et al. 2020), section 3.2, equations 1 and 2; with a guide SD-GAN (Zhou et al. 2022).
    """

    def __init__(
        self,
        channels: int,
        regions: int,
        code_dim: int,
        *,
        norm: NormKind = "batch",
        hidden: int = 128,
        kernel: int = 3,
        guide: int | None = None,
    ) -> None:
        super().__init__(channels, regions if guide is None else guide, norm=norm, hidden=hidden, kernel=kernel)
        self.channels = channels
        self.regions = RegionLinear(regions, code_dim, code_dim)
        self.code_maps = make_same_conv(code_dim, 2 * channels, kernel)
        self.blend = nn.Parameter(torch.zeros(2))  # of the scales and of the shifts

    def compute_maps(
        self, layout: Layout, codes: Codes | None = None, guide: Images | None = None
    ) -> Float[Tensor, "n c2 h w"]:
        """Compute the maps of scales and of shifts (n, 2 * channels, h, w).

        Args:
            layout: The layout (n, regions, h, w): one-hot, or the share of each part in each pixel.
            codes: A code of each part (n, regions, code_dim).
            guide: See `forward`.

        Raises:
            ValueError: There are no codes.
        """
        if codes is None:
            raise ValueError("this norm reads the codes of the parts: give a code of each part")
        of_layout = super().compute_maps(layout, guide=guide)
        of_codes = self.code_maps(scatter_codes(self.regions(codes).relu(), layout))
        share = self.blend.sigmoid().repeat_interleave(self.channels)[:, None, None]
        return torch.lerp(of_layout, of_codes.to(of_layout.dtype), share.to(of_layout.dtype))


class SpadeResidualBlock(nn.Module):
    """Residual block of a layout: norm, LReLU, 3x3, norm, LReLU, 3x3; plus the input.

    Where the number of channels changes, the input passes a norm of its own and a 1x1 convolution without bias. The
    sum is not divided.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        make_norm: Makes a `SpadeNorm` or a `SeanNorm` for a number of channels.

    Source: SPADE (Park et al. 2019), figure 4 and appendix A.
    """

    def __init__(self, inputs: int, outputs: int, make_norm: Callable[[int], SpadeNorm]) -> None:
        super().__init__()
        middle, changes = min(inputs, outputs), inputs != outputs
        self.norm1, self.conv1 = make_norm(inputs), Conv3x3(inputs, middle)
        self.norm2, self.conv2 = make_norm(middle), Conv3x3(middle, outputs)
        self.shortcut_norm = make_norm(inputs) if changes else None
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if changes else None

    def add_spectral_norm(self) -> None:
        """Divide the weights of the convolutions, but not those of the norms, by their spectral norm from now on."""
        for layer in (self.conv1, self.conv2, self.shortcut):
            if layer is not None:
                add_spectral_norm(layer)

    def forward(
        self, x: Float[Tensor, "n i h w"], layout: Float[Tensor, "n k h2 w2"], codes: Codes | None = None
    ) -> Float[Tensor, "n o h w"]:
        """Map features (n, inputs, h, w) to (n, outputs, h, w).

        Args:
            x: Features.
            layout: One-hot layouts of any size.
            codes: A code of each part, where the norms read them.
        """
        layout = resize_layout(layout, x.shape[2], x.shape[3])
        y = self.conv1(leaky_relu(self.norm1(x, layout, codes), inplace=True))
        y = self.conv2(leaky_relu(self.norm2(y, layout, codes), inplace=True))
        if self.shortcut_norm is not None and self.shortcut is not None:
            x = self.shortcut(self.shortcut_norm(x, layout, codes))
        return x + y
