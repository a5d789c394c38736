"""`zoo import`: official weights become a run. No pickle is executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Model, PluginFiles, open_with
from zoogan.config import ConfigError, parse_sets
from zoogan.runs.imported import import_weights

if TYPE_CHECKING:
    pass


def import_(
    method: Model,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    weights: Annotated[list[Path], typer.Option(help="A file or folder of official weights; repeatable.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="What the weights cannot tell, such as data.attributes=Black_Hair,Male."
        ),
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A face to try weights on that can be read in two ways; repeatable. Without: drawn faces."),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Make a run from official weights, ready for `zoo edit` or `zoo sample`."""
    from zoogan.runs.folders import taken

    zoo = open_with(plugin)
    spec = zoo.method(method)
    if spec.importer is None:
        raise ConfigError(f"{method} has no importer of official weights")
    if why := taken(out):
        raise ConfigError(f"--out {out}: {why}; choose another folder")
    editor, notes = import_weights(zoo, spec, weights, parse_sets(set_ or []), out, photo or [])
    for note in notes:
        typer.echo(f"note: {note}")
    then = (
        f"make faces   zoo sample {out}"
        if editor.makes_faces
        else f"edit a photo zoo edit {out} PHOTO --attribute NAME=1"
    )
    typer.echo(f"imported into {out}\n  {then}")


# ---- which of two readings is right ----
