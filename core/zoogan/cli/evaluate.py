"""`zoo evaluate`: one honest report on a run's edits, or on the faces that it makes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.config import ConfigError, parse_sets
from zoogan.evaluation.inputs import (
    metric_configs,
    source_config,
)
from zoogan.evaluation.measure import FACES, apart_from, measure, way_of
from zoogan.names import suggest_name

if TYPE_CHECKING:
    from zoogan.evaluation.reports.report import Report


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[str | None, typer.Option(help="The source to measure on; by default the run's own.")] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the source.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Names with commas; by default all that need no download.")
    ] = None,
    judge: Annotated[Path | None, typer.Option(help="A judge's folder; by default the one for the source.")] = None,
    faces: Annotated[int, typer.Option(min=1, help="How many held-out faces at most, or how many samples.")] = FACES,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    styles: Annotated[
        str, typer.Option(help="Where styles come from: latent, or reference = other held-out faces.")
    ] = "latent",
    truncation: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far from the mean face samples may be; by default 1.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.KEY of the source or METRIC.KEY; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The report's folder; by default RUN/report, or one beside it for other faces or seeds."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Measure a run's edits of held-out faces, or the faces that it makes: report.json, and report.html to read."""
    zoo = open_with(plugin)
    from zoogan.devices import join_processes, shutdown_distributed
    from zoogan.evaluation.metrics.parts import parts_made
    from zoogan.evaluation.reports.report import replaced
    from zoogan.evaluation.study import shown_by
    from zoogan.interfaces import World
    from zoogan.runs.run import load

    if styles not in ("latent", "reference"):
        raise ConfigError(
            f"--styles {styles}: expected latent or reference{suggest_name(styles, ('latent', 'reference'))}"
        )
    sets = parse_sets(set_ or [])
    where = join_processes(device)
    loaded = load(run, checkpoint=checkpoint, device=where, registry=zoo.registry)
    settings = {k: v for k, v in sets.items() if k != "data"}
    shows, parts = shown_by(loaded.editor), bool(parts_made(loaded.editor))
    chosen = metric_configs(zoo.registry, metrics, settings, shows, parts)
    source = source_config(zoo.registry, loaded, data, root, sets.get("data", {}))
    guided = styles == "reference"
    apart = apart_from(loaded, source, checkpoint, seed)
    folder = out or run / "-".join(["report", *way_of(guided, truncation).split(), *apart])
    before = replaced(folder, chosen) if World().rank == 0 else []
    report, folder = measure(
        zoo.registry, loaded, run, source, chosen,
        judge=judge, faces=faces, seed=seed, out=folder, device=where, guided=guided, truncation=truncation,
    )  # fmt: skip
    measured = not chosen.keys() <= report.skipped.keys()
    if World().rank == 0 and measured:
        zoo.notify("zoo_evaluated", run=run, report=report.model_dump(mode="json"))
        tell(report, folder, parts_made(loaded.editor))
        if before:
            lost = ", ".join(before)
            typer.echo(f"note: replaced the report in {folder}, which had {lost} too; --out keeps both", err=True)
    shutdown_distributed()
    if not measured:
        if World().rank == 0:
            tell_skipped(report)
        asked = f"--metrics {metrics}: " if metrics else ""
        raise ConfigError(f"{asked}nothing could be measured, for the reasons said above; no report was written")


def tell(report: Report, folder: Path, parts: Collection[str] = ()) -> None:
    """The values as a table on the terminal, and where the page is. parts: whose rows are left to the page: they are
    many, and what is told of all parts together stands here."""
    from zoogan.evaluation.reports.page import number
    from zoogan.terminal.tables import print_table

    rows = [
        [v.name, v.attribute or "all", number(v.value), "" if v.low is None else f"{number(v.low)} to {number(v.high)}",
         str(v.n), v.note]
        for v in report.values
        if v.attribute not in parts
    ]  # fmt: skip
    print_table(["measure", "attribute", "value", "95 % interval", "faces", "note"], rows, title=report.about.run)
    tell_skipped(report)
    typer.echo(f"report: {folder / 'report.html'}")


def tell_skipped(report: Report) -> None:
    """Which metrics have no number, and why."""
    for name, reason in report.skipped.items():
        typer.echo(f"not measured: {name}: {reason}", err=True)
