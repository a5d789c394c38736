"""Configs of the core's games. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zoogan.config import ComponentConfig, Frozen, GameConfig, Slot

Optimizer = Annotated[ComponentConfig, Slot("optimizer")]


class Cadence(Frozen):
    """How often each side plays in an iteration.

    discriminator_repeat: critic updates before the generator's. generator_every: the generator plays in the last of
    this many iterations. fresh_batch: every update reads a new batch; otherwise all steps of an iteration share one.
    """

    discriminator_repeat: int = Field(1, ge=1)
    generator_every: int = Field(1, ge=1)
    fresh_batch: bool = False


class EditingWeights(Frozen):
    """Weights of the attribute-editing terms; a reconstruction whose weight is 0 is not computed.

    attribute: the generator's classification term. attribute_real: the critic's, on real images.
    cycle: |G(G(x, target), own) - x|. identity: |G(x, own) - x|.
    """

    attribute: float = Field(1.0, ge=0)
    attribute_real: float = Field(1.0, ge=0)
    cycle: float = Field(10.0, ge=0)
    identity: float = Field(0.0, ge=0)


class EditingOptimizers(Frozen):
    """One optimizer a network."""

    generator: Optimizer
    discriminator: Optimizer


class AttributeEditingConfig(GameConfig):
    """StarGAN, SaGAN and their kin: one generator edits, one critic judges realism and reads attributes."""

    generator: Annotated[ComponentConfig, Slot("image_editor")]
    discriminator: Annotated[ComponentConfig, Slot("attribute_critic")]
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")]
    penalty: Annotated[ComponentConfig, Slot("critic_penalty")]
    classification: Annotated[ComponentConfig, Slot("classification")]
    augment: Annotated[ComponentConfig, Slot("augment")]
    cadence: Cadence = Cadence()
    weights: EditingWeights = EditingWeights()
    optimizers: EditingOptimizers
