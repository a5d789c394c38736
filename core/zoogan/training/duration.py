"""How long a training will take, estimated from its first iterations."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from zoogan.config import GameConfig

LONG = 600.0  # seconds; a training that takes longer is announced
TRIAL = 10.0  # seconds of iterations after the first one, from which the rest is estimated
PATIENCE = 45.0  # seconds after which an estimate is made from what there is
UNITS = (("year", 365 * 86400), ("day", 86400), ("h", 3600))  # seconds


class DurationTrial:
    """Times the first iterations of a training and announces once how long an iteration takes.

    The first iteration is left out, because it warms up, unless it alone takes longer than `PATIENCE`.

    Args:
        first: The iteration at which training continues.
        iterations: The planned number.
        announce: Called once at most, with the seconds of an iteration.
    """

    def __init__(self, first: int, iterations: int, announce: Callable[[float], object]) -> None:
        self.announce = announce
        self.is_over = iterations - first < 2
        self.marks = [(first, time.monotonic())]  # iterations and when they were done: the start, the first one

    def mark(self, iteration: int) -> None:
        """Note that an iteration is done and that the device has finished it; announce once enough is known."""
        if self.is_over:
            return
        now = time.monotonic()
        first, since = self.marks[-1]
        is_late = now - self.marks[0][1] >= PATIENCE
        if is_late or (len(self.marks) > 1 and now - since >= TRIAL):
            self.is_over = True
            self.announce((now - since) / (iteration - first))
        elif len(self.marks) == 1:
            self.marks.append((iteration, now))


def describe_duration(
    config: GameConfig,
    first: int,
    seconds: float,
    device: torch.device,
    *,
    stage: str | None = None,
    recipe: str | None = None,
) -> str | None:
    """Describe how long a training will take, and how to make it shorter.

    Args:
        config: Of the training.
        first: The iteration at which it began or continued.
        seconds: Of an iteration.
        device: That trains.
        stage: The name of the stage that is trained, if any.
        recipe: The recipe for a CPU, if there is one.

    Returns:
        One line; None where the training takes 10 minutes or less.
    """
    iterations = config.training.iterations
    total = (iterations - first) * seconds
    if total <= LONG:
        return None
    target = next((limit for limit in (3600.0, 600.0) if total > 2 * limit), total / 2)
    fitting = first + max(1, round_down(int(target / seconds)))
    option = f"--set stages.{stage}.set.training.iterations=" if stage else "--iterations "
    shorter = [f"{option}{fitting} (about {format_long((fitting - first) * seconds)})"]
    if device.type == "cpu":
        is_other = recipe is not None and recipe != config.recipe and not first and stage is None
        shorter += [f"--recipe {recipe}"] if is_other else []
        shorter.append("a GPU")
    left = f"the remaining {iterations - first:,}" if first else f"{iterations:,}"
    return (
        f"note: about {format_long(total)} for {left} iterations on this {device.type.upper()} ({seconds:.2g} s each); "
        f"for less: {' or '.join(shorter)}"
    )


def format_long(seconds: float) -> str:
    """Write a long time in its largest unit, such as `2 h` or `1.5 days`."""
    for name, unit in UNITS:
        if seconds >= unit * 0.95:
            text = f"{seconds / unit:.1f}".removesuffix(".0") if seconds < 10 * unit else f"{seconds / unit:,.0f}"
            return f"{text} {name}{'' if text == '1' or name == 'h' else 's'}"
    return f"{max(seconds / 60, 1):.0f} min"


def round_down(number: int) -> int:
    """Round down to two digits: 1,234 is 1,200."""
    scale = 10 ** max(len(str(number)) - 2, 0)
    return number // scale * scale
