"""The verb `zoo direction`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_host, print_note
from zoogan.errors import ConfigError
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.workflows.direction import FittedDirections

FACES, SHARE = 4000, 0.1
DOUBTFUL_ACCURACY = 0.7


def direction(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An attribute that the judge reads; repeatable.")
    ] = None,
    conditional: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An attribute that edits should leave unchanged; repeatable."),
    ] = None,
    judge: Annotated[Path | None, typer.Option(help="A judge's folder (default: the one for the source).")] = None,
    faces: Annotated[int, typer.Option("-n", help="Number of faces to make and read.")] = FACES,
    share: Annotated[float, typer.Option(help="Share of the faces to fit on for each side: the surest.")] = SHARE,
    seed: Annotated[int, typer.Option(help="Seed of the first face; the next face has the next seed.")] = 0,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Find the direction in the latents along which faces gain an attribute; `zoo edit` then edits along it."""
    registry = open_host(plugin).registry
    check_fit_numbers(attribute, faces, share)
    from rich.console import Console
    from rich.progress import Progress

    from zoogan.devices import choose_device
    from zoogan.runs.opening import load
    from zoogan.workflows.direction import fit_directions

    loaded = load(run, device=choose_device(device), registry=registry)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading faces", total=faces)
        result = fit_directions(
            loaded, attribute or [], folder=run, conditional_on=conditional or [], judge=judge, faces=faces,
            share=share, seed=seed, watch=lambda count: progress.update(task, completed=count),
        )  # fmt: skip
    if result.directions:
        print_directions(run, result)
    if result.problems:
        raise ConfigError("\n".join(result.problems))


def check_fit_numbers(attribute: Sequence[str] | None, faces: int, share: float) -> None:
    """Check that options are in range, before the run is opened.

    Raises:
        ConfigError: Every problem, at once.
    """
    from zoogan.editors.directions import MIN_FACES

    problems = [] if attribute else ["no attribute is named: add --attribute NAME, one that the judge reads"]
    if faces < 2 * MIN_FACES:
        problems.append(f"-n {faces}: expected {2 * MIN_FACES} faces or more, {MIN_FACES} of each kind at the least")
    if not 0 < share <= 0.5:
        problems.append(f"--share {share:g}: expected a share of the faces for each side, above 0 and up to 0.5")
    if problems:
        raise ConfigError("\n".join(problems))


def print_directions(run: Path, result: FittedDirections) -> None:
    """Print how good the directions are, how similar to others of the run, and the command that uses them."""
    from zoogan.editors.directions import measure_cosines

    rows = []
    for name, fitted in result.directions.items():
        cosines = {k: cosine for k, cosine in measure_cosines(fitted, result.stored).items() if k != name}
        rows.append([
            name, str(fitted.facts["with"]), str(fitted.facts["kept"]), f"{fitted.facts['accuracy']:.3f}",
            f"{fitted.sides[0]:.2f}", f"{fitted.sides[1]:.2f}", fitted.facts.get("conditional", ""),
            ", ".join(f"{other} {cosine:+.2f}" for other, cosine in cosines.items()),
        ])  # fmt: skip
    faces = next(iter(result.directions.values())).facts["faces"]
    print_table(
        ["attribute", "with it", "kept a side", "accuracy", "side 0", "side 1", "conditional on", "cosine with"],
        rows, f"{faces} faces; accuracy on every fifth of those kept; sides: distances to the plane, in w",
    )  # fmt: skip
    for name, fitted in result.directions.items():
        if fitted.facts["accuracy"] < DOUBTFUL_ACCURACY:
            print_note(f"{name}: the plane is hardly better than chance; edits along it will show little")
    first = next(iter(result.directions))
    typer.echo(f"stored in {run / 'directions'}; now: zoo edit {run} --seed 0 --attribute {first}=1")
