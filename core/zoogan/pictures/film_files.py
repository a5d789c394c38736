"""The kinds of film files, and what can be checked of them without torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from zoogan.errors import ConfigError
from zoogan.names import suggest_name

FILM_SUFFIXES = (".gif", ".mp4", ".mov", ".webm", ".mkv", ".avi")
WRITTEN_SUFFIXES = (".gif", ".mp4")


def is_film(path: Path) -> bool:
    """Return whether a path names a film rather than a photo."""
    return path.suffix.lower() in FILM_SUFFIXES


def check_film(path: Path, option: str = "--film") -> None:
    """Check that a film can be written to a path, before its frames are made.

    Args:
        path: The file.
        option: The option that names it, for messages.

    Raises:
        ConfigError: The suffix is neither .gif nor .mp4, or nothing that writes MP4 is installed.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise ConfigError(f"{option} {path}: expected a file that ends in .gif or .mp4")
    missing = [name for name in ("imageio", "imageio_ffmpeg") if importlib.util.find_spec(name) is None]
    if suffix == ".mp4" and missing:
        raise ConfigError(
            f"{option} {path}: MP4 needs imageio with ffmpeg: pip install 'zoogan[film]', or write a .gif"
        )


def check_readable_film(path: Path) -> None:
    """Check that there is a film to read, and what reads it.

    Raises:
        ConfigError: There is no such file (with the nearest one beside it), or ffmpeg is missing.
    """
    if not path.is_file():
        names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{suggest_name(path.name, names)}")
    if path.suffix.lower() != ".gif" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ConfigError(f"{path}: reading it needs ffmpeg: pip install 'zoogan[film]', or give a .gif")
