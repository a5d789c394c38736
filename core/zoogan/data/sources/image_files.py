"""The images in a folder and the folders below it, and how many other files were passed over."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.pictures.photo_files import SUFFIXES

# Files that nobody takes for pictures of the data set: lists, labels, notes, and what systems leave behind.
SILENT = (".csv", ".txt", ".tsv", ".json", ".yaml", ".yml", ".md", ".db", ".ini", ".rst", ".html", ".pdf")
SILENT_NAMES = (".ds_store", "thumbs.db", "desktop.ini", "license", "readme")


class PassedOver(Counter[str]):
    """How many files of each kind were passed over, by what they are."""

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.items()))


def normalize_name(name: str) -> str:
    """Normalize a file name: composed accents (macOS lists them decomposed) and forward slashes."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def list_images(root: Path, without: Path | None = None, passed_over: PassedOver | None = None) -> Iterator[str]:
    """List the images in a folder and all folders below it, without hidden files and folders.

    Only regular files are listed. A link to a folder is followed if no other path has led there; folders come before
    links to them, so that a loop of links ends.

    Args:
        root: The folder.
        without: A folder to leave out.
        passed_over: Counts the files that are not listed.

    Yields:
        Paths relative to `root`, with forward slashes.
    """
    counts = PassedOver() if passed_over is None else passed_over
    seen, links = {_identify(root)}, [""]
    for first in links:  # grows while it is read
        target = _identify(root / first) if first else None
        if target in seen:
            counts["links to folders that were read already"] += 1
            continue
        seen |= set() if target is None else {target}
        yield from _walk(root, first, without, seen, links, counts)


def _walk(
    root: Path, first: str, without: Path | None, seen: set[tuple[int, int]], links: list[str], counts: PassedOver
) -> Iterator[str]:
    """Yield the images below the folder `first` of `root`; note the folders and the links to folders on the way."""
    folders = [first]
    while folders:
        folder = folders.pop()
        below: list[str] = []
        try:
            with os.scandir(root / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            counts["folders that cannot be read"] += 1
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name.startswith("."):
                    counts["hidden folders"] += 1
                elif root / name != without:
                    below.append(name)
                    seen.add(_identify(root / name))
            elif entry.is_symlink() and entry.is_dir():
                links += [name] if root / name != without else []
            elif _is_image(entry, counts):
                yield name
        folders += reversed(below)


def _is_image(entry: os.DirEntry[str], counts: PassedOver) -> bool:
    """Return whether an entry is listed as an image; count it by its kind if it is not."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if entry.name.lower() in SILENT_NAMES or suffix in SILENT:
        return False
    if entry.name.startswith("."):
        counts["hidden files"] += 1
    elif not entry.is_file():
        is_broken = entry.is_symlink() and not os.path.exists(entry.path)
        counts["links that lead nowhere" if is_broken else "pipes, sockets or devices"] += 1
    elif suffix not in SUFFIXES:
        counts[f"files {suffix}" if suffix else "files without a suffix"] += 1
    else:
        return True
    return False


def _identify(folder: Path) -> tuple[int, int]:
    """Return device and inode of the folder that a path leads to; its own place for one that cannot be read."""
    try:
        state = folder.stat()
    except OSError:
        return -1, hash(folder)
    return state.st_dev, state.st_ino


def report_passed_over(root: Path, counts: PassedOver) -> None:
    """Warn about the files of a data set that are not read; Python shows the same warning once.

    Args:
        root: Folder of the data set.
        counts: The files by kind, see `list_images`.
    """
    counts = PassedOver({kind: count for kind, count in counts.items() if count})
    if counts:
        warnings.warn(f"{root}: passed over: {counts}", DataWarning, stacklevel=3)
