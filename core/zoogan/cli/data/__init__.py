"""`zoo data`: look at a data set before training on it. The group imports no torch."""

from __future__ import annotations

import typer

from zoogan.cli.data.check import check
from zoogan.cli.data.crop import crop
from zoogan.cli.data.pack import pack
from zoogan.cli.data.prepare import prepare
from zoogan.cli.data.preview import preview

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Data sets: check, show and prepare the pictures before a training.",
)


@app.callback()
def data() -> None:
    """Data sets: check, show and prepare the pictures before a training."""


app.command("check")(check)
app.command("preview")(preview)
app.command("crop")(crop)
app.command("prepare")(prepare)
app.command("pack")(pack)
