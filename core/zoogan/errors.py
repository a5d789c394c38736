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
        iteration: the last one that was completed.
        signal: the number of the signal; None in a process that did not receive it itself.
    """

    def __init__(self, folder: Path, iteration: int, signal: int | None) -> None:
        super().__init__(
            f"training was stopped and saved at iteration {iteration}; go on with "
            f"zoogan.train(out={str(folder)!r}, resume=True)"
        )
        self.folder, self.iteration, self.signal = folder, iteration, signal
