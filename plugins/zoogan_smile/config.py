"""Configs of SMILE; defaults are those of the official code. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from zoogan.conditions import PairsConfig
from zoogan.config import ComponentConfig, DataConfig, Names, Slot, TrainingConfig, use_component
from zoogan.data import DrawnData
from zoogan.games import Pass, StyleOptimizers, StyleTranslationConfig, StyleWeights
from zoogan.losses import R1Config, TermConfig
from zoogan.training import AdamConfig


class StyleSizes(ComponentConfig):
    """Sizes of the styles, which generator, mapping and style encoder must agree on.

    Attributes:
        style_dim: Length of a style.
        narrow_dim: Numbers of its style that an attribute uses which is not `wide`; the network repeats them up to
            style_dim. null = every attribute uses the whole style (the paper's ablation C).
        wide: Attributes that use the whole style; names that the data does not have are ignored.
    """

    style_dim: int = Field(64, ge=1)
    narrow_dim: int | None = Field(16, ge=1)
    wide: Names = ("Male",)


class SmileGeneratorConfig(StyleSizes):
    """Redraws a layout in the styles of its attributes (SMILE, section 3.1).

    Attributes:
        width: Channels at full size; null = 2^13 / image_size.
        max_width: Most channels at smaller sizes.
        modulation: How the decoder takes styles. delta = modulated convolutions with scales 1 + A s; adain = adaptive
            instance norms (the paper's ablation B).
        high_pass: Divisor of the layout's high-pass details that heat maps add while decoding; 0 keeps none, and the
            decoder has shortcuts instead.
        halvings: How often height and width are halved; null = down to 16 x 16, with high_pass down to 8 x 8.
        noise: Add noise of a learned strength while training (modulation=delta only).
    """

    use: Literal["smile"] = "smile"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
    modulation: Literal["delta", "adain"] = "delta"
    high_pass: float = Field(0.0, ge=0)
    halvings: int | None = Field(None, ge=1, le=100)
    noise: bool = True


class SmileMappingConfig(StyleSizes):
    """From noise to the styles of all attributes: an MLP with a head for each domain.

    Attributes:
        latent_dim: Length of a noise vector.
        width: Width of the hidden layers.
    """

    use: Literal["smile"] = "smile"
    latent_dim: int = Field(16, ge=1)
    width: int = Field(512, ge=1)


class SmileStyleEncoderConfig(StyleSizes):
    """From a layout to the styles of its attributes, with a head for each domain.

    Attributes:
        width: Channels at full size; null = 2^14 / image_size.
        max_width: Most channels at smaller sizes.
    """

    use: Literal["smile"] = "smile"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)


class SmileDiscriminatorConfig(ComponentConfig):
    """The style encoder's body with one realism score for each domain.

    Attributes:
        width: Channels at full size; null = 2^14 / image_size.
        max_width: Most channels at smaller sizes.
    """

    use: Literal["smile"] = "smile"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)


REGIONS: dict[str, tuple[str, ...]] = {
    "Eyeglasses": ("eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "nose", "skin", "hair"),
    "Wearing_Hat": ("hat", "hair", "background", "skin", "l_brow", "r_brow", "l_ear", "r_ear"),
    "Bangs": ("hair", "skin", "l_brow", "r_brow"),
    "Bald": ("hair", "background", "skin", "l_ear", "r_ear", "neck", "cloth"),
    "Wearing_Earrings": ("ear_r", "l_ear", "r_ear", "hair", "neck", "background", "cloth"),
}
"""The parts that each attribute may repaint; Male may repaint all."""


class SemanticTermConfig(TermConfig):
    """Semantic consistency and diversity, which are not part of the published method.

    `consistency` times mean |translated - layout| over the pixels that should not change, plus `diversity` times the
    divergence of the moments of the styles from N(0, 1).

    Attributes:
        consistency: Factor of the distance of the pixels that should not change.
        diversity: Factor of KL(N(mean, variance) || N(0, 1)) of the styles of the batch.
        regions: The parts of the given layout that an attribute may repaint, by its name; an attribute without an entry
            may repaint all. Parts that the data does not have are ignored.
    """

    use: Literal["semantic"] = "semantic"
    consistency: float = Field(10.0, ge=0)
    diversity: float = Field(0.01, ge=0)
    regions: dict[str, Names] = Field(default_factory=partial(dict, REGIONS))


ADAM = AdamConfig(lr=1e-4, betas=(0.0, 0.99), weight_decay=1e-4)


class SmileLayoutConfig(StyleTranslationConfig):
    """The layout stage of SMILE as published, but without landmark heat maps, which need the weights of a network."""

    method: Literal["smile-layout"] = "smile-layout"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    condition: Annotated[ComponentConfig, Slot("condition")] = PairsConfig()
    generator: Annotated[ComponentConfig, Slot("style_translator")] = SmileGeneratorConfig()
    mapping: Annotated[ComponentConfig, Slot("style_mapping")] = SmileMappingConfig()
    style_encoder: Annotated[ComponentConfig, Slot("style_encoder")] = SmileStyleEncoderConfig()
    discriminator: Annotated[ComponentConfig, Slot("style_discriminator")] = SmileDiscriminatorConfig()
    heat_maps: Annotated[ComponentConfig, Slot("heat_maps")] = use_component("heat_maps", "none")
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component(
        "adversarial_loss", "non_saturating"
    )
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = R1Config(weight=1.0, every=1)
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    picture: Literal["image", "layout"] = "layout"
    passes: tuple[Pass, ...] = ("latent",)
    second_reference: Literal["pair", "permuted"] = "permuted"
    cycle_masks: Literal["translated", "source"] = "source"
    detach_cycle_style: bool = True
    diversity_outside_masks: bool = True
    # Narrow styles are repeated up to style_dim, so 6, the number of attributes, times the mean is the official sum.
    weights: StyleWeights = StyleWeights(
        discriminator=0.5, style=6.0, diversity=20.0, diversity_decay=200_000, cycle=1.0
    )
    optimizers: StyleOptimizers = StyleOptimizers(
        generator=ADAM, mapping=ADAM.model_copy(update={"lr": 1e-6}), style_encoder=ADAM, discriminator=ADAM
    )
    training: TrainingConfig = TrainingConfig(
        iterations=420_000, average=0.999, sample_every=5000, checkpoint_every=10_000
    )
