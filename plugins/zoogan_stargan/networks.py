"""StarGAN's networks (Choi et al. 2018, tables 4 and 5)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import AttributeDiscriminator, DiscriminatorOutput, EditedImage, ImageEditor
from zoogan.layers import EncoderDecoder, StridedTrunk, append_planes, check_halvings, get_default_stages
from zoogan.plugins import Facts
from zoogan_stargan.config import StarganDiscriminatorConfig, StarganGeneratorConfig

DOWNSAMPLINGS = 2


class StarganGenerator(ImageEditor):
    """Edits the whole image, without a mask.

    All padding is zero: with reflection, instance norm would remove the constant planes of the label. Instance norm has
    no running statistics, so eval is the same as training, as in the official code, which never calls eval().

    Args:
        config: Settings of the network.
        facts: Image size, channels and attributes.

    Source: StarGAN, table 4.
    """

    def __init__(self, config: StarganGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        check_halvings("generator 'stargan'", "downsamplings", DOWNSAMPLINGS, facts.image_size, exact=True)
        self.body = EncoderDecoder(
            facts.channels + len(facts.attributes),
            facts.channels,
            width=config.width,
            downsamplings=DOWNSAMPLINGS,
            blocks=config.blocks,
            norm="instance",
            res_norm="instance",
            affine=True,
            bias=False,
            head_bias=False,
            upsample=config.upsample,
            fast=True,
        )

    def decode(self, encoded: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> EditedImage:
        """Return the edited image in [-1, 1], without mask and raw. `encoded` is the image."""
        return EditedImage(self.body(append_planes(encoded, attributes)).tanh())

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return the body."""
        return [self.body]


class StarganDiscriminator(AttributeDiscriminator):
    """A realism map of side image_size / 2^stages, and attribute logits, which do not depend on `attributes`.

    Args:
        config: Settings of the network.
        facts: Image size, channels and attributes.

    Source: StarGAN, table 5.
    """

    def __init__(self, config: StarganDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        stages = config.stages or get_default_stages(facts.image_size)
        check_halvings("discriminator 'stargan'", "stages", stages, facts.image_size, exact=False)
        self.trunk = StridedTrunk(facts.channels, width=config.width, stages=stages, slope=config.slope)
        self.score = nn.Conv2d(self.trunk.outputs, 1, 3, 1, 1, bias=False)
        self.attributes = nn.Conv2d(self.trunk.outputs, len(facts.attributes), facts.image_size >> stages, bias=False)

    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> DiscriminatorOutput:
        """Score images (n, c, h, w) in [-1, 1]."""
        features = self.trunk(image)
        return DiscriminatorOutput(self.score(features), self.attributes(features).flatten(1))
