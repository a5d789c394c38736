"""Configs of augmentations of what the critic sees. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.registry import Registry


class NoAugmentConfig(ComponentConfig):
    """The critic sees images as they are."""

    use: Literal["none"] = "none"


class DiffAugmentConfig(ComponentConfig):
    """DiffAugment (Zhao et al. 2020).

    color: random brightness, saturation and contrast.
    translation: largest shift as a share of the side; 0 is off.
    cutout: side of the square that is blanked as a share of the side; 0 is off.
    """

    use: Literal["diffaugment"] = "diffaugment"
    color: bool = True
    translation: float = Field(0.125, ge=0, lt=1)
    cutout: float = Field(0.5, ge=0, lt=1)


def register(registry: Registry) -> None:
    """Register the augmentations."""
    registry.component("augment", "none", config=NoAugmentConfig, build="zoogan.layers.augment:NoAugment")
    registry.component("augment", "diffaugment", config=DiffAugmentConfig, build="zoogan.layers.augment:DiffAugment")
