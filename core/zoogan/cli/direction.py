"""`zoo direction`: the directions of attributes in the latents of a run that makes faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_with
from zoogan.config import ConfigError
from zoogan.names import suggest_name
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from zoogan.editors.directions import Direction
    from zoogan.runs.loaded import LoadedRun

FACES, SHARE = 4000, 0.1
DOUBTFUL = 0.7  # accuracy


def direction(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One that the judge reads; repeatable.")
    ] = None,
    conditional: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An attribute that edits shall leave as it is; repeatable."),
    ] = None,
    judge: Annotated[Path | None, typer.Option(help="A judge's folder; by default the one for the source.")] = None,
    faces: Annotated[int, typer.Option("-n", help="How many faces to make and read.")] = FACES,
    share: Annotated[float, typer.Option(help="Of the faces, the surest on each side that are learnt from.")] = SHARE,
    seed: Annotated[int, typer.Option(help="Of the first face; the next has the next seed.")] = 0,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Find the way in the latents along which faces gain an attribute; `zoo edit` then edits along it."""
    registry = open_with(plugin).registry
    check_numbers(attribute, faces, share)
    from zoogan.devices import choose_device
    from zoogan.runs.run import load

    loaded = load(run, device=choose_device(device), registry=registry)
    maker = loaded.maker
    names, others = list(dict.fromkeys(attribute or [])), list(dict.fromkeys(conditional or []))
    reader = judge_of(loaded, judge).to(loaded.device)
    check_names(names, others, reader.attributes, maker.attributes)
    latents, probabilities = read(loaded, reader, faces, seed)
    found, problems = fit_all(names, reader, latents, probabilities, share)
    known = maker.directions | found
    found, more = conditioned(found, others, known)
    facts = {
        "judge": reader.digest, "judge_faces": reader.facts.source, "seed": seed, "share": share,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    store(run, loaded, found, facts)
    if found:
        tell(run, found, known | found)
    if problems or more:
        raise ConfigError("\n".join(problems + more))


def check_numbers(attribute: Sequence[str] | None, faces: int, share: float) -> None:
    """That options are in range, before anything is opened.

    Raises:
        ConfigError: all that are not, at once.
    """
    from zoogan.editors.directions import FEWEST

    problems = [] if attribute else ["say of what: --attribute NAME, one that the judge reads"]
    if faces < 2 * FEWEST:
        problems.append(f"-n {faces}: expected {2 * FEWEST} faces or more, {FEWEST} of each kind at the least")
    if not 0 < share <= 0.5:
        problems.append(f"--share {share:g}: expected a share of the faces for each side, above 0 and up to 0.5")
    if problems:
        raise ConfigError("\n".join(problems))


def judge_of(run: LoadedRun, path: Path | None) -> Any:
    """The judge that was named, or that of the run's source in the cache.

    Raises:
        ConfigError: no judge.
    """
    from zoogan.evaluation.inputs import judge_for
    from zoogan.judges.judge import default_judge

    source, size = run.config.data.source, run.facts.image_size
    found = judge_for(path, source, size)
    if found is None:
        raise ConfigError(
            f"no judge reads {source} faces of {size} pixels yet (none in {default_judge(source, size)}): "
            f"`zoo judge train --data {source} --size {size}` makes one, or name one by --judge"
        )
    return found


def check_names(names: Sequence[str], others: Sequence[str], read: Sequence[str], known: Sequence[str]) -> None:
    """That the judge reads the attributes, and that the others have directions, or are about to.

    Raises:
        ConfigError: all that are not so, at once.
    """
    problems = [
        f"--attribute {name}: the judge does not read it{suggest_name(name, read)}; it reads {', '.join(read)}"
        for name in names
        if name not in read
    ]
    there = [*known, *(name for name in names if name not in known)]
    problems += [
        f"--conditional {name}: no direction of that name{suggest_name(name, there)}; fit it first, or in the same call"
        for name in others
        if name not in there
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def read(run: LoadedRun, reader: Any, faces: int, seed: int) -> tuple[Tensor, Tensor]:
    """Latents of made faces and what the judge reads off them, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from zoogan.editors.directions import read_faces

    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading faces", total=faces)
        return read_faces(run.maker, reader, faces, seed, lambda done: progress.update(task, completed=done))


def fit_all(
    names: Sequence[str], reader: Any, latents: Tensor, probabilities: Tensor, share: float
) -> tuple[dict[str, Direction], list[str]]:
    """(the directions that could be fitted; why the others could not)."""
    from zoogan.editors.directions import TooFew, fitted

    found, problems = {}, []
    for name in names:
        column = reader.attributes.index(name)
        try:
            found[name] = fitted(latents, probabilities[:, column], float(reader.thresholds[column]), share)
        except TooFew as error:
            problems.append(f"{name}: {error}; make more with -n, or train on faces with more of them")
    return found, problems


def conditioned(
    found: Mapping[str, Direction], others: Sequence[str], known: Mapping[str, Direction]
) -> tuple[dict[str, Direction], list[str]]:
    """(the directions without what they share with the others', each without its own name; why some cannot be so)."""
    from zoogan.editors.directions import conditional

    left, problems = {}, []
    for name, one in found.items():
        apart = [other for other in others if other != name]
        missing = [other for other in apart if other not in known]
        if missing:
            problems.append(f"{name}: not stored, for {' and '.join(missing)} could not be fitted")
            continue
        try:
            left[name] = conditional(one, {other: known[other] for other in apart}) if apart else one
        except ValueError as error:
            problems.append(f"{name}: {error}; leave --conditional out for it")
    return left, problems


def store(run: Path, loaded: LoadedRun, found: Mapping[str, Direction], facts: Mapping[str, Any]) -> None:
    """Write the directions into the run."""
    from zoogan.runs.latents import generator_digest, write_direction
    from zoogan.runs.run import RunFolder

    generator = generator_digest(loaded.maker)
    for name, one in found.items():
        write_direction(RunFolder(run).directions, name, one, {"generator": generator, **facts})


def tell(run: Path, found: Mapping[str, Direction], known: Mapping[str, Direction]) -> None:
    """How good the directions are, how much they are like others of the run, and what to do with them."""
    from zoogan.editors.directions import cosines

    rows = [
        [
            name, str(one.facts["with"]), str(one.facts["kept"]), f"{one.facts['accuracy']:.3f}",
            f"{one.sides[0]:.2f}", f"{one.sides[1]:.2f}", one.facts.get("conditional", ""),
            ", ".join(f"{other} {cosine:+.2f}" for other, cosine in cosines(one, known).items() if other != name),
        ]
        for name, one in found.items()
    ]  # fmt: skip
    faces = next(iter(found.values())).facts["faces"]
    print_table(
        ["attribute", "with it", "kept a side", "accuracy", "side 0", "side 1", "conditional on", "cosine with"],
        rows, f"{faces} faces; accuracy on every fifth of those kept; sides: distances to the plane, in w",
    )  # fmt: skip
    for name, one in found.items():
        if one.facts["accuracy"] < DOUBTFUL:
            typer.echo(
                f"note: {name}: the plane is hardly better than chance; edits along it will show little", err=True
            )
    first = next(iter(found))
    typer.echo(f"stored in {run / 'directions'}; now: zoo edit {run} --seed 0 --attribute {first}=1")
