"""The networks of SMILE's image stage (Romero et al. 2021, section 3.2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.interfaces import (
    ImageDiscriminator,
    Latent,
    LatentMapping,
    Latents,
    LayoutGenerator,
    Noise,
    RegionCodes,
    RegionEncoder,
    SynthesisedFace,
)
from zoogan.layers import (
    DiscriminatorHead,
    DiscriminatorTrunk,
    EqualizedConv2d,
    FilteredDownConv2d,
    FilteredUpConv2d,
    PixelNormMLP,
    SpatialToRGB,
    StyledSpatialConv2d,
    compute_synthesis_widths,
    pool_regions,
    resize_layout,
)
from zoogan.plugins import Facts
from zoogan_smile.image_config import (
    SmileImageDiscriminatorConfig,
    SmileImageGeneratorConfig,
    SmileImageMappingConfig,
    SmileRegionEncoderConfig,
)


class SpatialBlock(nn.Module):
    """One resolution: doubles the size by the first of two styled convolutions, and adds to the image.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        channels: Channels of an image.
        options: Further options of all three layers.
        noise: Add noise after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, channels: int, options: dict[str, Any], noise: bool) -> None:
        super().__init__()
        self.up = StyledSpatialConv2d(inputs, outputs, **options, up=True, noise=noise)
        self.conv = StyledSpatialConv2d(outputs, outputs, **options, noise=noise)
        self.rgb = SpatialToRGB(outputs, channels, **options)


