"""`zoo import`: make a run from official weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Model, PluginFiles, StageOptions, open_host


def import_(
    method: Model,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    weights: Annotated[
        list[Path], typer.Option(help="A file or folder of official weights, in any order; repeatable.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting that weights lack, such as data.attributes=Black_Hair,Male."
        ),
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A face to test ambiguous weights with; repeatable (default: drawn faces)."),
    ] = None,
    stage: StageOptions = None,
    plugin: PluginFiles = None,
) -> None:
    """Make a run from official weights, ready for `zoo edit` or `zoo sample`."""
    from zoogan.config import parse_sets
    from zoogan.training.configure import parse_stages
    from zoogan.training.importing import import_weights

    zoo = open_host(plugin)
    imported = import_weights(
        method, weights, out=out, settings=parse_sets(set_ or []), photos=photo or [], stages=parse_stages(stage or []),
        zoo=zoo,
    )  # fmt: skip
    for note in imported.notes:
        typer.echo(f"note: {note}")
    from zoogan.plugins.pasting import quote_run

    if imported.run.editor.can_sample:
        next_command = f"make faces   zoo sample {quote_run(out)}"
    else:
        next_command = f"edit a photo zoo edit {quote_run(out)} PHOTO --attribute NAME=1"
    typer.echo(f"imported into {out}\n  {next_command}")
