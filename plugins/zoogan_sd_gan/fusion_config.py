"""Configs of the networks that compute offsets. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig


class SdGanOffsetConfig(ComponentConfig):
    """Reads the offset off a face and its composite: the network of SD-GAN with its faults repaired.

    Attributes:
        style_dim: Length of a latent, as the backbone has it.
        rows: Rows of w+, as the backbone has them; null = 2 log2(image size) - 2, which is StyleGAN2's number.
        width: Channels of the encoders at full size; they grow to `channels`.
        channels: Channels of the features of 4 x 4 pixels.
        squeezed: Channels of the grid that the last layer reads.
        geometry: Read the shape of the face too, nine channels.
    """

    use: Literal["sd-gan"] = "sd-gan"
    style_dim: int = Field(512, ge=1)
    rows: int | None = Field(None, ge=1)
    width: int = Field(24, ge=1)
    channels: int = Field(96, ge=1)
    squeezed: int = Field(64, ge=1)
    geometry: bool = False


class SdGanOfficialOffsetConfig(ComponentConfig):
    """The official network, whose faults are kept so that it reads official weights; all widths follow `style_dim`.

    Attributes:
        style_dim: Length of a latent, a multiple of 16; official: 512.
        rows: Rows of w+; null = 2 log2(image size) - 2, which is StyleGAN2's number; official: 14 at 256 px.
    """

    use: Literal["sd-gan-official"] = "sd-gan-official"
    style_dim: int = Field(512, ge=16, multiple_of=16)
    rows: int | None = Field(None, ge=1)
