"""Configs of SMILE's image stage; defaults are those of the official code at 256 px. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig
from zoogan.data import DrawnData
from zoogan.games import RegionOptimizers, RegionSynthesisConfig, RegionWeights
from zoogan.training import AdamConfig


class CodeSize(ComponentConfig):
    """Size of the codes, on which generator, mapping and region encoder must agree.

    Attributes:
        code_dim: Numbers in the code of a part.
    """

    code_dim: int = Field(64, ge=1)


class SmileImageGeneratorConfig(CodeSize):
    """Paints a layout with spatially adaptive convolutions (SMILE, section 3.2).

    Attributes:
        widths: Channels from the smallest size to the full one, with a doubling between two.
        stem_width: Channels of the stem, which leads from a shrunk layout to the smallest size.
        stem_halvings: How often the stem halves; its last layer has the first of `widths`.
        hidden: Channels of the small network on the layout in each layer.
        codes: The layers that read codes. below_full_size = all but those at full size, as published; all; none = the
            layout alone (the paper's ablation A).
        noise: Add noise of a learned strength after each convolution.
    """

    takes_layout: ClassVar[bool] = True

    use: Literal["smile-image"] = "smile-image"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field((512, 512, 512, 256, 256, 128), min_length=2)
    stem_width: int = Field(256, ge=1)
    stem_halvings: int = Field(3, ge=1, le=100)
    hidden: int = Field(128, ge=1)
    codes: Literal["below_full_size", "all", "none"] = "below_full_size"
    noise: bool = True

    @property
    def reads_latents(self) -> bool:
        """Whether a layer reads codes."""
        return self.codes != "none"


class SpadeGeneratorConfig(CodeSize):
    """Paints a layout with spatially adaptive norms (SPADE, Park et al. 2019); with codes as SEAN (Zhu et al. 2020).

    Attributes:
        widths: Channels from the smallest size to the full one, with a doubling between two. Each size has a block.
        middle_blocks: Blocks at the second size.
        hidden: Channels of the small network on the layout in each norm.
        codes: The blocks that read codes. none = the layout alone, as SPADE; below_full_size = all but the one at full
            size, as SEAN; all.
        start: What the features of the smallest size are made of. layout = the shrunk layout, as published; latent =
            the latent, as SPADE with an encoder.
        norm: The norm before the maps: batch = over the joint batch, as published; instance = of each image.
        spectral: Divide the weights of the blocks' convolutions by their spectral norm.
    """

    takes_layout: ClassVar[bool] = True

    use: Literal["spade"] = "spade"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field((1024, 1024, 512, 256, 128, 64), min_length=2)
    middle_blocks: int = Field(2, ge=1, le=100)
    hidden: int = Field(128, ge=1)
    codes: Literal["none", "below_full_size", "all"] = "none"
    start: Literal["layout", "latent"] = "layout"
    norm: Literal["batch", "instance"] = "batch"
    spectral: bool = True


class SmileImageMappingConfig(CodeSize):
    """From noise to the codes of all parts: pixel norm and an MLP of one width.

    Attributes:
        layers: Linear layers.
        lr_multiplier: Factor of the learning rate of these layers.
    """

    use: Literal["smile-image"] = "smile-image"
    layers: int = Field(8, ge=1, le=100)
    lr_multiplier: float = Field(0.01, gt=0)


class SmileRegionEncoderConfig(CodeSize):
    """Reads the codes of the parts of a face: convolutions, then the mean over each part (SEAN, section 3.1).

    Attributes:
        width: Channels at full size; each halving doubles them.
        halvings: How often it halves before it doubles once and halves again; null = 2, at 512 px and above 3.
        pooling: How the layout is shrunk to the features. nearest = as published, where small parts vanish; soft = to
            the share of each part in each pixel.
    """

    use: Literal["smile-image"] = "smile-image"
    width: int = Field(32, ge=1)
    halvings: int | None = Field(None, ge=1, le=100)
    pooling: Literal["nearest", "soft"] = "nearest"


class SmileImageDiscriminatorConfig(ComponentConfig):
    """StyleGAN2's residual discriminator of images, with or without their layouts; the paper's is not published.

    Attributes:
        channel_multiplier: A layer at side s has this times 2^14 / s channels; 2 = configuration F.
        max_width: Most channels of a layer; null = 512 up to 32 px, and above that no limit.
        group: Most images whose deviation is computed together; the largest number up to this that divides the batch.
        layout: Judge pairs of an image and its layout; false = images alone.
    """

    use: Literal["smile-image"] = "smile-image"
    channel_multiplier: float = Field(2.0, gt=0)
    max_width: int | None = Field(512, ge=1)
    group: int = Field(4, ge=1)
    layout: bool = True


ADAM = AdamConfig(lr=0.002, betas=(0.0, 0.99))


class SmileImageConfig(RegionSynthesisConfig):
    """The image stage of SMILE: networks as published; the training, which is not, as StyleGAN2's and SEAN's."""

    method: Literal["smile-image"] = "smile-image"
    data: Annotated[DataConfig, Slot("source")] = DrawnData()
    generator: Annotated[ComponentConfig, Slot("latent_generator")] = SmileImageGeneratorConfig()
    mapping: Annotated[ComponentConfig, Slot("latent_mapping")] = SmileImageMappingConfig()
    region_encoder: Annotated[ComponentConfig, Slot("region_encoder")] = SmileRegionEncoderConfig()
    discriminator: Annotated[ComponentConfig, Slot("image_discriminator")] = SmileImageDiscriminatorConfig()
    # Real and generated pairs share the layout, so the slope with respect to it means nothing.
    weights: RegionWeights = RegionWeights(segmentation_penalty=0.0)
    optimizers: RegionOptimizers = RegionOptimizers(
        generator=ADAM, mapping=ADAM, region_encoder=ADAM, discriminator=ADAM
    )
    training: TrainingConfig = TrainingConfig(
        iterations=800_000, average_images=10_000, sample_every=5000, checkpoint_every=10_000
    )
