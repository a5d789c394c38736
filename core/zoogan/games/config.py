"""Configs of the games. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from zoogan.config import ComponentConfig, ConfigModel, GameConfig, LayoutUse, Slot, as_list, use_component
from zoogan.editors.config import InversionConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.losses.config import R1Config

OptimizerSlot = Annotated[ComponentConfig, Slot("optimizer")]
"""A slot that an optimizer fills."""
Pass = Literal["latent", "reference"]
"""Where the styles of a pass of style translation come from."""


class AdversarialConfig(GameConfig):
    """Settings of every game of generators against one discriminator.

    Attributes:
        adversarial: The adversarial loss.
        penalty: The penalty of the discriminator's gradient.
        augment: The augmentation of all images before the discriminator.
    """

    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")]
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")]
    augment: Annotated[ComponentConfig, Slot("augment")]


class Cadence(ConfigModel):
    """How often each side is updated in an iteration.

    Attributes:
        discriminator_repeat: Discriminator updates before the generator's.
        generator_every: Update the generator in the last of this many iterations.
        fresh_batch: Read a new batch for every update; false = all steps of an iteration share one.
    """

    discriminator_repeat: int = Field(1, ge=1, le=100)
    generator_every: int = Field(1, ge=1)
    fresh_batch: bool = False


ScheduledTerm = Literal["attribute", "cycle", "identity"]


class EditingWeights(ConfigModel):
    """Weights of the attribute-editing terms; a reconstruction whose weight is 0 is not computed.

    Attributes:
        attribute: Weight of the generator's classification term.
        attribute_real: Weight of the discriminator's classification term, on real images.
        cycle: Weight of |G(G(x, target), own) - x|.
        cycle_lost: Factor of that distance for faces that lose an attribute, in [0, 1]. Below 1 the generator
            need not hide traces of the glasses in the edit to restore them (Chu et al. 2017, section 4).
        identity: Weight of |G(x, own) - x|.
        final: Weights in the last iteration, by name; weights move to them in equal steps.
    """

    attribute: float = Field(1.0, ge=0)
    attribute_real: float = Field(1.0, ge=0)
    cycle: float = Field(10.0, ge=0)
    cycle_lost: float = Field(1.0, ge=0, le=1)
    identity: float = Field(0.0, ge=0)
    final: dict[ScheduledTerm, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    def compute_at(self, progress: float) -> dict[str, float]:
        """Compute the weights of the generator's terms at a point of the training.

        Args:
            progress: Share of the training that is done, in [0, 1].

        Returns:
            Weights by name; a term whose weight is always 0 is left out.
        """
        first: dict[ScheduledTerm, float] = {
            "attribute": self.attribute, "cycle": self.cycle, "identity": self.identity
        }  # fmt: skip
        ends = {name: (start, self.final.get(name, start)) for name, start in first.items()}
        return {name: start + progress * (end - start) for name, (start, end) in ends.items() if max(start, end) > 0}


class EditingOptimizers(ConfigModel):
    """One optimizer a network.

    Attributes:
        generator: Optimizer of the generator.
        discriminator: Optimizer of the discriminator.
    """

    generator: OptimizerSlot
    discriminator: OptimizerSlot


class AttributeEditingConfig(AdversarialConfig):
    """Attribute editing (StarGAN, SaGAN): one generator edits, one discriminator judges and reads attributes.

    Attributes:
        generator: The network that edits.
        discriminator: The network that judges realism and reads attributes.
        classification: The loss of attribute logits.
        cadence: How often each side is updated.
        weights: Weights of the terms.
        optimizers: One optimizer a network.
    """

    generator: Annotated[ComponentConfig, Slot("image_editor")]
    discriminator: Annotated[ComponentConfig, Slot("attribute_discriminator")]
    classification: Annotated[ComponentConfig, Slot("classification")]
    cadence: Cadence = Cadence()
    weights: EditingWeights = EditingWeights()
    optimizers: EditingOptimizers


class StyleWeights(ConfigModel):
    """Weights of the style-translation terms; a term whose weight is 0 is not computed.

    Attributes:
        discriminator: Weight of the discriminator's real and fake terms.
        style: Weight of |E(translated) - style|.
        diversity: Weight of the distance between two styles of a face, which is maximised; falls linearly to 0.
        diversity_decay: Iterations until the weight of diversity is 0; null = the whole run.
        cycle: Weight of the distance between the source and its reconstruction in its own style.
    """

    discriminator: float = Field(1.0, gt=0)
    style: float = Field(1.0, ge=0)
    diversity: float = Field(1.0, ge=0)
    diversity_decay: int | None = Field(None, ge=1)
    cycle: float = Field(1.0, ge=0)


class StyleOptimizers(ConfigModel):
    """One optimizer a network.

    Attributes:
        generator: Optimizer of the generator.
        mapping: Optimizer of the mapping.
        style_encoder: Optimizer of the style encoder.
        discriminator: Optimizer of the discriminator.
    """

    generator: OptimizerSlot
    mapping: OptimizerSlot
    style_encoder: OptimizerSlot
    discriminator: OptimizerSlot


class StyleTranslationConfig(AdversarialConfig):
    """Style translation (StarGAN v2, SMILE's layout stage): pictures are redrawn in a domain and a style.

    Attributes:
        generator: The network that translates.
        mapping: The network that makes styles from noise.
        style_encoder: The network that reads styles off faces.
        discriminator: The network that judges realism in a domain.
        heat_maps: Where a face's own details are kept.
        picture: image = floats in [-1, 1], restored by L1; layout = one-hot classes, of which the generator gives
            logits, restored by cross entropy.
        passes: Where styles come from in training, latent or reference or both.
        reference_trains: The networks that learn from the pass with references.
        second_reference: The second style of the reference pass, for diversity. pair = that of another face of the
            same domain; permuted = that of the references in another order, in their own domains.
        cycle_masks: The heat maps with which a translation is restored. translated = those of the translation; source =
            those of the source, which are also used where heat maps are not read off the pictures themselves.
        restyle: What gets the requested style. all = every domain of a face, as published; changed = only the domains
            that change, and the others keep the style that the style encoder reads off the source, as in an edit.
        detach_cycle_style: Do not pass the gradient of the cycle to the style encoder.
        diversity_outside_masks: Measure diversity only outside the heat maps.
        weights: Weights of the terms.
        optimizers: One optimizer a network.
    """

    generator: Annotated[ComponentConfig, Slot("style_translator")]
    mapping: Annotated[ComponentConfig, Slot("style_mapping")]
    style_encoder: Annotated[ComponentConfig, Slot("style_encoder")]
    discriminator: Annotated[ComponentConfig, Slot("style_discriminator")]
    heat_maps: Annotated[ComponentConfig, Slot("heat_maps")]
    picture: Literal["image", "layout"] = "image"
    passes: Annotated[tuple[Pass, ...], BeforeValidator(as_list)] = Field(
        ("latent", "reference"), min_length=1, max_length=2
    )
    reference_trains: Annotated[tuple[Literal["generator", "style_encoder"], ...], BeforeValidator(as_list)] = Field(
        ("generator",), min_length=1, max_length=2
    )
    second_reference: Literal["pair", "permuted"] = "pair"
    cycle_masks: Literal["translated", "source"] = "translated"
    restyle: Literal["all", "changed"] = "all"
    detach_cycle_style: bool = False
    diversity_outside_masks: bool = False
    weights: StyleWeights = StyleWeights()
    optimizers: StyleOptimizers

    @property
    def layout_use(self) -> LayoutUse:
        """`needed` for a game on layouts."""
        return "needed" if self.picture == "layout" else "none"

    def adapt_facts(self, facts: Facts) -> Facts:
        """Return the facts as the networks see them: the channels of a layout are the parts.

        Raises:
            ConfigError: The game plays on layouts, and the data has no parts.
        """
        if self.picture == "image":
            return facts
        if not facts.parts:
            raise ConfigError(
                "picture=layout: this game trains on maps of the parts of faces, which the data does not have; choose "
                "a source with a segmentation (data.source=drawn, celebamask_hq, or folder with data.label_maps)"
            )
        return facts.model_copy(update={"channels": len(facts.parts)})


class SynthesisWeights(ConfigModel):
    """Weights of the synthesis terms; a term whose weight is 0 is not computed.

    Attributes:
        path_length: Weight of the path-length penalty.
        path_every: Compute it in every `path_every`-th iteration only, that many times as strong.
        path_decay: Share by which the running mean of path lengths moves each time, in (0, 1].
        mask: Weight of the difference between the coarse masks of parts and their refined segmentation.
        segmentation_penalty: Factor of the discriminator's squared gradient with respect to the segmentation in its
            penalty; that with respect to the image counts 1. 0 = only images are differentiated.
    """

    path_length: float = Field(2.0, ge=0)
    path_every: int = Field(4, ge=1)
    path_decay: float = Field(0.01, gt=0, le=1)
    mask: float = Field(0.0, ge=0)
    segmentation_penalty: float = Field(1.0, ge=0)


class SynthesisOptimizers(ConfigModel):
    """One optimizer a network.

    Attributes:
        generator: Optimizer of the generator.
        mapping: Optimizer of the mapping.
        discriminator: Optimizer of the discriminator.
    """

    generator: OptimizerSlot
    mapping: OptimizerSlot
    discriminator: OptimizerSlot


class SynthesisConfig(AdversarialConfig):
    """Synthesis (StyleGAN2, SemanticStyleGAN): faces from noise.

    Attributes:
        condition: What the output should show.
        generator: The network that makes faces from latents.
        mapping: The network that makes latents from noise.
        discriminator: The network that judges realism.
        mixing: Share of the faces that are made of two latents, in [0, 1].
        path_trains_mapping: Let the path-length penalty train the mapping too, not only the generator.
        judge_segmentation: Pass segmentations to a discriminator that can score them; the source must have them.
            false = only images are scored.
        inversion: How a trained run finds the latents of photos.
        weights: Weights of the terms.
        optimizers: One optimizer a network.
    """

    condition: Annotated[ComponentConfig, Slot("condition")] = use_component("condition", "latent")
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component(
        "adversarial_loss", "non_saturating"
    )
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = R1Config(weight=10.0, every=16)
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    generator: Annotated[ComponentConfig, Slot("latent_generator")]
    mapping: Annotated[ComponentConfig, Slot("latent_mapping")]
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")]
    mixing: float = Field(0.9, ge=0, le=1)
    path_trains_mapping: bool = True
    judge_segmentation: bool = True
    inversion: InversionConfig = InversionConfig()
    weights: SynthesisWeights = SynthesisWeights()
    optimizers: SynthesisOptimizers

    @property
    def layout_use(self) -> LayoutUse:
        """`needed` if the config class of the generator says that it `takes_layout`, else `none`."""
        return "needed" if getattr(self.generator, "takes_layout", False) else "none"


class RegionWeights(SynthesisWeights):
    """Weights of region synthesis.

    Attributes:
        reconstruction: Weight of |painted - photo|, where a photo is painted again with its own codes.
    """

    reconstruction: float = Field(10.0, ge=0)


class RegionOptimizers(SynthesisOptimizers):
    """One optimizer a network.

    Attributes:
        region_encoder: Optimizer of the region encoder, if there is one.
    """

    region_encoder: OptimizerSlot


class RegionSynthesisConfig(SynthesisConfig):
    """Region synthesis (SMILE's image stage, SEAN, SPADE): layouts are painted with codes of their parts.

    Attributes:
        region_encoder: The network that reads codes off photos; none = all codes come from noise.
        weights: Weights of the terms.
        optimizers: One optimizer a network.
    """

    region_encoder: Annotated[ComponentConfig, Slot("region_encoder")] = use_component("region_encoder", "none")
    weights: RegionWeights = RegionWeights()
    optimizers: RegionOptimizers
