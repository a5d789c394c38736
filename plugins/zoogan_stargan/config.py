"""Configs of StarGAN; defaults are the paper's. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.conditions import AttributesConfig
from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig, use_component
from zoogan.data import DrawnData
from zoogan.games import AttributeEditingConfig, Cadence, EditingOptimizers, EditingWeights
from zoogan.losses import GradientPenaltyConfig
from zoogan.training import AdamConfig, LinearConfig


class StarganGeneratorConfig(ComponentConfig):
    """Encoder, residual blocks, decoder on image and label planes (StarGAN, table 4).

    Attributes:
        width: Channels at full size (official name: g_conv_dim).
        blocks: Residual blocks (g_repeat_num).
        upsample: `transpose` or `resize`; `resize` makes no checkerboard pattern.
    """

    use: Literal["stargan"] = "stargan"
    width: int = Field(64, ge=1)
    blocks: int = Field(6, ge=0, le=100)
    upsample: Literal["transpose", "resize"] = "transpose"


class StarganDiscriminatorConfig(ComponentConfig):
    """PatchGAN with a realism map and attribute logits (StarGAN, table 5).

    Attributes:
        width: Channels of the first stage (official name: d_conv_dim).
        stages: Halvings (d_repeat_num); null = down to 2 x 2, at most 6.
        slope: Slope of LeakyReLU.
    """

    use: Literal["stargan"] = "stargan"
    width: int = Field(64, ge=1)
    stages: int | None = Field(None, ge=1, le=100)
    slope: float = Field(0.01, ge=0, lt=1)


class Repo2018Config(ComponentConfig):
    """The learning rate of the official code as it runs: it decays only once in `period` iterations.

    Attributes:
        decay: Iterations over which it was meant to decay to 0 (official name: num_iters_decay); null = half the run.
        period: Iterations from one decay to the next.
    """

    use: Literal["repo-2018"] = "repo-2018"
    decay: int | None = Field(None, ge=1)
    period: int = Field(1000, ge=1)


ADAM = AdamConfig(lr=1e-4, betas=(0.5, 0.999), schedule=LinearConfig(start=0.5, final=0.0))


class StarganConfig(AttributeEditingConfig):
    """StarGAN as published (CelebA)."""

    method: Literal["stargan"] = "stargan"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    condition: Annotated[ComponentConfig, Slot("condition")] = AttributesConfig(draw="permute")
    generator: Annotated[ComponentConfig, Slot("image_editor")] = StarganGeneratorConfig()
    discriminator: Annotated[ComponentConfig, Slot("attribute_discriminator")] = StarganDiscriminatorConfig()
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component("adversarial_loss", "wgan")
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = GradientPenaltyConfig(weight=10.0)
    classification: Annotated[ComponentConfig, Slot("classification")] = use_component("classification", "binary")
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    cadence: Cadence = Cadence(discriminator_repeat=1, generator_every=5, fresh_batch=False)
    weights: EditingWeights = EditingWeights(attribute=1.0, attribute_real=1.0, cycle=10.0, identity=0.0)
    optimizers: EditingOptimizers = EditingOptimizers(generator=ADAM, discriminator=ADAM)
    training: TrainingConfig = TrainingConfig(iterations=200_000, sample_every=1000, checkpoint_every=10_000)
