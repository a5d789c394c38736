"""What to do about a training that failed: advice computed from its config."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from zoogan.config import GameConfig
from zoogan.errors import DiskError, OutOfMemory
from zoogan.names import join_names
from zoogan.plugins.pasting import quote_run
from zoogan.resources import is_disk_full, is_out_of_memory
from zoogan.runs.checkpoints import TrainingState, find_newest_checkpoint

MEGABYTE = 1e6


def describe_not_finite(state: TrainingState) -> str | None:
    """Describe the tensors of a state that are NaN or infinite; None if all are finite."""
    bad = state.list_not_finite()
    return "; ".join(f"{owner}: {join_names(tensors)}" for owner, tensors in bad.items()) or None


def advise_lower_rate(config: GameConfig, folder: Path, checkpoints: Path) -> str:
    """Advise what to type after values that were not finite.

    Args:
        config: of the training.
        folder: of the run.
        checkpoints: the folder of its checkpoints.
    """
    optimizers: Any = dict(config)["optimizers"]
    rates = {f"optimizers.{slot}.lr": getattr(settings, "lr", None) for slot, settings in optimizers}
    lower = " ".join(f"--set {key}={rate / 2:g}" for key, rate in rates.items() if rate is not None)
    newest = find_newest_checkpoint(checkpoints)[0]
    if newest is None:
        return f"No checkpoint had been written: train anew with lower learning rates ({lower}) or a stronger penalty"
    return (
        f"The last checkpoint is {newest.name}; go on from it with lower learning rates: "
        f"zoo train --out {quote_run(folder)} --resume {lower} --allow optimizers"
    )


def explain_failure(error: Exception, config: GameConfig, folder: Path, state_bytes: int) -> Exception:
    """Return the error to raise for a training that failed: memory and disks that ran out get advice.

    Args:
        error: what was raised.
        config: of the training.
        folder: of the run.
        state_bytes: size of a checkpoint.
    """
    if is_out_of_memory(error):
        return OutOfMemory(advise_less_memory(error, config, folder))
    if is_disk_full(error):
        return DiskError(describe_full_disk(error, folder, state_bytes))
    return error


def advise_less_memory(error: Exception, config: GameConfig, folder: Path) -> str:
    """Advise what needs less memory: smaller micro-batches of the same joint batch, bf16, smaller pictures."""
    data, training = config.data, config.training
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    now = f"{data.batch} faces of {data.image_size} px at once, {training.accumulate} times, in {training.precision}"
    begun = find_newest_checkpoint(folder / "checkpoints")[0] is not None
    advice = []
    divisor = next((k for k in (2, 3, 5, 7) if data.batch % k == 0), data.batch)
    if data.batch > 1:
        keys = {"data.batch": data.batch // divisor, "training.accumulate": training.accumulate * divisor}
        sets = " ".join(f"--set {key}={value}" for key, value in keys.items())
        allow = " --allow data.batch --allow training.accumulate" if begun else ""
        advice.append(f"smaller micro-batches of the same joint batch: {sets}{allow}")
    if training.precision == "fp32":
        advice.append(f"--precision bf16{' --allow training.precision' if begun else ''} on a GPU")
    advice.append(f"in a new run a smaller data.image_size, such as {max(16, data.image_size // 2)}")
    command = f"zoo train --out {quote_run(folder)} --resume" if begun else "zoo train"
    return f"out of memory ({reason}): it trained with {now}. Try, with `{command}`:\n  " + "\n  ".join(advice)


def describe_full_disk(error: Exception, folder: Path, state_bytes: int) -> str:
    """Describe how much space a checkpoint with its model needs, how much is free, and what to do."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free, needed = shutil.disk_usage(place).free / MEGABYTE, 2 * state_bytes / MEGABYTE
    where = getattr(error, "filename", None) or folder
    return (
        f"{where}: the disk is full: a checkpoint with its model needs up to {needed:.1f} MB, {free:.1f} MB are free. "
        "Free some space, or keep fewer checkpoints (--set training.keep=1), and go on with --resume"
    )
