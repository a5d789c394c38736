"""Configs of optimizers and learning-rate schedules. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, Slot
from zoogan.config.registry import Registry


class ConstantConfig(ComponentConfig):
    """The learning rate as it is."""

    use: Literal["constant"] = "constant"


class LinearConfig(ComponentConfig):
    """Constant for a share `start` of the run, then linear down to `final` times the learning rate."""

    use: Literal["linear"] = "linear"
    start: float = Field(0.5, ge=0, lt=1)
    final: float = Field(0.0, ge=0, le=1)


class CosineConfig(ComponentConfig):
    """Constant for a share `start` of the run, then half a cosine down to `final` times the learning rate."""

    use: Literal["cosine"] = "cosine"
    start: float = Field(0.5, ge=0, lt=1)
    final: float = Field(0.05, ge=0, le=1)


class AdamConfig(ComponentConfig):
    """Adam (Kingma and Ba 2015), in torch's fused form where the device has one."""

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
    registry.component("schedule", "constant", config=ConstantConfig, build=build + "constant")
    registry.component("schedule", "linear", config=LinearConfig, build=build + "linear")
    registry.component("schedule", "cosine", config=CosineConfig, build=build + "cosine")
