"""Configs of SemanticStyleGAN; defaults are the paper's for 256 px. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig
from zoogan.data import DrawnData
from zoogan.editors import InversionConfig
from zoogan.games import SynthesisConfig, SynthesisOptimizers, SynthesisWeights
from zoogan.layers import PixelNormMappingConfig
from zoogan.losses import TermConfig
from zoogan.training import AdamConfig

NAME = "semantic-stylegan"


class SemanticStyleGANMappingConfig(PixelNormMappingConfig):
    """From noise to a latent, as in StyleGAN2 (StyleGAN, figure 1)."""

    use: Literal["semantic-stylegan"] = "semantic-stylegan"


class SemanticStyleGANGeneratorConfig(ComponentConfig):
    """An MLP for each part makes features and a depth; a network renders the nearest parts (section 3).

    Attributes:
        style_dim: Length of a latent.
        part_layers: Layers of each part's MLP.
        part_width: Width of these layers.
        shared_layers: The first layers, whose latents all parts but the background share.
        shape_layers: The layers from whose features the depth is computed; the rest are texture.
        coarse_size: Side of the parts' features in pixels; null = half the image's, at most 64.
        feature_width: Channels of the composed features.
        render_from: Side in pixels at which rendering begins; null = a quarter of coarse_size, at least 4.
        frequencies: Number of frequencies of the positions' sines; null = log2 of the image's side.
        refine: The segmentation is the coarse masks plus a rendered residual; false = the rendered output alone.
        detach_texture: Stop the gradient from textures to shapes.
        channel_multiplier: A layer of the renderer at side s has this times 2^14 / s channels.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        noise: Add noise after each convolution of the renderer.
    """

    use: Literal["semantic-stylegan"] = "semantic-stylegan"
    style_dim: int = Field(512, ge=1)
    part_layers: int = Field(10, ge=1, le=100)
    part_width: int = Field(64, ge=1)
    shared_layers: int = Field(2, ge=0, le=100)
    shape_layers: int = Field(6, ge=1, le=100)
    coarse_size: int | None = Field(None, ge=2)
    feature_width: int = Field(512, ge=1)
    render_from: int | None = Field(None, ge=1)
    frequencies: int | None = Field(None, ge=0, le=100)
    refine: bool = True
    detach_texture: bool = False
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    noise: bool = True

    @model_validator(mode="after")
    def _check_layers(self) -> SemanticStyleGANGeneratorConfig:
        if not self.shared_layers <= self.shape_layers <= self.part_layers:
            raise ValueError(
                f"shared_layers {self.shared_layers}, shape_layers {self.shape_layers} and part_layers "
                f"{self.part_layers} must not decrease, since shared layers are shape layers"
            )
        return self


class SemanticStyleGANDiscriminatorConfig(ComponentConfig):
    """StyleGAN2's discriminator with a branch for images and one for segmentations, which add up (section 3.4).

    Attributes:
        channel_multiplier: A layer at side s has this times 2^14 / s channels; 2 = configuration F of StyleGAN2.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        group: Most images whose deviation is computed together; the largest number up to this that divides the batch.
    """

    use: Literal["semantic-stylegan"] = "semantic-stylegan"
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    group: int = Field(4, ge=1)


class SemanticConsistencyConfig(TermConfig):
    """Two faces that share a part's latents should share its features (no part of the published method)."""

    use: Literal["semantic_consistency"] = "semantic_consistency"


class SemanticDiversityConfig(TermConfig):
    """The textures of a face's parts should differ (no part of the published method).

    Attributes:
        target: Cosine of two textures at which the loss is 0; with 0 also below it.
    """

    use: Literal["semantic_diversity"] = "semantic_diversity"
    target: Literal[-1, 0] = 0


ADAM = AdamConfig(lr=0.002, betas=(0.0, 0.99))


class SemanticStyleGANConfig(SynthesisConfig):
    """SemanticStyleGAN as published; the learning rates are corrected for the lazy steps by the trainer."""

    method: Literal["semantic-stylegan"] = "semantic-stylegan"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    generator: Annotated[ComponentConfig, Slot("latent_generator")] = SemanticStyleGANGeneratorConfig()
    mapping: Annotated[ComponentConfig, Slot("latent_mapping")] = SemanticStyleGANMappingConfig()
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")] = SemanticStyleGANDiscriminatorConfig()
    mixing: float = Field(0.3, ge=0, le=1)
    path_trains_mapping: bool = False
    inversion: InversionConfig = InversionConfig(
        iterations=400, noise="fixed", jitter=0.0, pixel_weight=0.1, mean_weight=1.0
    )
    weights: SynthesisWeights = SynthesisWeights(path_length=0.5, mask=100.0, segmentation_penalty=100.0)
    optimizers: SynthesisOptimizers = SynthesisOptimizers(generator=ADAM, mapping=ADAM, discriminator=ADAM)
    training: TrainingConfig = TrainingConfig(
        iterations=200_000, average_images=10_000, sample_every=2000, checkpoint_every=10_000
    )
