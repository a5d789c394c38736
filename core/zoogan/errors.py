"""Errors that are shown to a person without a traceback. Imports no other module of zoogan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ConfigError(Exception):
    """The user's mistake in a config, an option or a file. Names every problem, one a line; exit code 2."""


class TrainingStopped(Exception):
    """A signal stopped a training; its run was saved and can be resumed.

    Args:
        folder: of the run.
        iteration: the last one that was completed and saved; None in a stage that is no training, or between stages.
        signal: the number of the signal; None in a process that did not receive it itself.
    """

    def __init__(self, folder: Path, iteration: int | None, signal: int | None) -> None:
        saved = "" if iteration is None else f" and saved at iteration {iteration}"
        super().__init__(f"training was stopped{saved}; go on with zoogan.train(out={str(folder)!r}, resume=True)")
        self.folder, self.iteration, self.signal = folder, iteration, signal
