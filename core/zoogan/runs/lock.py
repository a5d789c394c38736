"""The lock of a run folder: one training at a time writes into it. Imports no torch."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from zoogan.errors import ConfigError
from zoogan.locks import try_lock

LOCK = ".lock"  # in the run folder; holds who trains there
_mutex = threading.Lock()
_owned: set[Path] = set()  # by this process, which the operating system would let lock a file twice


@contextlib.contextmanager
def lock_run(folder: Path, *, removes_empty: bool = False) -> Iterator[None]:
    """Own a run folder as long as the context lasts.

    The operating system holds the lock for this process and releases it when the process ends in whatever way, so
    that no lock outlives its training; the file that a killed training leaves says who it was and hinders nobody.
    A missing folder is made with its parents, and removed again with them if nothing was written into it.

    Args:
        folder: The run folder.
        removes_empty: Remove an existing folder too if nothing was written into it.

    Raises:
        ConfigError: Another process trains there, or this one does already; or the folder cannot be written.
    """
    path = folder.resolve() / LOCK
    spare = [place for place in (path.parent, *path.parent.parents) if not place.exists()]
    spare = spare or ([folder] if removes_empty else [])
    with _mutex:
        if path in _owned:
            raise ConfigError(f"{folder}: this process is training there already. Wait until it has ended")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = _open_lock(path)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be written: {error.strerror or error}") from error
        if descriptor is None:
            raise ConfigError(f"{folder}: {_describe_owner(path)}. Wait until it has ended, or stop it")
        _owned.add(path)
    try:
        _write_owner(descriptor)
        yield
    finally:
        _owned.discard(path)
        with contextlib.suppress(OSError):  # somebody removed the folder
            path.unlink()
        os.close(descriptor)  # after the file is gone, so that whoever waits locks a new one
        for place in spare:
            with contextlib.suppress(OSError):  # not empty: it holds a run
                place.rmdir()


def _open_lock(path: Path) -> int | None:
    """Open and lock the file, and return its descriptor; None if another process holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not try_lock(descriptor):
                os.close(descriptor)
                return None
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its owner removed it between opening and locking: lock the new one


def _write_owner(descriptor: int) -> None:
    """Write into the lock who holds it."""
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now().isoformat(" ", "seconds")}
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, (json.dumps(owner) + "\n").encode())


def _describe_owner(path: Path) -> str:
    """Describe who holds a lock, as far as the file can be read; an owner of this moment needs a moment to write it."""
    for _ in range(100):
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
            return f"process {owner['pid']} on {owner['host']} trains there since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.05)
    return "another process trains there"
