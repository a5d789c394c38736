"""Signals that end a training (SIGTERM, Ctrl-C and others): finish the iteration, save, stop."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType, TracebackType
from typing import Any

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Signals after which a training saves and stops: Ctrl-C, the end of a job, of a terminal, and what SLURM sends."""
LAUNCHED = "TORCHELASTIC_RUN_ID"  # set in processes that torchrun or accelerate started
REPEATED = 5.0  # seconds


class StopSignals:
    """A context in which the first of `STOPPING` only sets `received`; a second signal has its default effect.

    A launcher passes on the signal that a terminal or a scheduler has sent to its processes as well. In processes that
    it started, a signal within 5 seconds of the first one is taken for the same.

    Handlers can be installed in the main thread only; in other threads signals keep their effect. SIGHUP stays ignored
    where `nohup` ignores it.

    Attributes:
        received: the signal; None so far.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._since = 0.0
        self._previous: dict[signal.Signals, Any] = {}

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
