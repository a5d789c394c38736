"""The verb `zoo data preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Overwrite, PluginFiles, check_picture_output, open_host
from zoogan.cli.completion import complete_model
from zoogan.devices import check_device_name
from zoogan.errors import ConfigError

DRAWN = Path("drawn")
MOST_FACES = 64
DEFAULT = "preview.png"


def preview(
    root: Annotated[
        Path | None, typer.Argument(metavar="ROOT|drawn", help="The folder of the data set (default: drawn faces).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The method that is to train: see `zoo list`.", autocompletion=complete_model)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture (default: preview.png).")] = None,
    overwrite: Overwrite = False,
    data: Annotated[str | None, typer.Option(help="Source (default: recognised by the files).")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe of the method (default: as for the training).")] = None,
    faces: Annotated[int, typer.Option(help="Number of faces.")] = 8,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as data.crop=0.8; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device of the training; it may decide the recipe.")] = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Show the faces that a training would read: cropped, resized and augmented, with labels and parts."""
    if not 1 <= faces <= MOST_FACES:
        raise ConfigError(f"--faces {faces}: expected 1 to {MOST_FACES}")
    check_device_name(device)
    open_host(plugin)
    check_picture_output(out or Path(DEFAULT), sheet=True)
    from zoogan.config import parse_sets
    from zoogan.workflows.photo_outputs import choose_file
    from zoogan.workflows.preview_data import preview_data

    is_drawn = root is None or (root == DRAWN and not root.is_dir())
    source = "drawn" if is_drawn and data is None else data
    sheet = preview_data(
        None if is_drawn else root, choose_file(out, DEFAULT, overwrite), model, data=source, recipe=recipe,
        settings=parse_sets(set_ or []), faces=faces, overwrite=overwrite, device=device,
    )  # fmt: skip
    typer.echo(f"{sheet.path}\nrows, from the top: {', '.join(map(describe_row, sheet.rows))}")


def describe_row(row: str) -> str:
    """Describe a row `need: field`: the field, and the need where it is another one than the training faces."""
    need, _, field = row.partition(": ")
    return field if need == "source" else f"{field} of {need}"
