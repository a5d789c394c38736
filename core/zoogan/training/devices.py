"""The device that a person names, and the processes that share the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zoogan.config import ConfigError, GameConfig
from zoogan.interfaces import Game


@contextmanager
def training_on(device: torch.device, tf32: bool) -> Iterator[None]:
    """Inside, CUDA rounds fp32 products to TF32 if `tf32`, and takes the fastest convolution for each shape, for the
    shapes of training are fixed. Before and after, and on other devices, all is as torch has it."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    wanted = [(matmul, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32), (cudnn, "benchmark", True)]
    flags = wanted if device.type == "cuda" else []
    before = [getattr(owner, flag) for owner, flag, _ in flags]
    try:
        for owner, flag, value in flags:
            setattr(owner, flag, value)
        yield
    finally:
        for (owner, flag, _), value in zip(flags, before):
            setattr(owner, flag, value)


def check_augment(config: GameConfig, game: Game, device: torch.device) -> None:
    """Refuse an augmentation that the device may be unable to compute.

    Raises:
        ConfigError: says which, and what to do.
    """
    augment = getattr(game, "augment", None)  # not every game has a discriminator
    if device.type in getattr(augment, "not_on", ()):
        chosen: Any = dict(config)["augment"]  # a slot of the game's config
        raise ConfigError(
            f"augment.use: {chosen.use} needs operators that torch may lack on {device.type}; take "
            "augment.use=diffaugment, or --device cpu"
        )
