"""How far a verb has come with a folder of pictures, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 10.0  # seconds between two lines where no terminal shows a bar


@contextmanager
def show_progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and elsewhere a line every ten seconds.

    Args:
        unit: What is counted, such as `picture`.

    Yields:
        A function of (number done, number in all).
    """
    from zoogan.terminal.progress import Display

    display: Display | None = None
    last = time.monotonic()

    def watch(done: int, count: int) -> None:
        nonlocal display, last
        if display is None:
            display = Display(0, count, 0, unit=unit, is_stderr=True)
            display.__enter__()
        display.advance(done)
        if time.monotonic() - last > (PATIENCE if display.bar is None else 1):
            last = time.monotonic()
            display.report(done, {})

    try:
        yield watch
    finally:
        if display is not None:
            display.__exit__(None, None, None)
