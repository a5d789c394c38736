"""Configs of StarGAN v2; defaults are the paper's. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig, use_component
from zoogan.data import DrawnData
from zoogan.games import StyleOptimizers, StyleTranslationConfig, StyleWeights
from zoogan.losses import R1Config
from zoogan.training import AdamConfig


class StarganV2GeneratorConfig(ComponentConfig):
    """Encoder, and a decoder that takes the style by AdaIN (StarGAN v2, table 5).

    Attributes:
        width: Channels at full size; null = 2^14 / image_size.
        max_width: Most channels at smaller sizes (official name: max_conv_dim).
        style_dim: Length of a style.
        high_pass: Divisor of the image's high-pass details that masks add while decoding; a larger one keeps less; 0
            keeps none, and the decoder has shortcuts instead (w_hpf; the official code has 1 for faces, 0 for animals).
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
    style_dim: int = Field(64, ge=1)
    high_pass: float = Field(0.0, ge=0)


class StarganV2MappingConfig(ComponentConfig):
    """From noise to a style: an MLP with a head for each domain (StarGAN v2, table 6).

    Attributes:
        latent_dim: Length of a noise vector.
        style_dim: Length of a style.
        width: Width of the hidden layers.
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    latent_dim: int = Field(16, ge=1)
    style_dim: int = Field(64, ge=1)
    width: int = Field(512, ge=1)


class StarganV2StyleEncoderConfig(ComponentConfig):
    """From an image to its style, with a head for each domain (StarGAN v2, table 7).

    Attributes:
        width: Channels at full size; null = 2^14 / image_size.
        max_width: Most channels at smaller sizes.
        style_dim: Length of a style.
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
    style_dim: int = Field(64, ge=1)


class StarganV2DiscriminatorConfig(ComponentConfig):
    """The style encoder's body with one realism score for each domain (StarGAN v2, table 7).

    Attributes:
        width: Channels at full size; null = 2^14 / image_size.
        max_width: Most channels at smaller sizes.
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)


ADAM = AdamConfig(lr=1e-4, betas=(0.0, 0.99), weight_decay=1e-4)


class StarganV2Config(StyleTranslationConfig):
    """StarGAN v2 as published for animal faces: no heat maps. The recipe `celeba-hq-256` has the settings for faces."""

    method: Literal["stargan-v2"] = "stargan-v2"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    condition: Annotated[ComponentConfig, Slot("condition")] = use_component("condition", "domain")
    generator: Annotated[ComponentConfig, Slot("style_translator")] = StarganV2GeneratorConfig()
    mapping: Annotated[ComponentConfig, Slot("style_mapping")] = StarganV2MappingConfig()
    style_encoder: Annotated[ComponentConfig, Slot("style_encoder")] = StarganV2StyleEncoderConfig()
    discriminator: Annotated[ComponentConfig, Slot("style_discriminator")] = StarganV2DiscriminatorConfig()
    heat_maps: Annotated[ComponentConfig, Slot("heat_maps")] = use_component("heat_maps", "none")
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component(
        "adversarial_loss", "non_saturating"
    )
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = R1Config(weight=1.0, every=1)
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    weights: StyleWeights = StyleWeights(style=1.0, diversity=2.0, diversity_decay=100_000, cycle=1.0)
    optimizers: StyleOptimizers = StyleOptimizers(
        generator=ADAM, mapping=ADAM.model_copy(update={"lr": 1e-6}), style_encoder=ADAM, discriminator=ADAM
    )
    training: TrainingConfig = TrainingConfig(
        iterations=100_000, average=0.999, sample_every=5000, checkpoint_every=10_000
    )