class SmileImageGenerator(LayoutGenerator):
    """Paints layouts, unbounded (no tanh): StyleGAN2's generator whose convolutions are spatially adaptive.

    A stem of the layout replaces the learned constant. w+ has one row for the stem's side, two for each doubling, and
    one for the last image. The image of a resolution shares its row with the first convolution of the next.

    Args:
        config: Settings of the network.
        facts: Image size, channels and parts.

    Raises:
        ConfigError: The data has no parts, or the image size cannot be halved so often.

    Source: SMILE (Romero et al. 2021), section 3.2; official `metrics/smileSYN.py`.
    """

    def __init__(self, config: SmileImageGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        parts, widths = check_parts("generator", facts), config.widths
        doublings = len(widths) - 1
        start = facts.image_size >> doublings
        if start << doublings != facts.image_size or start << config.stem_halvings > facts.image_size:
            raise ConfigError(
                f"generator: {len(widths)} widths halve {facts.image_size} px {doublings} times, and the stem halves "
                f"{config.stem_halvings} times before; an image size that is a power of two, more widths or fewer "
                "generator.stem_halvings fit"
            )
        self.parts, self.code_dim, self.style_dim = facts.parts, config.code_dim, parts * config.code_dim
        self.rows, self.stem_side = 2 * len(widths), start << config.stem_halvings
        inner = [config.stem_width] * config.stem_halvings
        self.stem = nn.Sequential(
            EqualizedConv2d(parts, config.stem_width, 3, activate=True),
            *(FilteredDownConv2d(inputs, outputs) for inputs, outputs in pairwise([*inner, widths[0]])),
        )
        options: dict[str, Any] = {"regions": parts, "code_dim": config.code_dim, "hidden": config.hidden}
        below = options | {"reads_codes": config.codes != "none"}
        last = options | {"reads_codes": config.codes == "all"}
        self.first = StyledSpatialConv2d(widths[0], widths[0], **below, noise=config.noise)
        self.first_rgb = SpatialToRGB(widths[0], facts.channels, **below)
        self.blocks = nn.ModuleList(
            SpatialBlock(inputs, outputs, facts.channels, last if k == doublings else below, config.noise)
            for k, (inputs, outputs) in enumerate(pairwise(widths), 1)
        )
        sides = [start, *(start << k for k in range(1, len(widths)) for _ in range(2))]
        self.noise_sizes = tuple((side, side) for side in sides) if config.noise else ()
        self.add_fixed_noise()

    def forward(
        self, latents: Latents, noise: Noise | None = None, layout: Float[Tensor, "n k h w"] | None = None
    ) -> SynthesisedFace:
        """Paint layouts.

        Args:
            latents: w+ (n, rows, parts * code_dim).
            noise: Maps of N(0, 1), one for the stem's side and two for each doubling; empty for a network without
                noise. None = the network's own.
            layout: One-hot layouts (n, k, s, s).

        Returns:
            Faces (n, c, s, s), and the layout as -1 and 1.

        Raises:
            ValueError: There is no layout.
        """
        if layout is None:
            raise ValueError("this generator paints layouts: give one for each face")
        noise = self.get_fixed_noise() if noise is None else noise
        maps: list[Tensor | None] = [*noise] if noise else [None] * (self.rows - 1)
        codes = latents.unflatten(2, (len(self.parts), self.code_dim))
        resized: dict[int, Tensor] = {}

        def shrink(side: int) -> Tensor:
            if side not in resized:
                resized[side] = resize_layout(layout, side, side)
            return resized[side]

        x = self.stem(shrink(self.stem_side))
        x = self.first(x, codes[:, 0], shrink(x.shape[2]), maps[0])
        image = self.first_rgb(x, codes[:, 1], shrink(x.shape[2]))
        blocks: Any = self.blocks
        for k, block in enumerate(blocks):
            row = 2 * k + 1
            x = block.up(x, codes[:, row], shrink(x.shape[2]), maps[row])
            x = block.conv(x, codes[:, row + 1], shrink(x.shape[2]), maps[row + 1])
            image = block.rgb(x, codes[:, row + 2], shrink(x.shape[2]), image)
        return SynthesisedFace(image, segmentation=2 * layout - 1)


class SmileImageMapping(LatentMapping):
    """Maps noise to the codes of all parts, one after the other.

    Args:
        config: Size of a code, number of layers and their speed.
        facts: The parts.

    Source: SMILE (Romero et al. 2021), official `metrics/smileSYN.py`.
    """

    def __init__(self, config: SmileImageMappingConfig, facts: Facts) -> None:
        super().__init__()
        self.latent_dim = self.style_dim = check_parts("mapping", facts) * config.code_dim
        self.layers = PixelNormMLP(self.style_dim, config.layers, config.lr_multiplier)

    def forward(self, latent: Float[Tensor, "n z"]) -> Latent:
        """Map noise N(0, 1) of shape (n, parts * code_dim) to latents of the same shape, unbounded."""
        return self.layers(latent)


class SmileRegionEncoder(RegionEncoder):
    """Convolutions over the image, then the mean of the features over each part.

    Args:
        config: Settings of the network.
        facts: Image size, channels and parts.

    Source: SEAN (Zhu et al. 2020), section 3.1; official `metrics/smileSYN.py` (`Zencoder`).
    """

    def __init__(self, config: SmileRegionEncoderConfig, facts: Facts) -> None:
        super().__init__()
        check_parts("region_encoder", facts)
        halvings = config.halvings or (2 if facts.image_size < 512 else 3)
        widths = [config.width << k for k in range(halvings + 1)]
        self.code_dim, self.soft = config.code_dim, config.pooling == "soft"
        self.body = nn.Sequential(
            EqualizedConv2d(facts.channels, widths[0], 3, activate=True),
            *(FilteredDownConv2d(inputs, outputs) for inputs, outputs in pairwise(widths)),
            FilteredUpConv2d(widths[-1], 2 * widths[-1]),
            FilteredDownConv2d(2 * widths[-1], config.code_dim),
        )

    def forward(self, image: Float[Tensor, "n c h w"], layout: Float[Tensor, "n k h w"]) -> RegionCodes:
        """Read the codes of faces in [-1, 1] (n, c, s, s) with one-hot layouts (n, k, s, s)."""
        return RegionCodes(*pool_regions(self.body(image), layout, soft=self.soft))


class SmileImageDiscriminator(ImageDiscriminator):
    """Residual halvings down to 4 x 4, the deviation within the batch, one score, of images with their layouts.

    Args:
        config: Settings of the network.
        facts: Image size, channels and parts.

    Source: StyleGAN2, figure 7c; SMILE's own discriminator of images is not published.
    """

    def __init__(self, config: SmileImageDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        self.classes = check_parts("discriminator", facts) if config.layout else 0
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.trunk = DiscriminatorTrunk(facts.channels + self.classes, widths[::-1])
        self.head = DiscriminatorHead(widths[0], widths[0], config.group)

    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Score images; the scores of a batch depend on each other through the batch deviation.

        Args:
            image: Images (n, c, s, s) in [-1, 1].
            segmentation: Layouts as -1 and 1 (n, k, s, s); the network reads them as 0 and 1.

        Returns:
            Scores (n, 1), unbounded.

        Raises:
            ValueError: The network judges pairs and there is no layout.
        """
        return self.head(self.trunk(self.join_input(image, segmentation)))

    def compute_features(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> list[Float[Tensor, "n _ _ _"]]:
        """Compute the features of all layers of the trunk, at full size first.

        Args:
            image: See `forward`.
            segmentation: See `forward`.

        Raises:
            ValueError: See `forward`.
        """
        return self.trunk.compute_features(self.join_input(image, segmentation))

    def join_input(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None
    ) -> Float[Tensor, "n j h w"]:
        """Join images with their layouts as 0 and 1, if the network judges pairs; see `forward`."""
        if not self.classes:
            return image
        if segmentation is None:
            raise ValueError(
                "this discriminator judges images with their layouts: give them too (judge_segmentation=true), or use "
                "one of images alone (discriminator.layout=false)"
            )
        return torch.cat([image, (segmentation + 1) / 2], 1)


def check_parts(slot: str, facts: Facts) -> int:
    """Return the number of parts of the data.

    Args:
        slot: The slot of the network, for the message.
        facts: Facts about the data.

    Raises:
        ConfigError: It has none.
    """
    if not facts.parts:
        raise ConfigError(
            f"{slot}: SMILE's image stage paints maps of the parts of faces, which the data does not have; choose a "
            "source with a segmentation (data.source=drawn, celebamask_hq, or folder with data.label_maps)"
        )
    return len(facts.parts)
