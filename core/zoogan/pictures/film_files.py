"""The kinds of film files. Imports no torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from zoogan.errors import ConfigError


def check_film(path: Path) -> None:
    """Check that a film can be written to a path, before its frames are made.

    Args:
        path: The file.

    Raises:
        ConfigError: The suffix is neither .gif nor .mp4, or nothing that writes MP4 is installed.
    """
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise ConfigError(f"--film {path}: expected a file that ends in .gif or .mp4")
    missing = [name for name in ("imageio", "imageio_ffmpeg") if importlib.util.find_spec(name) is None]
    if suffix == ".mp4" and missing:
        raise ConfigError(f"--film {path}: MP4 needs imageio with ffmpeg: pip install 'zoogan[film]', or write a .gif")
