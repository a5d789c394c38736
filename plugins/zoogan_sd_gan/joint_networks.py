"""Networks of the joint variant: encoder, offset network with its basis, discriminator with an attribute head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.interfaces import AttributeOffset, ImageDiscriminator, LatentEncoder, Latents
from zoogan.layers import DiscriminatorHead, DiscriminatorTrunk, EqualizedLinear, compute_synthesis_widths
from zoogan.plugins import Facts
from zoogan_sd_gan.joint_config import JointDiscriminatorConfig, JointEncoderConfig, JointOffsetConfig

CELLS = 16  # of the trunk's last features, 4 x 4


def count_rows(config: JointEncoderConfig, facts: Facts) -> int:
    """Return the rows of w+: those of the config, else those of StyleGAN2's generator at this image size."""
    return config.rows or 2 * (facts.image_size.bit_length() - 2)


class JointEncoder(LatentEncoder):
    """Reads latents off faces: halvings down to 4 x 4, then two linear layers. No layer looks at the batch.

    Args:
        config: Settings of the network.
        facts: Image size and channels.
    """

    def __init__(self, config: JointEncoderConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim, self.rows = config.style_dim, count_rows(config, facts)
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.trunk = DiscriminatorTrunk(facts.channels, widths[::-1])
        self.hidden = EqualizedLinear(CELLS * widths[0], config.hidden, activate=True)
        self.latents = EqualizedLinear(config.hidden, self.rows * self.style_dim)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Latents:
        """Map images (n, c, s, s) in [-1, 1] to w+ (n, rows, style_dim), unbounded."""
        latents: Tensor = self.latents(self.hidden(self.trunk(image).flatten(1)))
        return latents.unflatten(1, (self.rows, self.style_dim))


class JointOffset(AttributeOffset):
    """Computes the offset of a face for labels; it starts at 0. Holds a random vector for each attribute.

    Args:
        config: Settings of the network.
        facts: Image size, channels and attributes.
    """

    def __init__(self, config: JointOffsetConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim, self.rows = config.style_dim, count_rows(config, facts)
        attributes = len(facts.attributes)
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.trunk = DiscriminatorTrunk(facts.channels, widths[::-1])
        self.hidden = EqualizedLinear(CELLS * widths[0] + attributes, config.hidden, activate=True)
        self.offset = EqualizedLinear(config.hidden, self.rows * self.style_dim)
        nn.init.zeros_(self.offset.weight)
        basis = config.basis_length * F.normalize(torch.randn(attributes, config.style_dim), dim=1)
        if config.basis == "learnt":
            self.basis = nn.Parameter(basis)
        else:
            self.register_buffer("basis", basis)

    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Latents:
        """Map images (n, c, s, s) and labels (n, a) to offsets (n, rows, style_dim)."""
        features = torch.cat([self.trunk(image).flatten(1), attributes], 1)
        offset: Tensor = self.offset(self.hidden(features))
        return offset.unflatten(1, (self.rows, self.style_dim))


class JointVerdict(NamedTuple):
    """What the discriminator sees in images.

    Attributes:
        score: Raw realism scores, unbounded.
        attributes: Logits of the attributes.
        features: The trunk's last features.
    """

    score: Float[Tensor, "n 1"]
    attributes: Float[Tensor, "n a"]
    features: Float[Tensor, "n d"]


class JointDiscriminator(ImageDiscriminator):
    """StyleGAN2's discriminator with a second head. Only its score depends on the other images of the batch.

    Args:
        config: Settings of the network.
        facts: Image size, channels and attributes.

    Source: StyleGAN2 (Karras et al. 2020), figure 7c; the second head as in AC-GAN (Odena et al. 2017).
    """

    def __init__(self, config: JointDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.trunk = DiscriminatorTrunk(facts.channels, widths[::-1])
        self.head = DiscriminatorHead(widths[0], widths[0], config.group)
        self.attributes = EqualizedLinear(CELLS * widths[0], len(facts.attributes))

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return trunk and heads, which `judge` calls too."""
        return [self.trunk, self.head, self.attributes]

    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Score images (n, c, s, s) in [-1, 1]; the segmentation is ignored."""
        score: Tensor = self.head(self.trunk(image))
        return score

    def judge(self, image: Float[Tensor, "n c h w"]) -> JointVerdict:
        """Score images (n, c, s, s) in [-1, 1], and read their attributes, in one pass."""
        features: Tensor = self.trunk(image)
        flat = features.flatten(1)
        return JointVerdict(self.head(features), self.attributes(flat), flat)

    def read_attributes(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a"]:
        """Read the attributes of images alone, as logits; no image depends on the others of its batch."""
        logits: Tensor = self.attributes(self.trunk(image).flatten(1))
        return logits

    def compute_features(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> list[Float[Tensor, "n _ _ _"]]:
        """Compute the features of all layers of the trunk, at full size first; the segmentation is ignored."""
        return self.trunk.compute_features(image)
