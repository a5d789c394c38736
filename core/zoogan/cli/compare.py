"""`zoo compare`: runs side by side, on the same faces."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Device, JudgeFolder, PluginFiles, open_host, print_note, resolve_address, split_option
from zoogan.config import parse_sets
from zoogan.evaluation.compare import compare as compare_runs
from zoogan.evaluation.inputs import FACES

if TYPE_CHECKING:
    from zoogan.evaluation.compare import Comparison


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            callback=resolve_address,
            help="Run folders or gallery:NAME; runs that differ only in their seed are joined.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Measure all runs on this source (default: compare their stored reports).")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the source.")] = None,
    metrics: Annotated[str | None, typer.Option(help="As for zoo evaluate.")] = None,
    judge: JudgeFolder = None,
    faces: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of held-out faces at most, or of samples.")
    ] = FACES,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    truncation: Annotated[float | None, typer.Option(min=0, max=1, help="As for zoo evaluate.")] = None,
    kind: Annotated[str | None, typer.Option(help="As for zoo evaluate.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for zoo evaluate.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("comparison"),
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Compare runs on the same faces or seeds: one table and one grid, only comparable numbers in a column."""
    open_host(plugin)
    command = shlex.join(["zoo", *sys.argv[1:]]) if Path(sys.argv[0]).name == "zoo" else "zoo compare"
    result = compare_runs(
        runs, data=data, root=root, metrics=split_option(metrics), judge=judge, faces=faces, seed=seed,
        truncation=truncation, kind=kind, settings=parse_sets(set_ or []), out=out, device=device, command=command,
        show=typer.echo,
    )  # fmt: skip
    print_comparison(result)
    for note in result.notes:
        print_note(note)
    typer.echo(f"comparison: {result.folder / 'compare.html'}")


def print_comparison(comparison: Comparison) -> None:
    """Print the first table of a comparison, and the differences between the keys of columns with one name."""
    from zoogan.evaluation.reports.comparison_text import list_key_differences, make_text_table
    from zoogan.terminal.tables import print_table

    headings, rows = make_text_table(comparison.entrants, comparison.headlines)
    print_table(headings, [[cell.replace("**", "") for cell in row] for row in rows])
    for line in list_key_differences(comparison.headlines):
        print_note(line)
