"""The verb `zoo data crop`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Json, print_json, print_note
from zoogan.cli.data.progress import show_progress
from zoogan.config.models import MAX_SIDE
from zoogan.errors import ConfigError
from zoogan.pictures.box import parse_box

if TYPE_CHECKING:
    from zoogan.workflows.crop_data import CroppedFolder

SHOWN = 10  # of a long list of names, how many are printed


def crop(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder of the pictures.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the squares.", show_default=False)],
    box: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="The box of every picture, in pixels (default: the centre).")
    ] = None,
    face: Annotated[
        bool, typer.Option("--face", help="Find the largest face and frame it, as CelebA does; needs zoogan[face].")
    ] = False,
    faceless: Annotated[
        str, typer.Option(help="With --face, for pictures without a face: centre square, or skip.")
    ] = "centre",
    size: Annotated[
        int | None, typer.Option(min=1, max=MAX_SIDE, help="Side of the squares in pixels (default: as they are).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace squares that were made with other settings.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Crop every picture of a folder to a square, under the same name in another folder.

    Folders below ROOT are read too, and labels.csv is copied. The same command goes on where it was stopped.
    """
    if faceless not in ("centre", "skip"):
        raise ConfigError(f"--faceless {faceless}: expected centre or skip")
    parsed = None if box is None else parse_box(box)
    from zoogan.workflows.crop_data import crop_data

    with show_progress("picture") as watch:
        result = crop_data(
            root, out, box=parsed, face=face, faceless="skip" if faceless == "skip" else "centre", size=size,
            overwrite=overwrite, watch=watch,
        )  # fmt: skip
    if as_json:
        print_json(asdict(result) | {"folder": str(result.folder)})
    else:
        print_result(result, face, faceless)
    return 3 if result.problems else 0


def print_result(result: CroppedFolder, face: bool, faceless: str) -> None:
    """Print what was done, and the pictures that nobody should overlook."""
    kept = f", {result.kept} were there already" if result.kept else ""
    typer.echo(f"{result.folder}: {result.written} squares written{kept}")
    if face and result.written:
        left = "left out" if faceless == "skip" else "cropped to the centre"
        typer.echo(f"faces found: {result.faces}; without a face, {left}: {len(result.faceless)}")
        print_names(result.faceless)
    if result.passed_over:
        print_note("passed over: " + ", ".join(f"{count} {kind}" for kind, count in sorted(result.passed_over.items())))
    if result.problems:
        typer.echo(f"not cropped: {len(result.problems)}")
        print_names(result.problems)


def print_names(names: list[str]) -> None:
    """Print the first few of a list, indented, and how many more there are."""
    for name in names[:SHOWN]:
        typer.echo("  " + name.replace("\n", "\n    "))
    if len(names) > SHOWN:
        typer.echo(f"  ... and {len(names) - SHOWN} more (all with --json)")
