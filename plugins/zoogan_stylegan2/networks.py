"""StyleGAN2's networks (Karras et al. 2020, figure 7 and appendix B)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import ImageDiscriminator, LatentGenerator, Latents, Noise, SynthesisedFace
from zoogan.layers import DiscriminatorHead, DiscriminatorTrunk, StyledConv2d, ToRGB, compute_synthesis_widths
from zoogan.plugins import Facts
from zoogan_stylegan2.config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig

SMALLEST = 4


class SynthesisBlock(nn.Module):
    """One resolution: doubles the size by the first of two styled convolutions, and adds to the image.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        channels: Channels of an image.
        style_dim: Length of a latent.
        noise: Add noise after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, channels: int, style_dim: int, noise: bool) -> None:
        super().__init__()
        self.up = StyledConv2d(inputs, outputs, style_dim, up=True, noise=noise)
        self.conv = StyledConv2d(outputs, outputs, style_dim, noise=noise)
        self.rgb = ToRGB(outputs, channels, style_dim)


class StyleGAN2Generator(LatentGenerator):
    """Generates faces from latents, unbounded (no tanh).

    w+ has one row for 4 x 4, two for each doubling, and one for the last image. The image of a resolution shares its
    row with the first convolution of the next.

    Args:
        config: Settings of the network.
        facts: Image size and channels.

    Source: StyleGAN2, figure 7b.
    """

    def __init__(self, config: StyleGAN2GeneratorConfig, facts: Facts) -> None:
        super().__init__()
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.style_dim, self.rows = config.style_dim, 2 * len(widths)
        self.constant = nn.Parameter(torch.randn(1, widths[0], SMALLEST, SMALLEST))
        self.first = StyledConv2d(widths[0], widths[0], config.style_dim, noise=config.noise)
        self.first_rgb = ToRGB(widths[0], facts.channels, config.style_dim)
        self.blocks = nn.ModuleList(
            SynthesisBlock(inputs, outputs, facts.channels, config.style_dim, config.noise)
            for inputs, outputs in pairwise(widths)
        )
        sides = [SMALLEST, *(SMALLEST * 2**k for k in range(1, len(widths)) for _ in range(2))]
        self.noise_sizes = tuple((side, side) for side in sides) if config.noise else ()
        self.add_fixed_noise()

    def forward(self, latents: Latents, noise: Noise | None = None) -> SynthesisedFace:
        """Generate faces (n, c, s, s).

        Args:
            latents: w+ (n, rows, style_dim).
            noise: Maps of N(0, 1), one for 4 x 4 and two for each doubling; empty for a network without noise. None =
                the network's own.
        """
        noise = self.get_fixed_noise() if noise is None else noise
        maps: list[Tensor | None] = [*noise] if noise else [None] * (self.rows - 1)
        x = self.constant.expand(latents.shape[0], -1, -1, -1)
        x = self.first(x, latents[:, 0], maps[0])
        image = self.first_rgb(x, latents[:, 1])
        blocks: Any = self.blocks
        for k, block in enumerate(blocks):
            row = 2 * k + 1
            x = block.up(x, latents[:, row], maps[row])
            x = block.conv(x, latents[:, row + 1], maps[row + 1])
            image = block.rgb(x, latents[:, row + 2], image)
        return SynthesisedFace(image)


class StyleGAN2Discriminator(ImageDiscriminator):
    """Residual halvings down to 4 x 4, the deviation within the batch, one score.

    Args:
        config: Settings of the network.
        facts: Image size and channels.

    Source: StyleGAN2, figure 7c.
    """

    def __init__(self, config: StyleGAN2DiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.trunk = DiscriminatorTrunk(facts.channels, widths[::-1])
        self.head = DiscriminatorHead(widths[0], widths[0], config.group)

    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Score images; the scores of a batch depend on each other through the batch deviation.

        Args:
            image: Images (n, c, s, s) in [-1, 1].
            segmentation: Ignored.

        Returns:
            Scores (n, 1), unbounded.
        """
        return self.head(self.trunk(image))

    def compute_features(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> list[Float[Tensor, "n _ _ _"]]:
        """Compute the features of all layers of the trunk, at full size first.

        Args:
            image: Images (n, c, s, s) in [-1, 1].
            segmentation: Ignored.
        """
        return self.trunk.compute_features(image)
