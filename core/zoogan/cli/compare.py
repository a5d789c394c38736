"""`zoo compare`: runs side by side, on the same faces."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_with
from zoogan.config import ConfigError, parse_sets
from zoogan.evaluation.inputs import check_pages, metric_configs, source_config
from zoogan.evaluation.measure import FACES, measure

if TYPE_CHECKING:
    from zoogan.evaluation.reports.comparison import Evaluated
    from zoogan.interfaces import Kind
    from zoogan.runs.loaded import LoadedRun


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several seeds of one are joined.")],
    data: Annotated[
        str | None, typer.Option(help="Measure all of them anew on this source; without it their reports are taken.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the source.")] = None,
    metrics: Annotated[str | None, typer.Option(help="As of zoo evaluate.")] = None,
    judge: Annotated[Path | None, typer.Option(help="A judge's folder; by default the one for the source.")] = None,
    faces: Annotated[int, typer.Option(min=1, help="How many held-out faces at most, or how many samples.")] = FACES,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    truncation: Annotated[float | None, typer.Option(min=0, max=1, help="As of zoo evaluate.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As of zoo evaluate.")] = None,
    out: Annotated[Path, typer.Option(help="The output folder.")] = Path("comparison"),
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Compare runs: one table and one grid, the same faces or seeds, only equal measurements in a column."""
    zoo = open_with(plugin)
    if len({run.resolve() for run in runs}) < 2:
        raise ConfigError("zoo compare needs two runs or more: zoo compare RUN RUN")
    names = [run.resolve().name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two of the runs are called {twice[0]}: the tables could not tell them apart; rename one")
    if data is None and (metrics or set_ or judge or root or seed or faces != FACES or truncation is not None):
        raise ConfigError("these options measure anew: say on which faces with --data SOURCE")
    check_pages()
    from zoogan.devices import choose_device
    from zoogan.runs.run import load

    sets = parse_sets(set_ or [])
    where = choose_device(device)
    loaded = [load(run, device=where, registry=zoo.registry) for run in runs]
    shows = shown_by_all(runs, loaded)
    shared = shared_attributes(runs, loaded) if shows == "edits" else []
    sources = [source_config(zoo.registry, run, data, root, sets.get("data", {})) for run in loaded]
    if data is None:
        from zoogan.evaluation.reports.comparison import read_evaluated

        evaluated = [read_evaluated(run / "report", name) for run, name in zip(runs, names)]
    else:
        from zoogan.evaluation.metrics.parts import parts_made

        settings = {k: v for k, v in sets.items() if k != "data"}
        parts = any(parts_made(run.editor) for run in loaded)
        chosen = metric_configs(zoo.registry, metrics, settings, shows, parts)
        only = faces_of_all(zoo.registry, loaded, sources, faces) if shows == "edits" else None
        evaluated = []
        for path, run, config in zip(runs, loaded, sources):
            folder = out / "reports" / path.resolve().name
            typer.echo(f"measuring {path}")
            report, _ = measure(
                zoo.registry, run, path, config, chosen,
                judge=judge, faces=faces, seed=seed, out=folder, device=where, attributes=shared,
                truncation=truncation, only=only,
            )  # fmt: skip
            if chosen.keys() <= report.skipped.keys():
                why = "\n".join(f"  {name}: {reason}" for name, reason in report.skipped.items())
                raise ConfigError(f"{path}: nothing could be measured, so there is nothing to compare:\n{why}")
            evaluated.append(read_folder(folder))
    try:
        pictures = grids(zoo.registry, runs, loaded, sources, shared, seed, where, truncation)
    except ConfigError as error:  # stored reports can be compared without their faces
        typer.echo(f"note: no pictures: {error}", err=True)
        pictures = {}
    write(out, evaluated, pictures)


def read_folder(folder: Path) -> Evaluated:
    """A report that was just written."""
    from zoogan.evaluation.reports.comparison import read_evaluated

    return read_evaluated(folder)


def shown_by_all(paths: list[Path], runs: list[LoadedRun]) -> Kind:
    """What is measured of every run.

    Raises:
        ConfigError: some make faces and some edit them.
    """
    from zoogan.evaluation.study import shown_by

    kinds = {path.resolve().name: shown_by(run.editor) for path, run in zip(paths, runs)}
    makers, editors = ([name for name, kind in kinds.items() if kind == wanted] for wanted in ("samples", "edits"))
    if makers and editors:
        raise ConfigError(
            f"{', '.join(makers)}: makes faces; {', '.join(editors)}: edits faces; no number tells of both, so compare "
            "those that make faces with each other, and those that edit them"
        )
    return "samples" if makers else "edits"


def shared_attributes(paths: list[Path], runs: list[LoadedRun]) -> list[str]:
    """The attributes that every run edits, in the order of the first.

    Raises:
        ConfigError: there are none.
    """
    shared = [name for name in runs[0].facts.attributes if all(name in run.facts.attributes for run in runs)]
    if not shared:
        edits = "\n".join(f"  {path}: {', '.join(run.facts.attributes)}" for path, run in zip(paths, runs))
        raise ConfigError(f"these runs have no attribute in common, so nothing can be compared:\n{edits}")
    return shared


def faces_of_all(registry: Any, runs: list[LoadedRun], sources: list[Any], faces: int) -> frozenset[int] | None:
    """Numbers of the faces that every run was made for; None = all. Told where some are left out.

    Raises:
        ConfigError: there are none.
    """
    from zoogan.evaluation.study import served_by_all

    shared = served_by_all([run.editor for run in runs], [registry.build("source", c) for c in sources], faces)
    if shared is not None:
        typer.echo(f"on the {len(shared)} held-out faces that all of these runs are made for")
    return shared


def grids(
    registry: Any,
    paths: list[Path],
    runs: list[LoadedRun],
    sources: list[Any],
    shared: list[str],
    seed: int,
    device: Any,
    truncation: float | None = None,
) -> dict[str, Any]:
    """For each shared attribute: the input, the true redraw if known, and every run's edit of the same faces. Of runs
    that make faces: their samples, beside real faces."""
    from zoogan.evaluation.reports.page import sample_sheet, side_by_side
    from zoogan.evaluation.study import open_study

    studies = [
        open_study(
            registry.build("source", config), config.source, seed=seed, device=device, editor=run.editor,
            truncation=1.0 if truncation is None else truncation,
        )
        for config, run in zip(sources, runs)
    ]  # fmt: skip
    editors = [(path.resolve().name, run.editor) for path, run in zip(paths, runs)]
    sheets = {name: side_by_side(editors, studies, name) for name in shared}
    if studies[0].shows == "samples":
        sheets = {"samples": sample_sheet(editors, studies)}
    return {name: sheet for name, sheet in sheets.items() if sheet is not None}


def write(out: Path, evaluated: list[Evaluated], pictures: dict[str, Any]) -> None:
    """compare.md, compare.json, compare.html and the grids; the table on the terminal too."""
    from zoogan.evaluation.reports.comparison import (
        columns_of,
        costs,
        entrants_of,
        heading,
        headlines,
        markdown,
        refusals,
        speed_of,
        text_of,
    )
    from zoogan.evaluation.reports.page import comparison_page
    from zoogan.files import replace_text
    from zoogan.pictures.photo import save_image
    from zoogan.terminal.tables import print_table

    entrants = entrants_of(evaluated)
    columns = columns_of(entrants)
    out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["zoo", *sys.argv[1:]]) if Path(sys.argv[0]).name == "zoo" else "zoo compare"
    replace_text(out / "compare.md", markdown(entrants, columns, command))
    replace_text(out / "compare.json", json.dumps({
        "command": command,
        "entrants": {e.name: [run.report.about.model_dump(mode="json") for run in e.runs] for e in entrants},
        "columns": [
            {"name": c.name, "attribute": c.attribute, "better": c.better, "key": c.key.model_dump(mode="json"),
             "apart": c.apart, "cells": {name: asdict(cell) for name, cell in c.cells.items()}}
            for c in columns
        ],
    }, indent=1))  # fmt: skip
    for name, picture in pictures.items():
        save_image(picture, out / f"grid-{name}.png")
    replace_text(out / "compare.html", comparison_page(entrants, columns, pictures, command))
    shown = headlines(columns)
    rows = [
        [
            entrant.name,
            *(text_of(column.cells.get(entrant.name)).replace("**", "") for column in shown),
            *costs(entrant),
        ]
        for entrant in entrants
    ]
    print_table(["run", *map(heading, shown), speed_of(entrants), "parameters"], rows)
    for line in refusals(shown):
        typer.echo(f"note: {line}", err=True)
    typer.echo(f"comparison: {out / 'compare.html'}")
