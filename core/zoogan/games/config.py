"""Configs of the core's games. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from zoogan.conditions.config import LatentConfig
from zoogan.config import ComponentConfig, ConfigModel, GameConfig, Slot, as_list
from zoogan.editors.config import InversionConfig
from zoogan.layers.config import NoAugmentConfig
from zoogan.losses.config import NonSaturatingConfig, R1Config

Optimizer = Annotated[ComponentConfig, Slot("optimizer")]


class AdversarialConfig(GameConfig):
    """What every game of generators against one discriminator has: its loss, its penalty, and what the discriminator sees."""

    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")]
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")]
    augment: Annotated[ComponentConfig, Slot("augment")]


class Cadence(ConfigModel):
    """How often each side plays in an iteration.

    discriminator_repeat: discriminator updates before the generator's. generator_every: the generator plays in the last of
    this many iterations. fresh_batch: every update reads a new batch; otherwise all steps of an iteration share one.
    """

    discriminator_repeat: int = Field(1, ge=1)
    generator_every: int = Field(1, ge=1)
    fresh_batch: bool = False


Moving = Literal["attribute", "cycle", "identity"]


class EditingWeights(ConfigModel):
    """Weights of the attribute-editing terms; a reconstruction whose weight is 0 is not computed.

    attribute: the generator's classification term. attribute_real: the discriminator's, on real images.
    cycle: |G(G(x, target), own) - x|. cycle_lost: its share that counts where the edit takes something away, which can
    be restored only if the edit hides it (Chu et al. 2017, section 4): below 1 a ghost of the glasses need not stay.
    identity: |G(x, own) - x|. final: weights of the last iteration, by name, to which they move in equal steps.
    """

    attribute: float = Field(1.0, ge=0)
    attribute_real: float = Field(1.0, ge=0)
    cycle: float = Field(10.0, ge=0)
    cycle_lost: float = Field(1.0, ge=0, le=1)
    identity: float = Field(0.0, ge=0)
    final: dict[Moving, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    def at(self, share: float) -> dict[str, float]:
        """Weights of the generator's terms after a share of the training; a term that never counts is left out."""
        started: dict[Moving, float] = {"attribute": self.attribute, "cycle": self.cycle, "identity": self.identity}
        ends = {name: (first, self.final.get(name, first)) for name, first in started.items()}
        return {name: first + share * (last - first) for name, (first, last) in ends.items() if max(first, last) > 0}


class EditingOptimizers(ConfigModel):
    """One optimizer a network."""

    generator: Optimizer
    discriminator: Optimizer


class AttributeEditingConfig(AdversarialConfig):
    """StarGAN, SaGAN and their kin: one generator edits, one discriminator judges realism and reads attributes."""

    generator: Annotated[ComponentConfig, Slot("image_editor")]
    discriminator: Annotated[ComponentConfig, Slot("attribute_discriminator")]
    classification: Annotated[ComponentConfig, Slot("classification")]
    cadence: Cadence = Cadence()
    weights: EditingWeights = EditingWeights()
    optimizers: EditingOptimizers


class StyleWeights(ConfigModel):
    """Weights of the style-translation terms; a term whose weight is 0 is not computed.

    discriminator: of the discriminator's real and fake terms. style: |E(translated) - style|. diversity: how strongly two styles are
    driven apart; falls linearly to 0 over `diversity_decay` iterations (null = the whole run).
    cycle: how well the source can be restored with its own style.
    """

    discriminator: float = Field(1.0, gt=0)
    style: float = Field(1.0, ge=0)
    diversity: float = Field(1.0, ge=0)
    diversity_decay: int | None = Field(None, ge=1)
    cycle: float = Field(1.0, ge=0)


class StyleOptimizers(ConfigModel):
    """One optimizer a network."""

    generator: Optimizer
    mapping: Optimizer
    style_encoder: Optimizer
    discriminator: Optimizer


class StyleTranslationConfig(AdversarialConfig):
    """StarGAN v2, SMILE's layout stage and their kin: pictures are redrawn in a domain and a style.

    picture: `image` = floats in [-1, 1], restored by L1; `layout` = one-hot classes, of which the generator gives
    logits, restored by cross entropy. passes: where styles come from in training. reference_trains: the networks that
    learn from the pass with references. detach_cycle_style: the style encoder learns nothing from the cycle.
    diversity_outside_masks: two styles need not differ where the heat maps keep the face.
    """

    generator: Annotated[ComponentConfig, Slot("style_translator")]
    mapping: Annotated[ComponentConfig, Slot("style_mapping")]
    style_encoder: Annotated[ComponentConfig, Slot("style_encoder")]
    discriminator: Annotated[ComponentConfig, Slot("style_discriminator")]
    heat_maps: Annotated[ComponentConfig, Slot("heat_maps")]
    picture: Literal["image", "layout"] = "image"
    passes: Annotated[tuple[Literal["latent", "reference"], ...], BeforeValidator(as_list)] = Field(
        ("latent", "reference"), min_length=1, max_length=2
    )
    reference_trains: Annotated[tuple[Literal["generator", "style_encoder"], ...], BeforeValidator(as_list)] = Field(
        ("generator",), min_length=1, max_length=2
    )
    detach_cycle_style: bool = False
    diversity_outside_masks: bool = False
    weights: StyleWeights = StyleWeights()
    optimizers: StyleOptimizers


class SynthesisWeights(ConfigModel):
    """Weights of the synthesis terms; a term whose weight is 0 is not computed.

    path_length: of the path-length penalty, 0 = none; it plays every `path_every` iterations, that many times as
    strong. path_decay: how far its running mean moves each time. mask: of the difference between the coarse masks of
    parts and what their refined segmentation comes to. segmentation_penalty: what the discriminator's squared gradient with
    respect to the segmentation counts in its penalty, beside that with respect to the image.
    """

    path_length: float = Field(2.0, ge=0)
    path_every: int = Field(4, ge=1)
    path_decay: float = Field(0.01, gt=0, le=1)
    mask: float = Field(0.0, ge=0)
    segmentation_penalty: float = Field(1.0, gt=0)


class SynthesisOptimizers(ConfigModel):
    """One optimizer a network."""

    generator: Optimizer
    mapping: Optimizer
    discriminator: Optimizer


class SynthesisConfig(AdversarialConfig):
    """StyleGAN2, SemanticStyleGAN and their kin: faces from noise.

    mixing: share of the faces that are made of two latents. path_trains_mapping: the path-length penalty reaches the
    mapping, not only the generator. judge_segmentation: a discriminator that can look at segmentations does, which asks for a
    source that has them; without, only images are judged. inversion: how a trained run finds the latents of photos,
    unless somebody says otherwise.
    """

    condition: Annotated[ComponentConfig, Slot("condition")] = LatentConfig()
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = NonSaturatingConfig()
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = R1Config(weight=10.0, every=16)
    augment: Annotated[ComponentConfig, Slot("augment")] = NoAugmentConfig()
    generator: Annotated[ComponentConfig, Slot("latent_generator")]
    mapping: Annotated[ComponentConfig, Slot("latent_mapping")]
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")]
    mixing: float = Field(0.9, ge=0, le=1)
    path_trains_mapping: bool = True
    judge_segmentation: bool = True
    inversion: InversionConfig = InversionConfig()
    weights: SynthesisWeights = SynthesisWeights()
    optimizers: SynthesisOptimizers
