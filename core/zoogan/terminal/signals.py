"""Signals that end a training (SIGTERM, Ctrl-C and others): finish the iteration, save, stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from threading import Event, Thread
from types import FrameType, TracebackType
from typing import Any

from zoogan.errors import SIGNALLED

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Signals after which a training saves and stops: Ctrl-C, the end of a job, of a terminal, and what SLURM sends."""
LAUNCHED = "TORCHELASTIC_RUN_ID"  # set in processes that torchrun or accelerate started
REPEATED = 5.0  # seconds
GRACE = 1.0  # seconds that a second signal leaves to the main thread


class StopSignals:
    """A context in which the first of `STOPPING` only sets `received`; a second signal has its default effect.

    Python runs handlers between two of its instructions only, and one call of torch may take minutes. A thread
    therefore answers the first signal at once, and ends the process if a second one has had no effect for a second.

    A launcher passes on the signal that a terminal or a scheduler has sent to its processes as well. In processes that
    it started, a signal within 5 seconds of the first one is taken for the same.

    Handlers can be installed in the main thread only; in other threads signals keep their effect. SIGHUP stays ignored
    where `nohup` ignores it.

    Args:
        unit: what is finished before the stop, such as `iteration`; the answer on stderr names it. None = no answer.

    Attributes:
        received: the signal; None so far.
    """

    def __init__(self, unit: str | None = None) -> None:
        self.unit = unit
        self.received: signal.Signals | None = None
        self._since = 0.0
        self._previous: dict[signal.Signals, Any] = {}
        self._listener: SignalListener | None = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._since = signal.Signals(number), time.monotonic()
            if LAUNCHED not in os.environ:
                self._restore()
        elif time.monotonic() - self._since > REPEATED:
            self._restore()
            os.kill(os.getpid(), number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __enter__(self) -> StopSignals:
        with suppress(ValueError):  # not in the main thread
            self._listener = SignalListener(self.unit)
        for number in STOPPING:
            if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._previous[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._listener is not None:
            self._listener.close()


class SignalListener:
    """A thread that learns of signals while the main thread is inside a long call.

    Args:
        unit: as for `StopSignals`.

    Raises:
        ValueError: Made outside the main thread.
    """

    def __init__(self, unit: str | None) -> None:
        self.unit, self.is_closed = unit, Event()
        self.reader, self.writer = socket.socketpair()
        self.writer.setblocking(False)
        try:
            self.previous = signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        except ValueError:
            self.reader.close()
            self.writer.close()
            raise
        self.thread = Thread(target=self.listen, name="signals", daemon=True)
        self.thread.start()

    def listen(self) -> None:
        """Answer the first signal; let a second one end the process. Each is a byte with its number."""
        first: float | None = None
        while number := self.reader.recv(1):
            if number[0] not in STOPPING:
                continue
            if first is None:
                first = time.monotonic()
                self.answer(signal.Signals(number[0]).name)
            elif LAUNCHED not in os.environ or time.monotonic() - first > REPEATED:
                if not self.is_closed.wait(GRACE):
                    os._exit(SIGNALLED + number[0])
                return

    def answer(self, name: str) -> None:
        """Say that a signal has arrived."""
        if self.unit is not None:
            with suppress(OSError, ValueError):  # nobody reads it
                message = f"{name}: stopping after this {self.unit}; a second signal stops at once"
                print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the thread."""
        signal.set_wakeup_fd(self.previous)
        self.is_closed.set()
        self.writer.close()  # the thread reads the end
        self.thread.join()
        self.reader.close()


def _forget_listener() -> None:
    """Keep signals of a forked process, such as a worker of a loader, from its parent's listener."""
    with suppress(ValueError):  # not in the main thread
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_listener)
