"""Configs of the demo method. This module imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.games import AttributeEditingConfig


class DemoGenerator(ComponentConfig):
    """Settings of the generator, which is two convolutions.

    Attributes:
        width: Channels between the convolutions.
    """

    use: Literal["demo"] = "demo"
    width: int = Field(8, ge=1)


class DemoDiscriminator(ComponentConfig):
    """Settings of the discriminator, which is one strided convolution and two heads."""

    use: Literal["demo"] = "demo"
    width: int = Field(8, ge=1, description="Channels of the features.")


class DemoClassification(ComponentConfig):
    """Settings of the classification loss; there are none."""

    use: Literal["demo"] = "demo"


class DemoConfig(AttributeEditingConfig):
    """Settings of the demo method; its recipe fills the slots."""

    method: Literal["demo-gan"] = "demo-gan"
