"""The suffixes of photos, and the names of their edits. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from zoogan.paths import MAX_NAME, cut_text

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")  # formats that keep every pixel

NUMBER_BYTES = 30  # left in the name of a file for its number and the draft's name


def choose_suffix(photo: Path) -> str:
    """Choose the suffix of an edit: that of the photo if its format keeps every pixel, else .png."""
    return photo.suffix if photo.suffix.lower() in LOSSLESS else ".png"


def number_stem(stem: str, endings: Sequence[str], taken: Collection[str]) -> str:
    """Number a stem if one of the names `<stem><ending>` is taken, and cut it if one is too long for a file."""
    stem = cut_text(stem, MAX_NAME - NUMBER_BYTES - max(map(len, endings), default=0))
    numbered, number = stem, 2
    while any(f"{numbered}{ending}" in taken for ending in endings):
        numbered, number = f"{stem}-{number}", number + 1
    return numbered
