"""`zoo evaluate`: measure a run's edits, or the faces that it makes, and write a report to read."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import (
    Checkpoint,
    Device,
    Json,
    JudgeFolder,
    PluginFiles,
    RunFolderArgument,
    announce_opening,
    open_host,
    print_json,
    print_note,
    split_option,
)
from zoogan.config import parse_sets
from zoogan.devices import shutdown_distributed
from zoogan.errors import ConfigError
from zoogan.evaluation.evaluate import evaluate as evaluate_run
from zoogan.evaluation.inputs import FACES

if TYPE_CHECKING:
    from zoogan.evaluation.measure import Evaluation
    from zoogan.evaluation.reports.report import Report


def evaluate(
    run: RunFolderArgument,
    data: Annotated[str | None, typer.Option(help="Source to measure on (default: the run's own).")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the source.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Names with commas (default: all that need no download).")] = None,
    judge: JudgeFolder = None,
    faces: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of held-out faces at most, or of samples.")
    ] = FACES,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    styles: Annotated[
        str, typer.Option(help="Origin of styles: latent, or reference = other held-out faces.")
    ] = "latent",
    truncation: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far from the mean face samples may be, 0 to 1 (default: 1).")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="What to measure of a run that edits faces it generates: generated (default) or samples."),
    ] = None,
    inverted: Annotated[
        int, typer.Option(min=0, help="Number of held-out drawn faces to invert and edit too; slow (default: none).")
    ] = 0,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations of each inversion of --inverted (default: 200).")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, data.KEY of the source or METRIC.KEY; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report (default: RUN/report, or one beside it for other faces or seeds)."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> None:
    """Measure a run's edits of held-out faces, or the faces that it makes: report.json, and report.html to read."""
    open_host(plugin)
    announce_opening(run, is_silent=as_json or os.environ.get("RANK", "0") != "0")
    result = evaluate_run(
        run, data=data, root=root, metrics=split_option(metrics), judge=judge, faces=faces, seed=seed, styles=styles,
        truncation=truncation, kind=kind, inverted=inverted, iterations=iterations, settings=parse_sets(set_ or []),
        out=out, checkpoint=checkpoint, device=device,
    )  # fmt: skip
    from zoogan.interfaces import World

    is_main = World().rank == 0
    shutdown_distributed()
    if is_main:
        for note in result.notes:
            print_note(note)
        if result.is_measured and not as_json:
            print_values(result.report, result.parts)
        print_skipped(result.report)
        if result.is_measured and as_json:
            print_json(make_document(result))
        elif result.is_measured:
            typer.echo(f"report: {result.folder / 'report.html'}")
    if not result.is_measured:
        option = f"--metrics {metrics}: " if metrics else ""
        raise ConfigError(f"{option}nothing could be measured, for the reasons above; no report was written")


def make_document(result: Evaluation) -> dict[str, Any]:
    """Make the JSON of an evaluation: its numbers and files."""
    columns = {"name", "attribute", "value", "low", "high", "n", "better", "note"}
    return {
        "run": result.report.about.run,
        "values": [value.model_dump(mode="json", include=columns) for value in result.report.values],
        "skipped": dict(result.report.skipped),
        "files": [str(result.folder / name) for name in ("report.json", "report.html")],
    }


def print_values(report: Report, hidden: Collection[str] = ()) -> None:
    """Print the values of a report as a table.

    Args:
        report: Whose values.
        hidden: Attributes or parts whose rows are left to the page, because they are many.
    """
    from zoogan.evaluation.reports.scale import format_briefly
    from zoogan.terminal.tables import print_table

    rows = [
        [
            value.name,
            value.attribute or "all",
            format_briefly(value.value),
            "" if value.low is None else f"{format_briefly(value.low)} to {format_briefly(value.high)}",
            str(value.n),
            value.note,
        ]
        for value in report.values
        if value.attribute not in hidden
    ]
    print_table(["measure", "attribute", "value", "95 % interval", "faces", "note"], rows, title=report.about.run)
    for attribute, count in report.left_out.items():
        print_note(
            f"{attribute}: {count} of {report.faces} generated faces are left out, as the judge reads it on them"
        )


def print_skipped(report: Report) -> None:
    """Print which metrics have no number, and why."""
    for name, reason in report.skipped.items():
        typer.echo(f"not measured: {name}: {reason}", err=True)
