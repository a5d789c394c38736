"""The verb `zoo data pack`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Json, PluginFiles, list_typed, open_host, print_json
from zoogan.cli.data.progress import show_progress
from zoogan.config import parse_sets
from zoogan.errors import ConfigError
from zoogan.plugins.pasting import quote_word

UNINDEXED = ("--data", "--size", "--shard-mb", "--seed", "--set")


def pack(
    context: typer.Context,
    root: Annotated[Path | None, typer.Argument(metavar="ROOT", help="The folder of the source.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the shards.", show_default=False)
    ] = None,
    data: Annotated[str, typer.Option(help="The source: folder, folders, celeba, celebamask_hq, drawn.")] = "folder",
    size: Annotated[
        int | None, typer.Option(help="Pack cropped squares of so many pixels (default: the files as they are).")
    ] = None,
    shard_mb: Annotated[int, typer.Option(min=1, max=1_000_000, help="MB from which the next shard begins.")] = 64,
    seed: Annotated[int, typer.Option(help="Decides the order of the faces.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the source, such as data.attributes=Male."),
    ] = None,
    index: Annotated[
        bool, typer.Option("--index", help="Make the index of tar files that lie in ROOT, and pack nothing.")
    ] = False,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> int:
    """Pack faces into shuffled tar files with an index, to train on from anywhere with --data shards."""
    if index == (out is not None):
        raise ConfigError("zoo data pack: give --out DIR to pack faces, or --index to index tar files that are there")
    if index and (typed := [name for name in list_typed(context) if name in UNINDEXED]):
        raise ConfigError(f"{', '.join(typed)}: no effect with --index, which packs nothing; remove it")
    open_host(plugin)
    from zoogan.workflows.store_data import index_data, pack_data

    if index or out is None:
        if root is None:
            raise ConfigError("zoo data pack --index: say which folder, as ROOT")
        packed = index_data(root)
    else:
        with show_progress("face") as watch:
            packed = pack_data(
                root, out=out, data=data, size=size, shard_mb=shard_mb, seed=seed, settings=parse_sets(set_ or []),
                watch=watch,
            )  # fmt: skip
    if as_json:
        print_json({**asdict(packed), "folder": str(packed.folder)})
        return 0
    faces = ", ".join(f"{count} {split}" for split, count in packed.faces.items())
    side = f", squares of {packed.square} pixels" if packed.square else ""
    typer.echo(f"{packed.folder}: {packed.shards} shards, {-(-packed.bytes // 2**20)} MB, faces: {faces}{side}")
    typer.echo(f"  train on them  zoo train --model METHOD --data shards --root {quote_word(packed.folder)}")
    return 0
