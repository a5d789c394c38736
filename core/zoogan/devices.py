"""Devices, processes and threads of the machine. Imports torch only where a device is looked up."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from zoogan.errors import ConfigError

if TYPE_CHECKING:
    import torch

DEVICES = ("cuda", "mps", "cpu")  # in the order in which `auto` prefers them
SPIN_COUNT = "1000"


def limit_openmp_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let idle OpenMP threads sleep after a short wait. Must run before torch is imported.

    By default waiting threads of torch's libgomp spin almost forever. If another program uses the same cores, the
    spinning threads take CPU time from the working threads. Iterations a second of the default command of SaGAN, with 2
    threads on 2 cores:

    | GOMP_SPINCOUNT | quiet machine | beside one busy process |
    |---|---|---|
    | not set | 5.6 | below 0.2 |
    | 10000 | 5.6 | 1.1 |
    | 1000 | 5.2 | 1.7 |

    Args:
        environment: the variables to change. A `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` of the user is not changed.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def check_device_name(name: str) -> None:
    """Check that a device has a known name, without torch.

    Args:
        name: the value of `--device`.

    Raises:
        ConfigError: The name is unknown.
    """
    if name != "auto" and name not in DEVICES:
        raise ConfigError(f"--device {name}: expected auto, {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")


def choose_device(name: str) -> torch.device:
    """Choose the device that a name means on this machine.

    Args:
        name: auto (the best device present), cuda, mps or cpu; perhaps with a number, as in cuda:1.

    Raises:
        ConfigError: The name is unknown, or torch does not see such a device.
    """
    import torch

    name, _, number = name.partition(":")
    check_device_name(name)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device in DEVICES if present[device]))
    if not present[name]:
        raise ConfigError(
            f"--device {name}: torch finds no such device; --device auto takes the best one (see zoo doctor)"
        )
    if not number:
        return torch.device(name)
    count = torch.cuda.device_count() if name == "cuda" else 1
    if not number.isdigit() or int(number) >= count:
        last = f" to {count - 1}" if count > 1 else ""
        raise ConfigError(f"--device {name}:{number}: expected a number from 0{last}; torch finds {count}")
    return torch.device(f"{name}:{number}")


def join_processes(name: str) -> torch.device:
    """Join the processes that `torchrun` or `accelerate launch` started, and choose the device of this one.

    Args:
        name: as for `choose_device`, which is used if there is only one process.

    Raises:
        ConfigError: as `choose_device`.
    """
    import torch

    device = choose_device(name)
    if count_processes() == 1:
        return device
    from accelerate import PartialState

    return torch.device(PartialState(cpu=device.type == "cpu").device)


def count_processes() -> int:
    """Count the processes that `torchrun` or `accelerate launch` started together with this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the first of those that `torchrun` or `accelerate launch` started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def shutdown_distributed() -> None:
    """Wait for all processes, then destroy the process group. Exiting without it can crash the others."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
