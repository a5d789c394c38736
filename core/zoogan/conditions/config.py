"""Configs of the conditions. Imports no torch."""

from __future__ import annotations

from typing import Literal

from zoogan.config import ComponentConfig
from zoogan.registry import Registry


class AttributesConfig(ComponentConfig):
    """Attributes by name.

    draw: how training targets are drawn. flip: the opposite of the face's own attribute (of several, one at random).
    permute: the labels of another face of the joint batch. uniform: each on or off by a fair coin.
    """

    use: Literal["attributes"] = "attributes"
    draw: Literal["flip", "permute", "uniform"] = "flip"


def register(registry: Registry) -> None:
    """Register the conditions."""
    registry.component(
        "condition", "attributes", config=AttributesConfig, build="zoogan.conditions.attributes:AttributeCondition"
    )
