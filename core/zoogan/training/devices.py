"""The device that a person names, and the processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from zoogan.config import ConfigError, GameConfig
from zoogan.interfaces import Game


def choose(name: str) -> torch.device:
    """`auto` is the best there is.

    Raises:
        ConfigError: an unknown device, or one that torch does not see.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in present.items() if there))
    if name not in present:
        raise ConfigError(f"--device {name}: expected auto, {', '.join(present)}")
    if not present[name]:
        raise ConfigError(
            f"--device {name}: torch sees no such device; --device auto takes the best there is (see zoo doctor)"
        )
    return torch.device(name)


def join_processes(name: str) -> torch.device:
    """The device of this process, after it has met the others that `accelerate launch` started; `choose` if alone.

    Raises:
        ConfigError: as `choose`.
    """
    device = choose(name)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    from accelerate import PartialState

    return torch.device(PartialState(cpu=device.type == "cpu").device)


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
    augment = getattr(game, "augment", None)  # not every game has a critic
    if device.type in getattr(augment, "not_on", ()):
        chosen: Any = dict(config)["augment"]  # a slot of the game's config
        raise ConfigError(
            f"augment.use: {chosen.use} needs operators that torch may lack on {device.type}; take "
            "augment.use=diffaugment, or --device cpu"
        )


def part_processes() -> None:
    """Wait for the other processes, then end the group: one that merely exits can abort while another still talks."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
