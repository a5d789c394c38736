"""metrics.jsonl, and the same figures for the user's trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator

from zoogan.files import write_text_atomically


class Logbook:
    """Writes one line of JSON for each reading of the terms and each evaluation, and logs the same to every tracker.

    Args:
        path: metrics.jsonl; only the main process may write.
        accelerator: holds the trackers; None without trackers.

    Attributes:
        seconds: how long the run had been trained when it was resumed.
    """

    def __init__(self, path: Path, accelerator: Accelerator | None) -> None:
        self.path, self.accelerator, self.seconds = path, accelerator, 0.0

    def write(self, iteration: int, facts: Mapping[str, float], values: Mapping[str, float], under: str = "") -> None:
        """Add a line.

        Args:
            iteration: of the reading.
            facts: figures of the training itself, such as images and seconds; trackers do not get them.
            values: the terms or measures.
            under: the key under which the values stand in the line; without one they stand beside the facts.
        """
        line = {"iteration": iteration, **facts, **({under: dict(values)} if under else values)}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.accelerator is not None:
            prefix = f"{under}/" if under else ""
            self.accelerator.log({f"{prefix}{name}": value for name, value in values.items()}, step=iteration)

    def drop_after(self, iteration: int) -> None:
        """Drop the lines after an iteration, and take `seconds` from the last line that stays.

        They were written after the checkpoint that is resumed, and will be written again. Half a line, left by a crash,
        is dropped too.
        """
        if not self.path.exists():
            return
        lines = []
        for line in self.path.read_text().splitlines():
            try:
                content = json.loads(line)
                if content["iteration"] <= iteration:
                    lines.append(line)
                    self.seconds = content.get("seconds", self.seconds)
            except ValueError:
                continue
        write_text_atomically(self.path, "".join(line + "\n" for line in lines))
