"""What a training leaves in writing: metrics.jsonl, and the user's trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator

from zoogan.files import replace_text


class Logbook:
    """One line of JSON for each reading of the terms and each evaluation; the same figures to every tracker.

    Args:
        path: metrics.jsonl; only the main process may write.
        accelerator: knows the trackers; None without any.

    seconds: how long the run had been trained when it was resumed.
    """

    def __init__(self, path: Path, accelerator: Accelerator | None) -> None:
        self.path, self.accelerator, self.seconds = path, accelerator, 0.0

    def write(self, iteration: int, facts: Mapping[str, float], values: Mapping[str, float], under: str = "") -> None:
        """Add a line. values: beside the facts, or under a name of their own; trackers get these alone."""
        line = {"iteration": iteration, **facts, **({under: dict(values)} if under else values)}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.accelerator is not None:
            prefix = f"{under}/" if under else ""
            self.accelerator.log({f"{prefix}{name}": value for name, value in values.items()}, step=iteration)

    def forget_after(self, iteration: int) -> None:
        """Drop later lines: they were written after the checkpoint that is resumed, and will come again. `seconds` are
        those of the last line that stays."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                said = json.loads(line)
                if said["iteration"] <= iteration:
                    kept.append(line)
                    self.seconds = said.get("seconds", self.seconds)
            except ValueError:  # half a line, from a crash
                continue
        replace_text(self.path, "".join(line + "\n" for line in kept))
