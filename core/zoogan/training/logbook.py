"""metrics.jsonl, and the same figures for the user's trackers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from accelerate import Accelerator

from zoogan.files import write_text_atomically

log = logging.getLogger("zoogan.training")


class Logbook:
    """Writes one line of JSON for each reading of the terms and each evaluation, and logs the same to every tracker.

    A tracker that fails, or a disk that is full, is told once and ends no training.

    Args:
        path: metrics.jsonl; only the main process may write.
        accelerator: holds the trackers; None without trackers.

    Attributes:
        seconds: how long the run had been trained when it was resumed.
        has_trackers: whether there are trackers, none of which has failed.
    """

    def __init__(self, path: Path, accelerator: Accelerator | None) -> None:
        self.path, self.accelerator, self.seconds = path, accelerator, 0.0
        self.has_trackers = accelerator is not None
        self._lacks_line = False  # since the last one could not be written

    def open_trackers(self, method: str) -> None:
        """Open the trackers."""
        if self.accelerator is not None:
            accelerator = self.accelerator
            self._try("start", lambda: accelerator.init_trackers("zoogan", config={"method": method}))

    def close_trackers(self) -> None:
        """Close the trackers that were opened."""
        # Not by end_training(): it also ends the process group, which can wait forever for a failed process.
        for tracker in [] if self.accelerator is None else list(self.accelerator.trackers):
            self._try("finish", tracker.finish)

    def _try(self, action: str, call: Callable[[], object]) -> None:
        """Let the trackers do something; after the first error warn, and give them no more figures."""
        try:
            call()
        except Exception as error:  # of other people's packages, which may raise anything
            if self.has_trackers:
                reason = f"{type(error).__name__}: {error}"
                log.warning("trackers: %s failed (%s); the training goes on without them", action, reason)
            self.has_trackers = False

    def write(self, iteration: int, facts: Mapping[str, float], values: Mapping[str, float], under: str = "") -> None:
        """Add a line.

        Args:
            iteration: of the reading.
            facts: figures of the training itself, such as images and seconds; trackers do not get them.
            values: the terms or measures.
            under: the key under which the values stand in the line; without one they stand beside the facts.
        """
        line = {"iteration": iteration, **facts, **({under: dict(values)} if under else values)}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("\n" if self._lacks_line else "") + json.dumps(line) + "\n")  # after half a line, if any
            self._lacks_line = False
        except OSError as error:
            if not self._lacks_line:
                log.warning("%s: cannot be written (%s); the training goes on", self.path, error.strerror or error)
            self._lacks_line = True
        if self.accelerator is not None and self.has_trackers:
            accelerator, prefix = self.accelerator, f"{under}/" if under else ""
            figures = {f"{prefix}{name}": value for name, value in values.items()}
            self._try("log", lambda: accelerator.log(figures, step=iteration))

    def drop_after(self, iteration: int) -> None:
        """Drop the lines after an iteration, and take `seconds` from the last line that stays.

        They were written after the checkpoint that is resumed, and will be written again. Half a line, left by a crash,
        and whatever is no reading are dropped too.
        """
        if not self.path.exists():
            return
        lines = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                content = json.loads(line)
                if content["iteration"] <= iteration:
                    lines.append(line)
                    self.seconds = float(content.get("seconds", self.seconds))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        write_text_atomically(self.path, "".join(line + "\n" for line in lines))
