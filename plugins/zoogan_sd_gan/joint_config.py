"""Configs of the joint variant: generator, discriminator, encoder and offset train together. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.conditions import AttributesConfig
from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig, use_component
from zoogan.data import DrawnData
from zoogan.games import OptimizerSlot, SynthesisConfig, SynthesisOptimizers, SynthesisWeights
from zoogan.training import AdamConfig


class JointEncoderConfig(ComponentConfig):
    """From a face to its latents: the trunk of StyleGAN2's discriminator and two linear layers.

    Attributes:
        style_dim: Length of a latent; that of the generator.
        rows: Rows of w+; null = 2 log2(side) - 2, as StyleGAN2's generator.
        channel_multiplier: A layer at side s has this times 2^14 / s channels.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        hidden: Numbers between the two linear layers.
    """

    use: Literal["sd-gan-joint"] = "sd-gan-joint"
    style_dim: int = Field(512, ge=1)
    rows: int | None = Field(None, ge=1)
    channel_multiplier: float = Field(1.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    hidden: int = Field(512, ge=1)


class JointOffsetConfig(JointEncoderConfig):
    """From a face and the requested labels to an offset of its latents; it also holds the step of each attribute.

    Attributes:
        basis: fixed = the steps stay as they were drawn, and the generator adapts to them; learnt = they are trained.
        basis_length: Length of a step when it is drawn, at random; latents have about sqrt(style_dim).
    """

    basis: Literal["fixed", "learnt"] = "fixed"
    basis_length: float = Field(1.0, gt=0)


class JointDiscriminatorConfig(ComponentConfig):
    """StyleGAN2's residual discriminator, with a second head that reads attributes.

    Attributes:
        channel_multiplier: A layer at side s has this times 2^14 / s channels; 2 = configuration F.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        group: Most images whose deviation is computed together; the largest number up to this that divides the batch.
    """

    use: Literal["sd-gan-joint"] = "sd-gan-joint"
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    group: int = Field(4, ge=1)


class JointWeights(SynthesisWeights):
    """Weights of the joint variant; a term whose weight is 0 is not computed.

    Attributes:
        edited: Weight of the adversarial terms of edits, of discriminator and generator; those of faces from noise
            count 1.
        attribute: Weight of the generator's classification terms, of faces from noise and of edits.
        attribute_real: Weight of the discriminator's classification term, on real faces.
        identity: Weight of 1 - cos between the discriminator's features of an edit and of its photo.
        reconstruction: Weight of |G(w + y B + F(x, y)) - x|, with the face's own labels y.
    """

    edited: float = Field(0.5, ge=0)
    attribute: float = Field(1.0, ge=0)
    attribute_real: float = Field(1.0, gt=0)
    identity: float = Field(1.0, ge=0)
    reconstruction: float = Field(10.0, gt=0)


ADAM = AdamConfig(lr=0.002, betas=(0.0, 0.99))


class JointOptimizers(SynthesisOptimizers):
    """One optimizer a network.

    Attributes:
        encoder: Optimizer of the encoder.
        offset: Optimizer of the offset network, and of the basis if it is learnt.
    """

    generator: OptimizerSlot = ADAM
    mapping: OptimizerSlot = ADAM
    discriminator: OptimizerSlot = ADAM
    encoder: OptimizerSlot = ADAM
    offset: OptimizerSlot = ADAM


class JointConfig(SynthesisConfig):
    """Joint decomposition: faces from noise and edits of photos by one generator, trained together from the start.

    Attributes:
        condition: How the labels that faces should show are drawn.
        classification: The loss of attribute logits.
        encoder: The network that reads the latents of photos.
        offset: The network that computes offsets, and holds the step of each attribute.
        discriminator: The network that judges realism and reads attributes.
        weights: Weights of the terms.
        optimizers: One optimizer a network.
    """

    method: Literal["sd-gan-joint"] = "sd-gan-joint"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    condition: Annotated[ComponentConfig, Slot("condition")] = AttributesConfig(draw="permute")
    classification: Annotated[ComponentConfig, Slot("classification")] = use_component("classification", "binary")
    encoder: Annotated[ComponentConfig, Slot("latent_encoder")] = JointEncoderConfig()
    offset: Annotated[ComponentConfig, Slot("attribute_offset")] = JointOffsetConfig()
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")] = JointDiscriminatorConfig()
    weights: JointWeights = JointWeights()
    optimizers: JointOptimizers = JointOptimizers()
    training: TrainingConfig = TrainingConfig(
        iterations=800_000, average_images=10_000, sample_every=5000, checkpoint_every=10_000
    )
