"""Configs of SaGAN; defaults are the paper's. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.conditions import AttributesConfig
from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig, use_component
from zoogan.data import DrawnData
from zoogan.games import AttributeEditingConfig, Cadence, EditingOptimizers, EditingWeights
from zoogan.losses import GradientPenaltyConfig
from zoogan.training import AdamConfig


class SaganGeneratorConfig(ComponentConfig):
    """One network changes the image towards the label, another predicts the mask (SaGAN, section 3.1).

    Attributes:
        width: Channels at full size.
        downsamplings: Halvings of each network.
        blocks: Residual blocks of each network.
        kernel: Side of the first and last convolution.
        norm: Normalisation outside the residual blocks.
        res_norm: Normalisation inside the residual blocks; released weights need `batch`.
        upsample: `transpose` or `resize`; `resize` makes no checkerboard pattern.
        mask_sees_label: Predict a mask for each target instead of one for all, for several attributes.
        skip: Add the input in residual blocks; false = the first version of the code.
        mask_bias: Initial bias of the mask's last layer; above 0 the mask starts open.
    """

    use: Literal["sagan"] = "sagan"
    width: int = Field(32, ge=1)
    downsamplings: int = Field(3, ge=1, le=100)
    blocks: int = Field(4, ge=0, le=100)
    kernel: Literal[3, 5, 7] = 7
    norm: Literal["instance", "group"] = "instance"
    res_norm: Literal["batch", "instance", "group"] = "batch"
    upsample: Literal["transpose", "resize"] = "transpose"
    mask_sees_label: bool = False
    skip: bool = True
    mask_bias: float = 0.0


class SaganDiscriminatorConfig(ComponentConfig):
    """PatchGAN with a realism map and attribute logits.

    Attributes:
        width: Channels of the first stage.
        stages: Halvings; null = down to 2 x 2, at most 6.
        slope: Slope of LeakyReLU.
        score_heads: `joint` = one realism map; `label` = one for each value of each attribute, of which that of the
            label is used.
    """

    use: Literal["sagan"] = "sagan"
    width: int = Field(32, ge=1)
    stages: int | None = Field(None, ge=1, le=100)
    slope: float = Field(0.2, ge=0, lt=1)
    score_heads: Literal["joint", "label"] = "joint"


ADAM = AdamConfig(lr=2e-4, betas=(0.5, 0.999))


class SaganConfig(AttributeEditingConfig):
    """SaGAN as published (CelebA)."""

    method: Literal["sagan"] = "sagan"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    condition: Annotated[ComponentConfig, Slot("condition")] = AttributesConfig(draw="flip")
    generator: Annotated[ComponentConfig, Slot("image_editor")] = SaganGeneratorConfig()
    discriminator: Annotated[ComponentConfig, Slot("attribute_discriminator")] = SaganDiscriminatorConfig()
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component("adversarial_loss", "wgan")
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = GradientPenaltyConfig(weight=10.0)
    classification: Annotated[ComponentConfig, Slot("classification")] = use_component("classification", "binary")
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    cadence: Cadence = Cadence(discriminator_repeat=3, generator_every=1, fresh_batch=True)
    weights: EditingWeights = EditingWeights(attribute=1.0, attribute_real=1.0, cycle=20.0, identity=100.0)
    optimizers: EditingOptimizers = EditingOptimizers(generator=ADAM, discriminator=ADAM)
    training: TrainingConfig = TrainingConfig(iterations=20_834, sample_every=500, checkpoint_every=1000)
