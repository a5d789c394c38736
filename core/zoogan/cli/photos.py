"""A person's photos on the command line: read, warned about, and the names of what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import typer

from zoogan.config import ConfigError


def check_out(out: Path, sheet: bool) -> None:
    """That pictures can be written to `out`: a folder of them, or the one file of a sheet.

    Raises:
        ConfigError: a file where a folder is needed or the other way round, or a suffix that no picture has.
    """
    if not sheet:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out}: a file of that name is there; edits go into a folder")
        return
    from PIL import Image

    if out.is_dir():
        raise ConfigError(f"--out {out}: that is a folder; --grid writes one file, such as {out / 'grid.png'}")
    if Image.registered_extensions().get(out.suffix.lower()) not in Image.SAVE:
        raise ConfigError(f"--out {out}: no picture ends in {out.suffix!r}; name a file like {out.with_suffix('.png')}")


def refuse_latents(photos: Sequence[Path]) -> None:
    """That photos are photos, for a run that has no latents.

    Raises:
        ConfigError: files of latents.
    """
    files = [path for path in photos if path.suffix == ".safetensors"]
    if files:
        said = "a latent is for a run that makes faces, and this one edits photos"
        raise ConfigError("\n".join(f"{path}: {said}" for path in files))


def tell_crop(photo: Path, picture: Any, run: Any) -> None:
    """Say what makes a poor edit of a photo likely."""
    from zoogan.pictures.photo import crop_warnings

    for warning in crop_warnings(picture, run.facts):
        typer.echo(f"note: {photo}: {warning}", err=True)


def tell_wanted(run: Any, fields: Collection[str] = ()) -> None:
    """Say what a run was trained with that these faces have not. fields: what is known of them."""
    missing = [name for name in run.editor.wants if name not in fields]
    if missing:
        typer.echo(
            f"note: this run was trained with {', '.join(missing)} from files, and these faces have none: their edits "
            "keep no details by force and may look worse than the run's samples",
            err=True,
        )


def free_name(out: Path, stem: str, kind: str, written: list[Path]) -> Path:
    """`out/stem-kind.png`, numbered when two photos of one call share a stem."""
    path, number = out / f"{stem}-{kind}.png", 2
    while path in written:
        path, number = out / f"{stem}-{number}-{kind}.png", number + 1
    return path
