"""Arguments that several verbs share. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.completion import complete_model

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost


Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", autocompletion=complete_model, help="A model of `zoo list`.", show_default=False),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A single-file plugin to load as well.", show_default=False),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Checkpoint = Annotated[
    str | None, typer.Option(help="An iteration, or best; by default the model as training left it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_with(files: Sequence[Path] | None) -> PluginHost:
    """The zoo with `--plugin` files. A file that cannot be had is an error; other failures are only told.

    Raises:
        ConfigError: one of the files is no working plugin.
    """
    from zoogan.config import ConfigError
    from zoogan.plugins.host import get_zoo

    opened = get_zoo()
    others = len(opened.failures)
    opened.load_files(files or ())
    for failure in opened.failures[:others]:
        print(f"zoo: {failure}", file=sys.stderr)
    if opened.failures[others:]:
        raise ConfigError("\n".join(str(failure) for failure in opened.failures[others:]))
    return opened
