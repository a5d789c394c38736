"""Where runs go. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path


def next_run(parent: Path, stem: str) -> Path:
    """`parent/stem-001`, or the first number after those taken."""
    found = (re.fullmatch(rf"{re.escape(stem)}-(\d+)", path.name) for path in parent.glob(f"{stem}-*"))
    return parent / f"{stem}-{max((int(match[1]) for match in found if match), default=0) + 1:03d}"


def claim(wanted: Path) -> Path:
    """Make the folder that `next_run` told, or the next one that nobody has: another training may have been quicker."""
    while True:
        try:
            wanted.mkdir(parents=True)
        except FileExistsError:
            wanted = next_run(wanted.parent, wanted.name.rpartition("-")[0])
        else:
            return wanted


def taken(folder: Path) -> str | None:
    """Why no run can begin in the folder; None if it is empty, or not there."""
    if folder.exists() and not folder.is_dir():
        return "a file of that name is there"
    return "the folder is in use" if folder.is_dir() and any(folder.iterdir()) else None
