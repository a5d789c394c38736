"""Progress of a training or of a film: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

REPORTS = 4  # reports from which the rate and the time left are computed
SHORT = {"discriminator": "D", "generator": "G"}


def format_duration(seconds: float) -> str:
    """Write seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shorten_term(name: str) -> str:
    """Shorten a term's name: `discriminator_latent/real` is `D.latent.real`. Other names stay as they are."""
    step, slash, term = name.partition("/")
    if not slash:
        return name
    network, *rest = step.split("_", 1)
    return ".".join([SHORT.get(network, network), *rest, term])


class PatientConsole(Console):
    """A console that falls silent where nobody reads it any more (`| head`) or its file cannot grow."""

    def on_broken_pipe(self) -> None:
        """Fall silent, instead of ending the program as rich does."""
        self.fall_silent()

    def fall_silent(self) -> None:
        """Print nothing more, and let nothing else fail on the same stream."""
        self.quiet = True
        with suppress(OSError, ValueError):  # no file, as in a notebook
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.fall_silent()


class Display:
    """Shows iterations, rate, time left and the terms last read.

    Args:
        first: the iteration at which training continues.
        iterations: the planned number.
        images_per_iteration: over all processes.
        quiet: whether to show nothing.
        unit: what is counted; other units than iterations have no images a second.
        is_stderr: whether to show it on stderr, because stdout is for a program.
    """

    def __init__(
        self,
        first: int,
        iterations: int,
        images_per_iteration: int,
        quiet: bool = False,
        unit: str = "iteration",
        is_stderr: bool = False,
    ) -> None:
        self.unit = unit
        self.console = PatientConsole(quiet=quiet, stderr=is_stderr, highlight=False, soft_wrap=True)
        self.iterations, self.images = iterations, images_per_iteration
        self.started = time.monotonic()
        self.marks = deque([(0.0, first)], REPORTS + 1)
        self.bar: Progress | None = None
        if self.console.is_terminal and not quiet:
            self.bar = Progress(
                TextColumn("[bold]{task.completed:>6.0f}[/]/{task.total:.0f}"), BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}"), console=self.console,
            )  # fmt: skip
            self.task = self.bar.add_task(
                "train", total=iterations, completed=first, status=f"the first {unit}s are slower"
            )

    def __enter__(self) -> Display:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            try:
                self.bar.stop()
            except OSError:  # the terminal is gone
                self.console.fall_silent()

    def get_seconds(self) -> float:
        """Get the seconds since this process began to train."""
        return time.monotonic() - self.started

    def get_rate(self) -> float:
        """Get the iterations a second over the last few reports; the first iterations are slower than the rest."""
        (then, first), (now, last) = self.marks[0], self.marks[-1]
        return (last - first) / max(now - then, 1e-9)

    def advance(self, iteration: int) -> None:
        """Show that an iteration is done."""
        if self.bar is not None:
            self.bar.update(self.task, completed=iteration)

    def report(self, iteration: int, terms: Mapping[str, float]) -> None:
        """Show the terms that were read, rate and time left. Totals are left out.

        Args:
            iteration: the last one that was completed.
            terms: values by name, such as `discriminator/real`.
        """
        self.marks.append((self.get_seconds(), iteration))
        rate = self.get_rate()
        left = format_duration((self.iterations - iteration) / rate) if rate else "?"
        speed = [f"{rate:.2f} it/s", f"{rate * self.images:.0f} images/s", f"{left} left"]
        if self.unit != "iteration":
            speed = [f"{rate:.1f} {self.unit}s/s", f"{left} left"]
        values = [
            f"{shorten_term(name)} {value:.3g}" for name, value in terms.items() if name.partition("/")[2] != "total"
        ]
        if self.bar is not None:
            self.bar.update(self.task, completed=iteration, status="  ".join(speed))
            if values:
                self.bar.console.print("[dim]" + f"{iteration:>7}  " + "  ".join(values) + "[/]")
        else:
            self.console.print(f"{self.unit} {iteration}/{self.iterations}  " + "  ".join([*speed, *values]))

    def print_line(self, message: str) -> None:
        """Print a line above the bar."""
        (self.bar.console if self.bar is not None else self.console).print(message, markup=False)
