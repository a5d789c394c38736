"""The network that computes offsets, with the faults of the official one repaired."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.interfaces import LatentOffset, Latents
from zoogan.layers import PreActResidualBlock, SeanNorm, leaky_relu, pool_regions
from zoogan.plugins import Facts
from zoogan_sd_gan.fusion_config import SdGanOffsetConfig

GEOMETRY_CHANNELS = 9
"""Channels of the geometry: three of depth, the normal, the albedo."""
GRID = 4
"""Side of the features in pixels at which face and composite are joined."""
MAX_GEOMETRY_SIDE = 64
"""The geometry is smooth, so that a larger one is shrunk to this side."""


def count_rows(rows: int | None, image_size: int) -> int:
    """Return the rows of w+: those that are set, or StyleGAN2's number for an image size.

    Args:
        rows: The setting `fusion.rows`.
        image_size: Height and width of the faces in pixels.

    Raises:
        ConfigError: None are set, and the image size is no power of two.
    """
    if rows is not None:
        return rows
    if image_size & (image_size - 1):
        raise ConfigError(
            f"fusion.rows: {image_size} px is no power of two, so the rows of w+ do not follow from it; set "
            "fusion.rows to those of the backbone"
        )
    return 2 * (image_size.bit_length() - 1) - 2


class OffsetEncoder(nn.Sequential):
    """Residual halvings without norms from an image down to 4 x 4 pixels.

    Args:
        inputs: Channels of the image.
        side: Its height and width in pixels, at least 4.
        width: Channels at full size; each halving adds as many, and the last has `outputs`.
        outputs: Channels of the features.
    """

    def __init__(self, inputs: int, side: int, width: int, outputs: int) -> None:
        halvings = (side // GRID).bit_length() - 1
        grown = [min(width * (k + 1), outputs) for k in range(halvings)]
        widths = [*grown, outputs] if halvings else [outputs]
        blocks = [PreActResidualBlock(a, b, downsample=True) for a, b in pairwise(widths)]
        super().__init__(nn.Conv2d(inputs, widths[0], 3, 1, 1), *blocks)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o 4 4"]:
        """Map images (n, inputs, side, side) to features (n, outputs, 4, 4)."""
        x = super().forward(input)
        return x if x.shape[2:] == (GRID, GRID) else F.adaptive_avg_pool2d(x, GRID)


class SdGanOffset(LatentOffset):
    """Computes offsets from a face, its composite and the mask; 0 at the start.

    Face and composite (with the mask) are encoded to 4 x 4 pixels. The mean of both over each region (the template, and
    the rest) is a code. The features of the composite are normalised, then scaled and shifted by maps of the codes and
    of the face. A 1x1 convolution and a linear layer make the rows of the offset.

    Unlike the official network it has no batch norm, so that no face depends on another; its regions are real; and no
    norm ends it, so that an offset may be as small as the face asks for.

    Args:
        config: Settings of the network.
        facts: Image size and channels.

    Raises:
        ConfigError: The number of rows is open.

    Source: SD-GAN (Zhou et al. 2022), section 3, with the faults of the official `model.py` repaired.
    """

    def __init__(self, config: SdGanOffsetConfig, facts: Facts) -> None:
        super().__init__()
        size, channels = facts.image_size, config.channels
        self.style_dim, self.rows = config.style_dim, count_rows(config.rows, size)
        self.geometry_channels = GEOMETRY_CHANNELS if config.geometry else 0
        self.face = OffsetEncoder(facts.channels, size, config.width, channels)
        self.composite = OffsetEncoder(facts.channels + 1, size, config.width, channels)
        self.geometry_side = min(size, MAX_GEOMETRY_SIDE)
        self.geometry = (
            OffsetEncoder(GEOMETRY_CHANNELS, self.geometry_side, config.width, channels) if config.geometry else None
        )
        self.join = nn.Conv2d((2 + config.geometry) * channels, channels, 1)
        self.norm = SeanNorm(channels, 2, channels, norm="instance", hidden=channels, guide=channels)
        self.squeeze = nn.Conv2d(channels, config.squeezed, 1)
        self.last = nn.Linear(config.squeezed * GRID**2 + channels, self.rows * self.style_dim)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        face: Float[Tensor, "n c h w"],
        composite: Float[Tensor, "n c h w"],
        mask: Float[Tensor, "n 1 h w"],
        geometry: Float[Tensor, "n g s s"] | None = None,
    ) -> Latents:
        """Compute offsets (n, rows, style_dim), unbounded.

        Args:
            face: Faces (n, c, h, w) meant for [-1, 1]; values outside are allowed.
            composite: The same faces with a template laid on.
            mask: Where the template is (n, 1, h, w), in [0, 1].
            geometry: The shape of the faces (n, 9, s, s) in [-1, 1], of any size; ignored by a network without
                `geometry_channels`.

        Raises:
            ValueError: The network reads geometry and there is none.
        """
        of_face = self.face(face)
        of_composite = self.composite(torch.cat([composite, mask], 1))
        features = [of_face, of_composite]
        if self.geometry is not None:
            features.append(self.geometry(resize_geometry(geometry, self.geometry_side)))
        share = F.adaptive_avg_pool2d(mask, GRID)
        regions = torch.cat([share, 1 - share], 1)
        codes, _ = pool_regions(self.join(torch.cat(features, 1)), regions, soft=True)
        x = self.norm(of_composite, regions, codes, guide=of_face)
        squeezed = leaky_relu(self.squeeze(x), inplace=True).flatten(1)
        means = of_composite.mean((2, 3))  # which the instance norm takes away
        return self.last(torch.cat([squeezed, means], 1)).unflatten(1, (self.rows, self.style_dim))


def resize_geometry(geometry: Float[Tensor, "n g s s"] | None, side: int) -> Float[Tensor, "n g t t"]:
    """Resize geometry for an encoder.

    Args:
        geometry: The shape of faces.
        side: Height and width in pixels afterwards.

    Raises:
        ValueError: There is no geometry.
    """
    if geometry is None:
        raise ValueError("this network reads the shape of faces: give their geometry, or set fusion.geometry=false")
    if geometry.shape[2:] == (side, side):
        return geometry
    return F.interpolate(geometry, (side, side), mode="bilinear", align_corners=False, antialias=True)
