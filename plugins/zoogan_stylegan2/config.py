"""Configs of StyleGAN2; defaults are the paper's configuration F. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig
from zoogan.data import DrawnData
from zoogan.games import SynthesisConfig, SynthesisOptimizers, SynthesisWeights
from zoogan.layers import PixelNormMappingConfig
from zoogan.training import AdamConfig


class StyleGAN2MappingConfig(PixelNormMappingConfig):
    """From noise to a latent: pixel norm and an MLP of one width (StyleGAN, figure 1)."""

    use: Literal["stylegan2"] = "stylegan2"


class StyleGAN2GeneratorConfig(ComponentConfig):
    """From latents to a face: a learned constant, modulated convolutions, a sum of RGB skips (StyleGAN2, figure 7b).

    Attributes:
        style_dim: Length of a latent.
        channel_multiplier: A layer at side s has this times 2^14 / s channels; 2 = configuration F.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        noise: Add noise after each convolution; not useful for images without grain.
    """

    use: Literal["stylegan2"] = "stylegan2"
    style_dim: int = Field(512, ge=1)
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    noise: bool = True


class StyleGAN2DiscriminatorConfig(ComponentConfig):
    """Residual discriminator with batch deviation (StyleGAN2, figure 7c).

    Attributes:
        channel_multiplier: A layer at side s has this times 2^14 / s channels; 2 = configuration F.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        group: Most images whose deviation is computed together; the largest number up to this that divides the batch.
    """

    use: Literal["stylegan2"] = "stylegan2"
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    group: int = Field(4, ge=1)


ADAM = AdamConfig(lr=0.002, betas=(0.0, 0.99))


class StyleGAN2Config(SynthesisConfig):
    """StyleGAN2 as published, for 256 px; the learning rates are corrected for the lazy steps by the trainer."""

    method: Literal["stylegan2"] = "stylegan2"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    generator: Annotated[ComponentConfig, Slot("latent_generator")] = StyleGAN2GeneratorConfig()
    mapping: Annotated[ComponentConfig, Slot("latent_mapping")] = StyleGAN2MappingConfig()
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")] = StyleGAN2DiscriminatorConfig()
    weights: SynthesisWeights = SynthesisWeights()
    optimizers: SynthesisOptimizers = SynthesisOptimizers(generator=ADAM, mapping=ADAM, discriminator=ADAM)
    training: TrainingConfig = TrainingConfig(
        iterations=800_000, average_images=10_000, sample_every=5000, checkpoint_every=10_000
    )
