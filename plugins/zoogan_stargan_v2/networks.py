"""StarGAN v2's networks (Choi et al. 2020, appendix A)."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

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
    MultiHeadMLP,
    StyleDecoder,
    compute_encoder_widths,
    init_kaiming,
    select_heads,
)
from zoogan.plugins import Facts
from zoogan_stargan_v2.config import (
    StarganV2DiscriminatorConfig,
    StarganV2GeneratorConfig,
    StarganV2MappingConfig,
    StarganV2StyleEncoderConfig,
)

DETAILED_SIDES = (32, 64, 128)
"""The sides at which masks keep details."""


def get_size_exponent(who: str, image_size: int, least: int) -> int:
    """Return log2 of the image size.

    Args:
        who: The component, for messages.
        image_size: Side of the images in pixels.
        least: The smallest size that the component takes.

    Raises:
        ConfigError: The size is no power of two, or too small; names the component and the sizes that fit.
    """
    if image_size < least or image_size.bit_count() != 1:
        raise ConfigError(f"{who}: needs an image size that is a power of two, at least {least}, got {image_size}")
    return image_size.bit_length() - 1


def choose_first_width(width: int | None, image_size: int) -> int:
    """Return the channels at full size: `width` if it is set, else the official 2^14 / image size."""
    return width or max(1, 2**14 // image_size)


def count_domains(who: str, facts: Facts) -> int:
    """Count the domains of the data.

    Args:
        who: The component, for messages.
        facts: Facts about the data.

    Raises:
        ConfigError: There are none.
    """
    if not facts.domains:
        raise ConfigError(f"{who}: needs domains, one head each, but the data has none")
    return len(facts.domains)


class StarganV2Generator(StyleTranslator):
    """Redraws an image in a style; no tanh, so the output is unbounded.

    Down to 16 x 16 and up again; with high_pass down to 8 x 8, which loses more details unless masks keep them.

    Args:
        config: Settings of the network.
        facts: Image size and channels.

    Source: StarGAN v2, table 5.
    """

    def __init__(self, config: StarganV2GeneratorConfig, facts: Facts) -> None:
        super().__init__()
        detailed = config.high_pass > 0
        power = get_size_exponent("generator 'stargan-v2'", facts.image_size, 16 if detailed else 32)
        widths = compute_encoder_widths(
            choose_first_width(config.width, facts.image_size), power - (3 if detailed else 4), config.max_width
        )

        def make_block(inputs: int, outputs: int, upsample: bool) -> nn.Module:
            # With high-pass details the official decoder has weights of shortcuts that it never uses. This decoder has
            # none.
            return AdainResidualBlock(
                inputs, outputs, style_dim=config.style_dim, upsample=upsample, shortcut=not detailed
            )

        head = nn.Sequential(OrderedDict(
            norm=InstanceNorm2d(widths[0], affine=True),
            activation=nn.LeakyReLU(LRELU_SLOPE, inplace=True),
            conv=nn.Conv2d(widths[0], facts.channels, 1),
        ))  # fmt: skip
        self.encoder = ContentEncoder(facts.channels, widths, keep=DETAILED_SIDES if detailed else ())
        self.decoder = StyleDecoder(widths, make_block, head, high_pass=config.high_pass)
        self.style_dim, self.takes_masks = config.style_dim, detailed
        init_kaiming(self)

    def encode(self, image: Float[Tensor, "n c h w"]) -> Content:
        """Encode the image for all styles: the bottleneck's features, and with high_pass the details before it."""
        return self.encoder(image)

    def decode(
        self, encoded: Content, style: Style, masks: Masks | None = None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Decode the image in a style.

        Args:
            encoded: What `encode` returned.
            style: Styles (n, style_dim).
            masks: Coarse, for details 32 pixels wide, and fine, for those of 64 and 128; None keeps none.
            noise: Must be None: this decoder adds no noise.

        Raises:
            ValueError: Masks, but high_pass is 0.
        """
        return self.decoder(encoded, style, masks)

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return encoder and decoder."""
        return [self.encoder, self.decoder]


class StarganV2Mapping(StyleMapping):
    """Maps noise to a style; row n takes the output of its domain's head.

    Args:
        config: Settings of the network.
        facts: Domains.

    Source: StarGAN v2, table 6.
    """

    def __init__(self, config: StarganV2MappingConfig, facts: Facts) -> None:
        super().__init__()
        heads = count_domains("mapping 'stargan-v2'", facts)
        self.body = MultiHeadMLP(config.latent_dim, [config.style_dim] * heads, width=config.width)
        self.latent_dim, self.style_dim = config.latent_dim, config.style_dim
        init_kaiming(self)

    def forward(self, latent: Float[Tensor, "n z"], domain: Domain) -> Style:
        """Map N(0, 1) of shape (n, latent_dim) to styles (n, style_dim)."""
        return select_heads(self.body(latent), domain)


class StarganV2StyleEncoder(StyleEncoder):
    """Reads the style of an image; row n takes the output of its domain's head.

    Args:
        config: Settings of the network.
        facts: Image size, channels and domains.

    Source: StarGAN v2, table 7.
    """

    def __init__(self, config: StarganV2StyleEncoderConfig, facts: Facts) -> None:
        super().__init__()
        who = "style encoder 'stargan-v2'"
        self.trunk = make_conv_trunk(who, config, facts)
        self.heads = DomainHeads(
            nn.Linear(self.trunk.outputs, config.style_dim) for _ in range(count_domains(who, facts))
        )
        self.style_dim = config.style_dim
        init_kaiming(self)

    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Style:
        """Encode images (n, c, h, w) in [-1, 1] to styles (n, style_dim), unbounded."""
        return select_heads(self.heads(self.trunk(image)), domain)


class StarganV2Discriminator(StyleDiscriminator):
    """A realism score for each domain; row n takes that of its domain.

    Args:
        config: Settings of the network.
        facts: Image size, channels and domains.

    Source: StarGAN v2, table 7.
    """

    def __init__(self, config: StarganV2DiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        who = "discriminator 'stargan-v2'"
        self.trunk = make_conv_trunk(who, config, facts)
        self.score = nn.Linear(self.trunk.outputs, count_domains(who, facts))
        init_kaiming(self)

    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Float[Tensor, " n *heads"]:
        """Score images (n, c, h, w) in [-1, 1]: (n,), unbounded."""
        return select_heads(self.score(self.trunk(image)), domain)


def make_conv_trunk(
    who: str, config: StarganV2StyleEncoderConfig | StarganV2DiscriminatorConfig, facts: Facts
) -> ConvTrunk:
    """Make the body of style encoder and discriminator: halvings down to 4 x 4.

    Args:
        who: The component, for messages.
        config: Its widths.
        facts: Image size and channels.
    """
    power = get_size_exponent(who, facts.image_size, 16)
    return ConvTrunk(
        facts.channels,
        compute_encoder_widths(choose_first_width(config.width, facts.image_size), power - 2, config.max_width),
    )
