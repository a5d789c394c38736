"""Where new runs are written. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from zoogan.runs.lock import LOCK


def choose_run_folder(parent: Path, stem: str) -> Path:
    """Return `parent/stem-001`, or the path with the first number after those in use."""
    matches = (re.fullmatch(rf"{re.escape(stem)}-(\d+)", path.name) for path in parent.glob(f"{stem}-*"))
    return parent / f"{stem}-{max((int(match[1]) for match in matches if match), default=0) + 1:03d}"


def create_run_folder(path: Path) -> Path:
    """Create the folder that `choose_run_folder` named, or the next free number if another training has taken it."""
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            path = choose_run_folder(path.parent, path.name.rpartition("-")[0])
        else:
            return path


def explain_occupied_folder(folder: Path) -> str | None:
    """Return why no run can begin in a folder; None if it is empty or missing."""
    if folder.exists() and not folder.is_dir():
        return "a file of that name exists"
    is_used = folder.is_dir() and any(
        file.name != LOCK for file in folder.iterdir()
    )  # a killed training leaves its lock
    return "the folder is in use" if is_used else None
