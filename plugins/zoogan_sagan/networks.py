"""SaGAN's networks (Zhang et al. 2018, section 3.1; layer tables of the supplementary slides)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import AttributeDiscriminator, EditedImage, ImageEditor, Verdict
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
    """Batch statistics that a training forward of the attention saw, and whether an edit has used it."""

    def __init__(self, seen: list[tuple[BatchNorm2d, BatchStatistics]]) -> None:
        self.seen, self.used = seen, False

    def count_edit(self) -> None:
        """From the second edit on, move the running statistics as running the attention again would."""
        if self.used:
            for layer, statistics in self.seen:
                layer.update_running_statistics(statistics)
        self.used = True


class MaskedImage(NamedTuple):
    """An image and where to edit it. mask: None where it waits for the label."""

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"] | None
    attention: AttentionPass | None


class SaganGenerator(ImageEditor):
    """image = raw * mask + image * (1 - mask), with raw the modification and mask the attention network's.

    Unless the mask sees the label it depends on the image alone, so `encode` computes it once for all edits.
    """

    def __init__(self, config: SaganGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        check_halvings("generator 'sagan'", "downsamplings", config.downsamplings, facts.image_size, exact=True)
        self.mask_sees_label = config.mask_sees_label
        labelled = facts.channels + len(facts.attributes)

        def body(inputs: int, outputs: int) -> EncoderDecoder:
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

        self.modification = body(labelled, facts.channels)
        self.attention = body(labelled if config.mask_sees_label else facts.channels, 1)
        init_normal(self)
        assert self.attention.head.bias is not None
        nn.init.constant_(self.attention.head.bias, config.mask_bias)
        for layer in self.get_attention_norms():
            layer.records_statistics = True

    def get_attention_norms(self) -> list[BatchNorm2d]:
        """The attention's batch norms."""
        return [layer for layer in self.attention.modules() if isinstance(layer, BatchNorm2d)]

    def encode(self, image: Float[Tensor, "n c h w"]) -> MaskedImage:
        """The image with its mask in [0, 1]."""
        if self.mask_sees_label:
            return MaskedImage(image, None, None)
        mask = self.attention(image).sigmoid()
        if not self.training:
            return MaskedImage(image, mask, None)
        return MaskedImage(
            image,
            mask,
            AttentionPass(
                [(layer, layer.last_statistics) for layer in self.get_attention_norms() if layer.last_statistics]
            ),
        )

    def decode(self, encoded: MaskedImage, attributes: Float[Tensor, "n a"]) -> EditedImage:
        """The edit of the encoded image, its mask, and the modified image before the mask."""
        image, mask, attention = encoded
        labelled = append_planes(image, attributes)
        raw = self.modification(labelled).tanh()
        if mask is None:
            mask = self.attention(labelled).sigmoid()
        if attention is not None:
            attention.count_edit()
        return EditedImage(raw * mask + image * (1 - mask), mask, raw)

    def list_compiled_modules(self) -> list[nn.Module]:
        """Both bodies."""
        return [self.modification, self.attention]


class SaganDiscriminator(AttributeDiscriminator):
    """A realism map and attribute logits.

    With `score_heads: label` the map has one channel for each attribute and value, and `score` is (n, a, i,
    j): those of the claimed values. Otherwise it is (n, 1, i, j) and ignores the claim.
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

    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Verdict:
        """Judge `image` in [-1, 1] that claims to show `attributes`."""
        features = self.trunk(image)
        score = self.score(features)
        if self.by_label:
            score = select_label_scores(score, attributes)
        return Verdict(score, self.attributes(features).flatten(1))


def select_label_scores(
    score: Float[Tensor, "n heads i j"], attributes: Float[Tensor, "n a"]
) -> Float[Tensor, "n a i j"]:
    """Of two maps an attribute (absent, present), that of its value; values from 0.5 up count as present."""
    absent, present = score.unflatten(1, (-1, 2)).unbind(2)
    return torch.where((attributes >= 0.5)[:, :, None, None], present, absent)
