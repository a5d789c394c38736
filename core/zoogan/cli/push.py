"""The verb `zoo push`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoogan.cli.arguments import PluginFiles, RunFolderArgument, open_host


def push(
    run: RunFolderArgument,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The model on the Hub.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make a new model private.")] = False,
    space: Annotated[bool, typer.Option("--space", help="Also make a Space: a page to edit with the run.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16, in half of the bytes.")] = False,
    plugin: PluginFiles = None,
) -> int:
    """Push a run to the Hugging Face Hub, with a card; `zoogan.load("owner/name")` opens it there."""
    registry = open_host(plugin).registry
    from zoogan.runs.opening import load
    from zoogan.workflows.push_run import push as push_run

    address = push_run(load(run, registry=registry), repository, private=private, space=space, half=half)
    typer.echo(f'{address}\nzoogan.load("{repository}") opens it')
    return 0
