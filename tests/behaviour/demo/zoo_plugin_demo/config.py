"""Configs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.games import AttributeEditingConfig


class DemoGenerator(ComponentConfig):
    """Two convolutions.

    width: channels between them.
    """

    use: Literal["demo"] = "demo"
    width: int = Field(8, ge=1)


class DemoDiscriminator(ComponentConfig):
    """One convolution with stride, and a linear head."""

    use: Literal["demo"] = "demo"
    width: int = Field(8, ge=1, description="channels of its features")


class DemoClassification(ComponentConfig):
    """Squared error of the probabilities."""

    use: Literal["demo"] = "demo"


class DemoConfig(AttributeEditingConfig):
    """The demo method; the recipe fills the slots."""

    method: Literal["demo-gan"] = "demo-gan"
