"""Configs of optimizers and learning-rate schedules. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, Slot
from zoogan.config.registry import Registry


class ConstantConfig(ComponentConfig):
    """A constant learning rate."""

    use: Literal["constant"] = "constant"


class LinearConfig(ComponentConfig):
    """A constant learning rate, then a linear decay.

    Attributes:
        start: share of the iterations after which the decay begins.
        final: the last learning rate as a share of the first.
    """

    use: Literal["linear"] = "linear"
    start: float = Field(0.5, ge=0, lt=1)
    final: float = Field(0.0, ge=0, le=1)


class CosineConfig(ComponentConfig):
    """A constant learning rate, then a decay along half a cosine.

    Attributes:
        start: share of the iterations after which the decay begins.
        final: the last learning rate as a share of the first.
    """

    use: Literal["cosine"] = "cosine"
    start: float = Field(0.5, ge=0, lt=1)
    final: float = Field(0.05, ge=0, le=1)


class AdamConfig(ComponentConfig):
    """Adam, in torch's fused form where the device has one.

    Attributes:
        lr: learning rate.
        betas: decay of the first and the second moment.
        eps: added to the square root of the second moment.
        weight_decay: L2 penalty on the weights.
        schedule: how the learning rate changes.

    Source:
        Kingma and Ba 2015.
    """

    use: Literal["adam"] = "adam"
    lr: float = Field(2e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Annotated[ComponentConfig, Slot("schedule")] = ConstantConfig()


def register(registry: Registry) -> None:
    """Register the optimizers and schedules."""
    build = "zoogan.training.optimizers:"
    registry.component("optimizer", "adam", config=AdamConfig, build=build + "Adam")
    registry.component("schedule", "constant", config=ConstantConfig, build=build + "make_constant_schedule")
    registry.component("schedule", "linear", config=LinearConfig, build=build + "make_linear_schedule")
    registry.component("schedule", "cosine", config=CosineConfig, build=build + "make_cosine_schedule")
