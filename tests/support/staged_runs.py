"""Train the staged method of `staged_plugin.py` in process, and read the files that must not differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoogan.cli import main

PLUGIN = Path(__file__).with_name("staged_plugin.py")


def train_staged(out: Path, *options: str) -> int:
    """Run `zoo train` for the staged method in process; return the exit code."""
    return main(["train", "--plugin", str(PLUGIN), "--device", "cpu", "--out", str(out), *options])


def begin(out: Path, *options: str) -> int:
    """Begin a run of the staged method."""
    return train_staged(out, "--model", "staged", *options)


def resume(out: Path, *options: str) -> int:
    """Resume a run of the staged method."""
    return train_staged(out, "--resume", *options)


def read_results(run: Path) -> dict[str, bytes]:
    """Read the models of a run and of its stages, and the files of its jobs, by path."""
    paths = [path for path in sorted(run.rglob("*")) if path.parent.name in ("model", "colours") and path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def read_states(run: Path) -> dict[str, Any]:
    """Read the records of a run's stages by name."""
    return {record["name"]: record for record in json.loads((run / "stages.json").read_text())["stages"]}
