"""What a person sees while training: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

REPORTS = 4  # that the rate and the time left are told from
SHORT = {"discriminator": "D", "generator": "G"}


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Display:
    """Reports iterations, rate, time left and the terms last read."""

    def __init__(self, first: int, iterations: int, images_per_iteration: int, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
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
                "train", total=iterations, completed=first, status="the first iterations are slower"
            )

    def __enter__(self) -> Display:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def seconds(self) -> float:
        """Since the start of this process's training."""
        return time.monotonic() - self.started

    def rate(self) -> float:
        """Iterations a second over the last few reports: the first iterations are slower and say little of the rest."""
        (then, first), (now, last) = self.marks[0], self.marks[-1]
        return (last - first) / max(now - then, 1e-9)

    def advance(self, iteration: int) -> None:
        """An iteration is done."""
        if self.bar is not None:
            self.bar.update(self.task, completed=iteration)

    def report(self, iteration: int, terms: Mapping[str, float]) -> None:
        """Terms were read."""
        self.marks.append((self.seconds(), iteration))
        rate = self.rate()
        left = duration((self.iterations - iteration) / rate) if rate else "?"
        parts = [f"{rate:.2f} it/s", f"{rate * self.images:.0f} images/s", f"{left} left"]
        for name, value in terms.items():
            step, slash, term = name.partition("/")
            side, *way = step.split("_", 1)  # discriminator_latent/real: D.latent.real
            told = ".".join([SHORT.get(side, side), *way, term]) if slash else name
            if term != "total":
                parts.append(f"{told} {value:.3g}")
        if self.bar is not None:
            self.bar.update(self.task, completed=iteration, status="  ".join(parts[:3]))
            self.bar.console.print("[dim]" + f"{iteration:>7}  " + "  ".join(parts[3:]) + "[/]")
        else:
            self.console.print(f"iteration {iteration}/{self.iterations}  " + "  ".join(parts))

    def say(self, message: str) -> None:
        """A line above the bar."""
        (self.bar.console if self.bar is not None else self.console).print(message, markup=False)
