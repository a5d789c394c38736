"""The verb `zoo data prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from zoogan.cli.arguments import Json, PluginFiles, open_host, print_json
from zoogan.cli.data.progress import show_progress
from zoogan.config import parse_sets
from zoogan.errors import ConfigError

SPLITS = ("train", "valid", "test")


def prepare(
    root: Annotated[Path | None, typer.Argument(metavar="ROOT", help="The folder of the source.")] = None,
    data: Annotated[str, typer.Option(help="The source: folder, folders, celeba, celebamask_hq.")] = "folder",
    size: Annotated[int, typer.Option(help="Side of the faces in pixels: data.image_size of the training.")] = 64,
    split: Annotated[
        list[str] | None, typer.Option(help="train (default), valid or test; repeatable.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the source, as for the training; repeatable."),
    ] = None,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> int:
    """Decode, crop and resize all faces once, into the cache folder, where trainings of this size find them.

    The same command goes on where it was stopped, and mends what is damaged.
    """
    splits = split or ["train"]
    if unknown := [name for name in splits if name not in SPLITS]:
        raise ConfigError(f"--split {unknown[0]}: expected train, valid or test")
    open_host(plugin)
    from zoogan.terminal.signals import StopSignals
    from zoogan.workflows.store_data import prepare_data

    with StopSignals("batch") as signals, show_progress("face") as watch:

        def report(done: int, faces: int) -> bool:
            watch(done, faces)
            return signals.received is not None

        results = prepare_data(
            root, data=data, size=size, splits=cast("tuple[Literal['train', 'valid', 'test'], ...]", tuple(splits)),
            settings=parse_sets(set_ or []), watch=report, show=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
    if as_json:
        print_json([{**result._asdict(), "folder": str(result.folder)} for result in results])
    else:
        for result in results:
            state = "" if result.is_complete else "; stopped: the same command goes on"
            typer.echo(f"{result.split}: {result.faces} faces, {result.made} made now{state}\n  {result.folder}")
    return 128 + signals.received if signals.received is not None else 0
