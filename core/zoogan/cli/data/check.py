"""The verb `zoo data check`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Json, PluginFiles, open_host, print_json
from zoogan.cli.data.crop import print_names
from zoogan.cli.data.progress import show_progress
from zoogan.config.models import MAX_SIDE

if TYPE_CHECKING:
    from zoogan.workflows.check_data import DataReport

UNUSABLE = 3  # exit code of problems in the data
USES = {
    "train": "train {} to train on",
    "valid": "valid {} to choose settings by",
    "test": "test {} held out to measure on",
}


def check(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder of the data set.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(help="Source: celeba, celebamask_hq, folder, folders (default: recognised by the files)."),
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(metavar="A,B|all|none", help="Attributes (default: all that have both values).")
    ] = None,
    size: Annotated[
        int, typer.Option(min=16, max=MAX_SIDE, help="Side of the faces in pixels; smaller pictures are noted.")
    ] = 64,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting of the source, such as data.crop=0.8; repeatable."
        ),
    ] = None,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> int:
    """Decode every picture of a data set, and list every problem at once.

    The exit code is 3 if something would stop a training, else 0, and then the last line is the command that trains.
    """
    open_host(plugin)
    from zoogan.config import parse_sets
    from zoogan.workflows.check_data import check_data

    with show_progress("picture") as watch:
        report = check_data(
            root, data, attributes=attributes, size=size, settings=parse_sets(set_ or []), watch=watch
        )  # fmt: skip
    if as_json:
        print_json(asdict(report))
    else:
        print_report(report)
    return UNUSABLE if report.problems else 0


def print_report(report: DataReport) -> None:
    """Print a report for people."""
    typer.echo(f"{report.root}: {report.pictures} pictures, source {report.source} ({report.layout})")
    if report.splits:
        typer.echo("splits: " + ", ".join(USES[name].format(count) for name, count in report.splits.items() if count))
    for title, numbers in (("shorter side", report.sizes), ("colours", report.modes)):
        if numbers:
            typer.echo(f"{title}: " + ", ".join(f"{name} {count}" for name, count in numbers.items()))
    if report.labels:
        typer.echo("labels: " + ", ".join(f"{name} {100 * share:.3g} %" for name, share in report.labels.items()))
    if report.passed_over:
        typer.echo("passed over: " + ", ".join(f"{n} {kind}" for kind, n in sorted(report.passed_over.items())))
    for note in report.notes:
        typer.echo(f"note: {note}")
    if report.problems:
        typer.echo(f"problems: {len(report.problems)}")
        print_names(report.problems)
    else:
        typer.echo("no problems")
    if report.command is not None:
        typer.echo(f"train on it:\n  {report.command}")
