"""SaGAN's networks (Zhang et al. 2018, section 3.1; layer tables of the supplementary slides)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import AttributeDiscriminator, DiscriminatorOutput, EditedImage, ImageEditor
from zoogan.layers import (
    BatchNorm2d,
    BatchStatistics,
    EncoderDecoder,
    StridedTrunk,
    append_planes,
    check_halvings,
    get_default_stages,
    init_normal,
)
from zoogan.plugins import Facts
from zoogan_sagan.config import SaganDiscriminatorConfig, SaganGeneratorConfig


class AttentionPass:
    """Batch statistics of one training forward of the attention network, for edits that share its mask.

    Args:
        statistics: Each batch norm of the attention network with the statistics of its batch.
    """

    def __init__(self, statistics: list[tuple[BatchNorm2d, BatchStatistics]]) -> None:
        self.statistics, self.used = statistics, False

    def count_edit(self) -> None:
        """Update the running statistics for every edit after the first, as another forward would."""
        if self.used:
            for layer, statistics in self.statistics:
                layer.update_running_statistics(statistics)
        self.used = True


class MaskedImage(NamedTuple):
    """An image and where to edit it.

    Attributes:
        image: The image, in [-1, 1].
        mask: Where to edit, in [0, 1]; None where the mask depends on the label.
        attention: The forward that computed the mask; None outside training.
    """

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"] | None
    attention: AttentionPass | None


class SaganGenerator(ImageEditor):
    """Edits inside a mask: raw * mask + image * (1 - mask), raw from one network and the mask from another.

    Without `mask_sees_label` the mask depends only on the image, so `encode` computes it once for all edits.

    Args:
        config: Settings of both networks.
        facts: Image size, channels and attributes.

    Source: SaGAN, section 3.1.
    """

    makes_masks = True

    def __init__(self, config: SaganGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        check_halvings("generator 'sagan'", "downsamplings", config.downsamplings, facts.image_size, exact=True)
        self.mask_sees_label = config.mask_sees_label
        inputs_with_label = facts.channels + len(facts.attributes)

        def make_body(inputs: int, outputs: int) -> EncoderDecoder:
            return EncoderDecoder(
                inputs,
                outputs,
                width=config.width,
                downsamplings=config.downsamplings,
                blocks=config.blocks,
                kernel=config.kernel,
                norm=config.norm,
                res_norm=config.res_norm,
                affine=config.norm == "group",
                bias=True,
                head_bias=True,
                upsample=config.upsample,
                skip=config.skip,
            )

        self.modification = make_body(inputs_with_label, facts.channels)
        self.attention = make_body(inputs_with_label if config.mask_sees_label else facts.channels, 1)
        init_normal(self)
        assert self.attention.head.bias is not None
        nn.init.constant_(self.attention.head.bias, config.mask_bias)
        for layer in self.get_attention_norms():
            layer.records_statistics = True

    def get_attention_norms(self) -> list[BatchNorm2d]:
        """Return the batch norms of the attention network."""
        return [layer for layer in self.attention.modules() if isinstance(layer, BatchNorm2d)]

    def encode(self, image: Float[Tensor, "n c h w"]) -> MaskedImage:
        """Return the image (n, c, h, w) with its mask (n, 1, h, w)."""
        if self.mask_sees_label:
            return MaskedImage(image, None, None)
        mask = self.attention(image).sigmoid()
        if not self.training:
            return MaskedImage(image, mask, None)
        norms = self.get_attention_norms()
        statistics = [(layer, layer.last_statistics) for layer in norms if layer.last_statistics]
        return MaskedImage(image, mask, AttentionPass(statistics))

    def decode(self, encoded: MaskedImage, attributes: Float[Tensor, "n a"]) -> EditedImage:
        """Return the edited image, its mask, and the modified image before the mask."""
        image, mask, attention = encoded
        labelled_image = append_planes(image, attributes)
        raw = self.modification(labelled_image).tanh()
        if mask is None:
            mask = self.attention(labelled_image).sigmoid()
        if attention is not None:
            attention.count_edit()
        return EditedImage(raw * mask + image * (1 - mask), mask, raw)

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return both networks."""
        return [self.modification, self.attention]


class SaganDiscriminator(AttributeDiscriminator):
    """A realism map and attribute logits.

    With `score_heads: label` the map has one channel for each attribute and value, and `score` is (n, a, i, j), the
    channels of the given values. Otherwise it is (n, 1, i, j) and does not depend on `attributes`.

    Args:
        config: Settings of the network.
        facts: Image size, channels and attributes.
    """

    def __init__(self, config: SaganDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        stages = config.stages or get_default_stages(facts.image_size)
        check_halvings("discriminator 'sagan'", "stages", stages, facts.image_size, exact=False)
        self.by_label, count = config.score_heads == "label", len(facts.attributes)
        self.trunk = StridedTrunk(facts.channels, width=config.width, stages=stages, slope=config.slope)
        self.score = nn.Conv2d(self.trunk.outputs, 2 * count if self.by_label else 1, 3, 1, 1)
        self.attributes = nn.Conv2d(self.trunk.outputs, count, facts.image_size >> stages)
        init_normal(self)

    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> DiscriminatorOutput:
        """Score images in [-1, 1] with the labels or targets `attributes` (n, a)."""
        features = self.trunk(image)
        score = self.score(features)
        if self.by_label:
            score = select_label_scores(score, attributes)
        return DiscriminatorOutput(score, self.attributes(features).flatten(1))


def select_label_scores(
    score: Float[Tensor, "n heads i j"], attributes: Float[Tensor, "n a"]
) -> Float[Tensor, "n a i j"]:
    """Select the realism maps of the given values.

    Args:
        score: Two maps an attribute (n, 2 a, i, j): absent, present.
        attributes: Labels or targets (n, a); 0.5 and above count as present.
    """
    absent, present = score.unflatten(1, (-1, 2)).unbind(2)
    return torch.where((attributes >= 0.5)[:, :, None, None], present, absent)
