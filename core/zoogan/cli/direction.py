"""The verb `zoo direction`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from zoogan.cli.arguments import Device, JudgeFolder, PluginFiles, RunFolderArgument, open_host, print_note
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.plugins.pasting import quote_run, quote_word
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.editors.direction_fits import DirectionFit
    from zoogan.workflows.direction import FittedDirections

FACES, SHARE = 4000, 0.1
DOUBTFUL_ACCURACY = 0.7


def direction(
    run: RunFolderArgument,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An attribute that the judge reads; repeatable.")
    ] = None,
    conditional: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An attribute that edits should leave unchanged; repeatable."),
    ] = None,
    judge: JudgeFolder = None,
    faces: Annotated[int, typer.Option("-n", max=1_000_000, help="Number of faces to make and read.")] = FACES,
    share: Annotated[float, typer.Option(help="Share of the faces to fit on for each side: the surest.")] = SHARE,
    seed: Annotated[int, typer.Option(help="Seed of the first face; the next face has the next seed.")] = 0,
    fit: Annotated[
        str | None,
        typer.Option(help="How a plane is fitted: logistic, svm or mean_difference (default: logistic)."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A direction or displacements from elsewhere, .json or .npy; nothing is fitted then."),
    ] = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Find the direction in the latents along which faces gain an attribute; `zoo edit` then edits along it."""
    registry = open_host(plugin).registry
    check_fit_options(attribute, faces, share, fit, file)
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
            share=share, seed=seed, fit=cast("DirectionFit", fit or "logistic"), file=file,
            watch=lambda count: progress.update(task, completed=count),
        )  # fmt: skip
    if result.directions:
        print_directions(run, result)
    if result.problems:
        raise ConfigError("\n".join(result.problems))


def check_fit_options(
    attribute: Sequence[str] | None, faces: int, share: float, fit: str | None, file: Path | None
) -> None:
    """Check that options are in range and go together, before the run is opened.

    Raises:
        ConfigError: Every problem, at once.
    """
    from zoogan.editors.direction_fits import DIRECTION_FITS, MIN_FACES

    problems = [] if attribute else ["no attribute is named: add --attribute NAME, one that the judge reads"]
    if faces < 2 * MIN_FACES:
        problems.append(f"-n {faces}: expected {2 * MIN_FACES} faces or more, {MIN_FACES} of each kind at the least")
    if not 0 < share <= 0.5:
        problems.append(f"--share {share:g}: expected a share of the faces for each side, above 0 and up to 0.5")
    if fit is not None and fit not in DIRECTION_FITS:
        problems.append(f"--fit {fit}: expected {', '.join(DIRECTION_FITS)}{suggest_name(fit, DIRECTION_FITS)}")
    elif fit is not None and file is not None:
        problems.append(f"--fit {fit} has no effect with --file: the direction is in the file. Remove one of them.")
    if problems:
        raise ConfigError("\n".join(problems))


def print_directions(run: Path, result: FittedDirections) -> None:
    """Print how good the directions are, how similar to others of the run, and the command that uses them."""
    from zoogan.editors.directions import measure_cosines

    rows = []
    for name, fitted in result.directions.items():
        cosines = {k: cosine for k, cosine in measure_cosines(fitted, result.stored).items() if k != name}
        facts = fitted.facts
        rows.append([
            name, str(facts["fit"]), str(facts.get("with", "–")), str(facts.get("kept", "–")),
            f"{facts['accuracy']:.3f}" if "accuracy" in facts else "–",
            f"{fitted.sides[0]:.2f}", f"{fitted.sides[1]:.2f}", facts.get("conditional", ""),
            ", ".join(f"{other} {cosine:+.2f}" for other, cosine in cosines.items()),
        ])  # fmt: skip
    faces = next(iter(result.directions.values())).facts["faces"]
    print_table(
        ["attribute", "fit", "with it", "kept a side", "accuracy", "side 0", "side 1", "conditional on", "cosine with"],
        rows, f"{faces} faces; accuracy on {describe_accuracy_faces(result)}; sides: distances to the plane, in w",
    )  # fmt: skip
    for name, fitted in result.directions.items():
        if "sides_from" in fitted.facts:
            print_note(f"{name}: its plane and sides come from {fitted.facts['sides_from']}")
        if fitted.facts.get("accuracy", 1) < DOUBTFUL_ACCURACY:
            print_note(f"{name}: the plane is hardly better than chance; edits along it will show little")
    first = next(iter(result.directions))
    typer.echo(
        f"stored in {run / 'directions'}; now: zoo edit {quote_run(run)} --seed 0 --attribute {quote_word(first)}=1"
    )


def describe_accuracy_faces(result: FittedDirections) -> str:
    """Describe the faces on which `accuracy` was measured; a direction from a file was fitted on none of them."""
    is_given = any(one.facts["fit"] == "file" for one in result.directions.values())
    return "all of those kept" if is_given else "every fifth of those kept"
