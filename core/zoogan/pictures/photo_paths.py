"""The photos that a path means: one file, all photos of a folder, or the files that match a pattern.

Imports no torch.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from zoogan.errors import ConfigError
from zoogan.pictures.photo_files import SUFFIXES
from zoogan.plugins.gallery import resolve_path

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a path may have joined the slashes; C:/ is no address


def list_photo_paths(path: str | Path) -> list[Path]:
    """List the photos that a path means, sorted by name.

    Args:
        path: A file, a folder, `gallery:faces`, or a pattern such as `photos/*.png` (`**` also matches folders below).
            It may begin with `~`. A file that does not exist is listed too: reading it gives the better message.

    Raises:
        ConfigError: An address of the network, a folder without photos, or a pattern that matches nothing.
    """
    if ADDRESS.match(str(path)):
        raise ConfigError(
            f"{path}: zoogan reads nothing from the network; download the photo and give its file or bytes"
        )
    path = resolve_path(path)
    if path.is_dir():
        photos = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        if not photos:
            raise ConfigError(f"{path}: no photos in this folder; they end in {', '.join(SUFFIXES)}")
        return photos
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())
    if not matches:
        raise ConfigError(f"{path}: no file matches this pattern")
    return matches


def find_photos(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Find the photos that several paths mean, see `list_photo_paths`.

    Returns:
        (the files, in the order of the paths; one sentence for each path that means none).
    """
    photos: list[Path] = []
    problems = []
    for path in paths:
        try:
            photos += list_photo_paths(path)
        except ConfigError as error:
            problems.append(str(error))
    return photos, problems
