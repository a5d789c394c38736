"""The checkpoint that a resumed training continues from."""

from __future__ import annotations

from zoogan.errors import ConfigError
from zoogan.runs.checkpoints import TrainingState, find_newest_checkpoint, read_checkpoint
from zoogan.runs.folder import RunFolder
from zoogan.terminal.messages import Show


def load_resume_state(folder: RunFolder, show: Show) -> TrainingState | None:
    """Load the newest valid checkpoint of a run.

    Args:
        folder: the run folder.
        show: shows messages about newer checkpoints that are damaged, or that there is no checkpoint.

    Returns:
        The state, or None where no checkpoint was written yet.

    Raises:
        ConfigError: Every checkpoint is damaged, or the run has a model without checkpoints, which a training would
            overwrite.
    """
    path, damaged = find_newest_checkpoint(folder.checkpoints)
    if path is None and not damaged and any(folder.model.glob("*.safetensors")):
        raise ConfigError(
            f"{folder.path}: holds a model and no checkpoint, as imported runs do; there is nothing to go on "
            "from, and training would replace it. Train anew with another --out"
        )
    for message in damaged:
        show(f"warning: {message}; going back to an older one")
    if path is None and not damaged:
        show("no checkpoint was written yet: starting at iteration 0")
        return None
    if path is None:
        raise ConfigError(f"{folder.path}: no whole checkpoint to resume from; train anew with another --out")
    return read_checkpoint(path)
