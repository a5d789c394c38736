"""The verb `zoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Checkpoint, PluginFiles, RunFolderArgument, announce_opening, open_host
from zoogan.plugins.pasting import quote_word


def export(
    run: RunFolderArgument,
    out: Annotated[Path, typer.Option(help="The folder to write; it must be empty or new.", show_default=False)],
    checkpoint: Checkpoint = None,
    plugin: PluginFiles = None,
) -> int:
    """Export a run to ONNX and .pt2 files, with a run.py that edits photos or makes faces without torch."""
    registry = open_host(plugin).registry
    announce_opening(run)
    from zoogan.runs.opening import load
    from zoogan.workflows.export_graphs import export_graphs

    export_graphs(load(run, checkpoint=checkpoint, registry=registry), out, notify=typer.echo)
    typer.echo(f"{out}: try: python {quote_word(out / 'run.py')} --help")
    return 0
