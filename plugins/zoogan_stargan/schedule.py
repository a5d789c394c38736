"""The official code's learning-rate schedule."""

from __future__ import annotations

from collections.abc import Callable

from zoogan.interfaces import Clock
from zoogan.plugins import Facts
from zoogan_stargan.config import Repo2018Config


def make_repo_2018_schedule(config: Repo2018Config, facts: Facts | None = None) -> Callable[[Clock], float]:
    """Make a schedule that falls from 1 by 1 / decay after each `period`-th of the last `decay` iterations, to 0.999.

    The official code was meant to subtract in every iteration, down to 0.

    Args:
        config: Settings of the schedule.
        facts: Unused.

    Returns:
        A function from the clock to the factor of the learning rate.

    Source: yunjey/stargan since commit c53e598.
    """

    def compute_factor(clock: Clock) -> float:
        decay = config.decay or max(1, clock.iterations // 2)
        first = max(0, clock.iterations - decay)
        subtractions = max(0, clock.iteration // config.period - first // config.period)
        return max(0.0, 1 - subtractions / decay)

    return compute_factor
