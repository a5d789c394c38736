"""Opens Accelerate for a training: device, processes, precision and trackers; refuses unsupported modes."""

from __future__ import annotations

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType

from zoogan.config import GameConfig
from zoogan.devices import choose_device
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.runs.folder import RunFolder


def check_mode(config: GameConfig) -> None:
    """Check the precision and the trackers of a training.

    Raises:
        ConfigError: The precision is not supported, or a tracker is not installed.
    """
    training = config.training
    if training.precision == "fp16":
        raise ConfigError(
            "training.precision: fp16 is not supported (one loss scale would have to serve every optimizer, and "
            "penalties overflow); use bf16, which needs no scaling, or fp32"
        )
    installed = [str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()]
    missing = [name for name in training.trackers if name not in installed]
    if missing:
        raise ConfigError(
            f"training.trackers: {', '.join(missing)} cannot be used: not installed, or unknown"
            f"{suggest_name(missing[0], installed)}; installed: {', '.join(installed) or 'none'}"
        )


def get_mixed_precision(config: GameConfig) -> str:
    """Get the mixed precision that Accelerate opens for a training: bf16, or no."""
    return "bf16" if config.training.precision == "bf16" else "no"


def open_accelerator(config: GameConfig, device: str, folder: RunFolder) -> Accelerator:
    """Open Accelerate with the device, processes, precision and trackers of a training.

    Args:
        config: of the training.
        device: auto, cuda, mps or cpu.
        folder: the run folder, where trackers write.

    Raises:
        ConfigError: The device is missing, a tracker is not installed, or the mode is not supported.
    """
    check_mode(config)
    training = config.training
    choose_device(device)
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier training in this process
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision=get_mixed_precision(config),
        log_with=list(training.trackers) or None,
        project_dir=str(folder.path),
    )
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ConfigError(
            f"accelerate is set to {accelerator.distributed_type.value}, which is not supported: every process keeps "
            "whole networks and gradients are averaged here; run `accelerate config` and choose plain multi-GPU or "
            "multi-CPU"
        )
    return accelerator
