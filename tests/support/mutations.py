"""What the mutation tests of configs and pictures share: the counts, and the script that prints them."""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Played:
    """What came of mutated inputs.

    Attributes:
        taken: How many were valid.
        refused: How many were refused with a ConfigError.
        failures: The seed and the error of each other outcome.
        slowest: Seconds of the slowest one, and its number.
        outcomes: The first words of the messages, counted.
    """

    taken: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    outcomes: Counter[str] = field(default_factory=Counter)

    def refuse(self, message: str) -> None:
        """Count a refusal under the first words behind the last name in its message."""
        self.refused += 1
        self.outcomes[" ".join(message.split(": ")[-1].split()[:4])] += 1


def run_script(play: Callable[..., Played], what: str, *, has_builds: bool = False) -> None:
    """Play as many inputs as the command line says, and print the counts, the seeds, the time and the peak memory.

    Args:
        play: Called with the number of inputs and the first seed.
        what: What is mutated, in plural.
        has_builds: Whether `--no-builds` is an option, which is handed on as `builds=False`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    if has_builds:
        parser.add_argument("--no-builds", dest="builds", action="store_false", help="build no networks: faster")
    options = parser.parse_args()
    began = time.perf_counter()
    result = play(options.count, options.seed, **({"builds": options.builds} if has_builds else {}))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{options.count} {what} from seed {options.seed}: {result.taken} accepted, {result.refused} refused, "
        f"{len(result.failures)} failures; {time.perf_counter() - began:.0f} s, slowest {result.slowest[0]:.2f} s "
        f"(seed {options.seed + result.slowest[1]}), peak memory {peak:.0f} MB"
    )
    print("most refusals:", result.outcomes.most_common(20))
    print(*result.failures[:40], sep="\n")
