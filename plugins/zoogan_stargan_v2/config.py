"""Configs of StarGAN v2; defaults are the paper's. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig


class TranslatorConfig(ComponentConfig):
    """Encoder, and a decoder that takes the style by AdaIN (StarGAN v2, table 5).

    width: channels at full size; null = 2^14 / image_size. max_width: at most so many further down (max_conv_dim).
    high_pass: divisor of the image's high-pass details that masks add while decoding; a larger one keeps less, and 0
    keeps none and lets the decoder have shortcuts instead (w_hpf; the official code has 1 for faces, 0 for animals).
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
    style_dim: int = Field(64, ge=1)
    high_pass: float = Field(0.0, ge=0)


class MappingConfig(ComponentConfig):
    """From noise to a style: an MLP with a head for each domain (table 6). width: of its layers."""

    use: Literal["stargan-v2"] = "stargan-v2"
    latent_dim: int = Field(16, ge=1)
    style_dim: int = Field(64, ge=1)
    width: int = Field(512, ge=1)


class StyleEncoderConfig(ComponentConfig):
    """From an image to its style, with a head for each domain (table 7).

    width: channels at full size; null = 2^14 / image_size. max_width: at most so many further down.
    """

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
    style_dim: int = Field(64, ge=1)


class CriticConfig(ComponentConfig):
    """The style encoder's body with one realism score for each domain (table 7). width, max_width: as there."""

    use: Literal["stargan-v2"] = "stargan-v2"
    width: int | None = Field(None, ge=1)
    max_width: int = Field(512, ge=1)
