"""Where a resumed training goes on."""

from __future__ import annotations

from zoogan.config import ConfigError
from zoogan.runs.checkpoints import State, load, newest_valid
from zoogan.runs.run import RunFolder


def state_of(run: RunFolder, tell: bool) -> State | None:
    """The newest whole checkpoint; None where none was written yet. tell: say so, and which newer ones are damaged.

    Raises:
        ConfigError: nothing to resume from; a model without checkpoints, which training anew would overwrite.
    """
    path, damaged = newest_valid(run.checkpoints)
    if path is None and not damaged and any(run.model.glob("*.safetensors")):
        raise ConfigError(
            f"{run.path}: holds a model and no checkpoint, as imported runs do; there is nothing to go on "
            "from, and training would replace it. Train anew with another --out"
        )
    if tell:
        for message in damaged:
            print(f"warning: {message}; going back to an older one")
    if path is None and not damaged:
        if tell:
            print("no checkpoint was written yet: starting at iteration 0")
        return None
    if path is None:
        raise ConfigError(f"{run.path}: no whole checkpoint to resume from; train anew with another --out")
    return load(path)
