"""Trained runs for zoogan: `zoogan.load("gallery:NAME")`. Each name here is the path of a folder; nothing is imported.

The entry points of the group `zoogan.gallery` name these paths: `sd-gan = "zoogan_gallery:sd_gan"`.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def __getattr__(name: str) -> Path:
    """Return the folder of a run, of the judge or of the faces; a hyphen is an underscore here."""
    for folder in (FOLDER / name, FOLDER / "runs" / name.replace("_", "-")):
        if folder.is_dir() and not name.startswith("__"):
            return folder
    raise AttributeError(f"module {__name__!r} has no folder {name!r}")
