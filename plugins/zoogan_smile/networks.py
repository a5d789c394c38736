"""The networks of SMILE's layout stage (Romero et al. 2021, section 3.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.interfaces import (
    Domain,
    Masks,
    Noise,
    Style,
    StyleDiscriminator,
    StyleEncoder,
    StyleMapping,
    StyleTranslator,
)
from zoogan.layers import (
    LRELU_SLOPE,
    AdainResidualBlock,
    Content,
    ContentEncoder,
    ConvTrunk,
    DomainHeads,
    InstanceNorm2d,
    ModulatedConv2d,
    ModulatedResidualBlock,
    MultiHeadMLP,
    StyleDecoder,
    compute_encoder_widths,
    init_kaiming,
    select_heads,
)
from zoogan.plugins import Facts
from zoogan_smile.config import (
    SmileDiscriminatorConfig,
    SmileGeneratorConfig,
    SmileMappingConfig,
    SmileStyleEncoderConfig,
    StyleSizes,
)

DETAILED_SIDES = (32, 64, 128)
"""The sides at which heat maps keep details; of layouts of 512 px also 256."""


class SmileGenerator(StyleTranslator):
    """Redraws a layout; the output is a logit for each part.

    Args:
        config: Settings of the network.
        facts: Image size and attributes; `channels` are the parts.

    Source: SMILE (Romero et al. 2021), section 3.1; official `models/generator.py`.
    """

    def __init__(self, config: SmileGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        size, detailed = facts.image_size, config.high_pass > 0
        check_size("generator 'smile'", size)
        halvings = config.halvings or (size.bit_length() - 1) - (3 if detailed else 4)
        if halvings < 1 or size >> halvings < 4:
            raise ConfigError(
                f"generator.halvings: {halvings} halvings of {size} px; expected 1 or more, and 4 px left"
            )
        widths = compute_encoder_widths(config.width or max(1, 2**13 // size), halvings, config.max_width)
        self.dims = list_style_dims(config, facts)
        joined = sum(self.dims)
        is_delta = config.modulation == "delta"

        def make_block(inputs: int, outputs: int, upsample: bool) -> nn.Module:
            if is_delta:
                return ModulatedResidualBlock(
                    inputs, outputs, style_dim=joined, upsample=upsample, shortcut=not detailed, noise=config.noise
                )
            return AdainResidualBlock(inputs, outputs, style_dim=joined, upsample=upsample, shortcut=not detailed)

        norm = nn.Sequential(OrderedDict(
            norm=InstanceNorm2d(widths[0], affine=True),
            activation=nn.LeakyReLU(LRELU_SLOPE, inplace=True),
            conv=nn.Conv2d(widths[0], facts.channels, 1),
        ))  # fmt: skip
        kept = (*DETAILED_SIDES, 256) if size == 512 else DETAILED_SIDES
        self.encoder = ContentEncoder(facts.channels, widths, keep=kept if detailed else ())
        self.decoder = StyleDecoder(widths, make_block, nn.Identity() if is_delta else norm, high_pass=config.high_pass)
        self.head = (
            ModulatedConv2d(widths[0], facts.channels, 1, joined, demodulate=False, affine="delta")
            if is_delta
            else None
        )
        self.style_dim, self.takes_masks = config.style_dim, detailed
        if is_delta and config.noise:
            sides = [size >> halvings] * 2 + [size >> k for k in reversed(range(halvings))]  # of the blocks' outputs
            self.noise_sizes = tuple((side, side) for side in sides for _ in range(2))
        init_kaiming(self)

    def encode(self, image: Float[Tensor, "n c h w"]) -> Content:
        """Encode the layout for all styles: the bottleneck's features, and with high_pass the details before it."""
        return self.encoder(image)

    def decode(
        self, encoded: Content, style: Style, masks: Masks | None = None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Decode the layout in the styles of its attributes.

        Args:
            encoded: What `encode` returned.
            style: Styles (n, attributes, style_dim).
            masks: Coarse, for details 32 pixels wide, and fine, for those of 64 and 128; None keeps none.
            noise: One map N(0, 1) for each of `noise_sizes`; None = no noise.

        Returns:
            Logits of the parts (n, k, h, w).

        Raises:
            ValueError: Masks, but high_pass is 0.
        """
        joined = torch.cat([style[:, k, :dim] for k, dim in enumerate(self.dims)], 1)
        features = self.decoder(encoded, joined, masks, noise)
        return features if self.head is None else self.head(F.relu(features), joined)

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return encoder, decoder and head."""
        return [self.encoder, self.decoder, *([] if self.head is None else [self.head])]


class SmileMapping(StyleMapping):
    """Maps noise to the styles of a face's domains, one of each pair; without attributes there is one domain.

    Args:
        config: Settings of the network.
        facts: Attributes.

    Source: SMILE (Romero et al. 2021), section 3.1; official `models/mapping_network.py`.
    """

    def __init__(self, config: SmileMappingConfig, facts: Facts) -> None:
        super().__init__()
        dims = list_style_dims(config, facts)
        self.body = MultiHeadMLP(config.latent_dim, repeat_for_domains(dims, facts), width=config.width)
        self.latent_dim, self.style_dim, self.styles = config.latent_dim, config.style_dim, len(dims)
        init_kaiming(self)

    def forward(self, latent: Float[Tensor, "n z"], domain: Domain) -> Style:
        """Map N(0, 1) of shape (n, latent_dim) with their domains to styles (n, a, style_dim)."""
        return select_heads(self.body(latent), domain, self.styles)


class SmileStyleEncoder(StyleEncoder):
    """Reads the styles of a layout's domains, one of each pair; without attributes there is one domain.

    Args:
        config: Settings of the network.
        facts: Image size and attributes; `channels` are the parts.

    Source: SMILE (Romero et al. 2021), section 3.1; official `models/style_encoder.py`.
    """

    def __init__(self, config: SmileStyleEncoderConfig, facts: Facts) -> None:
        super().__init__()
        dims = list_style_dims(config, facts)
        self.trunk = make_trunk("style encoder 'smile'", config, facts)
        self.heads = DomainHeads(nn.Linear(self.trunk.outputs, dim) for dim in repeat_for_domains(dims, facts))
        self.style_dim, self.styles = config.style_dim, len(dims)
        init_kaiming(self)

    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Style:
        """Encode layouts (n, k, h, w) with their domains to styles (n, a, style_dim), unbounded."""
        return select_heads(self.heads(self.trunk(image)), domain, self.styles)


class SmileDiscriminator(StyleDiscriminator):
    """A realism score for each domain of a layout, one of each pair; without attributes there is one domain.

    Args:
        config: Settings of the network.
        facts: Image size and attributes; `channels` are the parts.

    Source: SMILE (Romero et al. 2021), section 3.1; official `models/discriminator.py`.
    """

    def __init__(self, config: SmileDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        self.trunk = make_trunk("discriminator 'smile'", config, facts)
        self.styles = len(facts.attributes) or 1
        self.score = nn.Linear(self.trunk.outputs, 2 * len(facts.attributes) or 1)
        init_kaiming(self)

    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Float[Tensor, " n *heads"]:
        """Score layouts (n, k, h, w) with their domains: (n, a), unbounded."""
        return select_heads(self.score(self.trunk(image)), domain, self.styles)


def check_size(who: str, image_size: int) -> None:
    """Check that an image size is a power of two, at least 32.

    Args:
        who: The component, for the message.
        image_size: Side of the images in pixels.

    Raises:
        ConfigError: It is not.
    """
    if image_size < 32 or image_size.bit_count() != 1:
        raise ConfigError(f"{who}: needs an image size that is a power of two, at least 32, got {image_size}")


def list_style_dims(config: StyleSizes, facts: Facts) -> list[int]:
    """List the numbers of its style that each attribute uses; without attributes the whole style, once.

    Args:
        config: The sizes.
        facts: The attributes.

    Raises:
        ConfigError: `narrow_dim` does not divide `style_dim`.
    """
    narrow = config.narrow_dim or config.style_dim
    if config.style_dim % narrow:
        raise ConfigError(
            f"narrow_dim: {narrow} does not divide style_dim={config.style_dim}; narrow styles are repeated up to it"
        )
    return [config.style_dim if name in config.wide else narrow for name in facts.attributes] or [config.style_dim]


def repeat_for_domains(dims: Sequence[int], facts: Facts) -> list[int]:
    """Repeat each number for the two domains of its attribute; without attributes there is one domain.

    Args:
        dims: A number for each style.
        facts: The attributes.
    """
    return [dim for dim in dims for _ in range(2 if facts.attributes else 1)]


def make_trunk(who: str, config: SmileStyleEncoderConfig | SmileDiscriminatorConfig, facts: Facts) -> ConvTrunk:
    """Make the body of style encoder and discriminator: halvings down to 4 x 4.

    Args:
        who: The component, for messages.
        config: Its widths.
        facts: Image size and channels.
    """
    size = facts.image_size
    check_size(who, size)
    halvings = size.bit_length() - 3
    width = config.width or max(1, 2**14 // size)
    return ConvTrunk(facts.channels, compute_encoder_widths(width, halvings, config.max_width))
