"""Locks of files between processes, released by the operating system when a process ends. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_FIRST_BYTE = 1 << 30  # far behind the text, which stays readable where a lock forbids reading
_POLL = 0.1  # seconds between two looks at a lock that another process holds


def try_lock(descriptor: int) -> bool:
    """Lock an open file without waiting. Where the file system has no locks, every process gets it."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _FIRST_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            # POSIX's own: unlike those of flock, workers that were forked do not hold it after the training is killed.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST_BYTE)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def wait_for_lock(path: Path, tell: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock of a file as long as the context lasts; wait as long as another process holds it.

    Args:
        path: The file; it is made, and left.
        tell: Called once if another process holds the lock.

    Raises:
        OSError: The file cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not try_lock(descriptor):
            tell()
            while not try_lock(descriptor):
                time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)
