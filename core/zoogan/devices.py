"""To be written."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from zoogan.errors import ConfigError


def choose_device(name: str) -> torch.device:
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
    device = choose_device(name)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    from accelerate import PartialState

    return torch.device(PartialState(cpu=device.type == "cpu").device)


def shutdown_distributed() -> None:
    """Wait for the other processes, then end the group: one that merely exits can abort while another still talks."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
