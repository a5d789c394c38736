"""Errors that are shown to a person without a traceback, and their exit codes. Imports no other module of zoogan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIGNALLED = 128  # plus the signal's number: what shells report of a process that a signal ended


class ZooganError(Exception):
    """Base of all errors that zoogan explains itself.

    Attributes:
        exit_code: what the command line ends with.
    """

    exit_code: int = 1


class ConfigError(ZooganError):
    """The user's mistake in a config, an option or a file. Names every problem, one a line; exit code 2."""

    exit_code = 2


class DataError(ConfigError):
    """Faces of a source cannot be read or used while they are needed; exit code 3."""

    exit_code = 3


class NotFinite(ZooganError):
    """Weights, terms, gradients or pixels became NaN or infinite, and were not used; exit code 4."""

    exit_code = 4


class OutOfMemory(ZooganError):
    """The memory of the device or of the machine does not suffice; says what needs less. Exit code 5."""

    exit_code = 5


class DiskError(ZooganError):
    """A file could not be written because the disk is full; says how much is needed and free. Exit code 6."""

    exit_code = 6


class TrainingStopped(ZooganError):
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
        self.exit_code = SIGNALLED + (signal or 0)
