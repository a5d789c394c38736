"""Fit the directions of attributes in the latent space of a run, and store them in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.editors.direction_fits import (
    DIRECTION_FITS,
    DirectionFit,
    TooFewFacesError,
    fit_direction,
    make_given_direction,
    read_sampled_faces,
    sample_latents,
)
from zoogan.editors.directions import Direction, make_conditional
from zoogan.errors import ConfigError
from zoogan.judges.judge import Judge, find_judge, get_judge_folder
from zoogan.names import suggest_name
from zoogan.plugins.gallery import check_outside_gallery
from zoogan.plugins.pasting import format_judge_command
from zoogan.runs.folder import RunFolder
from zoogan.runs.hub import name_fetched_run
from zoogan.runs.latents import hash_generator, write_direction
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.direction_file import read_displacements

FACES, SHARE = 4000, 0.1


@dataclass(frozen=True)
class FittedDirections:
    """The result of `fit_directions`.

    Attributes:
        directions: The new directions, by attribute.
        stored: All directions of the run, the new ones included.
        problems: One sentence for each attribute that has no direction.
    """

    directions: Mapping[str, Direction]
    stored: Mapping[str, Direction]
    problems: Sequence[str]


def fit_directions(
    run: LoadedRun,
    attributes: Sequence[str],
    *,
    folder: Path | None = None,
    conditional_on: Sequence[str] = (),
    judge: Path | None = None,
    faces: int = FACES,
    share: float = SHARE,
    seed: int = 0,
    fit: DirectionFit = "logistic",
    file: Path | None = None,
    watch: Callable[[int], None] | None = None,
) -> FittedDirections:
    """Generate faces, read attributes from them with a judge, and fit a direction for each attribute.

    With `file` the direction is that of somebody's displacements. Its plane and sides still come from generated faces,
    which need no judge; one that reads the attribute tells more.

    Args:
        run: A run that makes faces.
        attributes: Attributes that the judge reads; with `file`, the name of the one attribute.
        folder: The run folder in which to store the directions; None = they are not stored.
        conditional_on: Attributes that edits along the new directions should leave unchanged.
        judge: Folder of a judge; by default the cached one for the run's source.
        faces: Number of faces to generate.
        share: Share of the faces on each side that the fit uses, those with the surest readings.
        seed: Seed of the first face; the next face has the next seed.
        fit: How planes are fitted.
        file: A direction or displacements that were fitted elsewhere, see `read_displacements`; then nothing is fitted.
        watch: Called with the number of faces read so far.

    Returns:
        The directions, and why some attributes have none.

    Raises:
        ConfigError: No judge, names that it does not read or that have no direction, an unusable file, or a run of
            the gallery, which is not changed.
    """
    editor = run.synthesis_editor
    check_fit(fit)
    if folder is not None:
        check_outside_gallery(folder, f"{folder / 'directions'}")
        if name_fetched_run(folder):
            raise ConfigError(
                "this run was fetched from the Hub and is not changed; copy it with zoogan.load(...).save(FOLDER), and "
                "name the copy"
            )
    if fixed := [name for name in attributes if name in editor.fixed_directions]:
        raise ConfigError(
            f"--attribute {fixed[0]}: this run was trained with its own direction of it; name another attribute, or "
            "choose stages.boundary.fit in a new training"
        )
    names, others = list(dict.fromkeys(attributes)), list(dict.fromkeys(conditional_on))
    reader: Judge | None
    if file is None:
        reader = open_judge(run, judge).to(run.device)
        check_direction_names(names, others, reader.attributes, editor.attributes)
        latents, probabilities = read_sampled_faces(editor, reader, faces, seed, watch)
        directions, problems = fit_each(names, reader, latents, probabilities, share, fit)
    else:
        if len(names) != 1:
            given = ", ".join(names) or "none"
            raise ConfigError(f"--file {file}: holds one direction; name its attribute by one --attribute, got {given}")
        displacements = read_displacements(file, len(editor.mean_latent))
        reader = find_reader(run, judge, names[0])
        check_direction_names(names, others, names, editor.attributes)
        directions = {names[0]: place_direction(run, reader, names[0], displacements, faces, share, seed, file, watch)}
        problems = []
    stored = dict(editor.directions) | directions
    directions, more = make_each_conditional(directions, others, stored)
    if folder is not None:
        about = {} if reader is None else {"judge": reader.digest, "judge_faces": reader.facts.source}
        facts = about | {
            "seed": seed, "share": share,
            "date": datetime.now(UTC).isoformat(timespec="seconds"), "generator": hash_generator(editor),
        }  # fmt: skip
        for name, direction in directions.items():
            write_direction(RunFolder(folder).directions, name, direction, facts)
    return FittedDirections(directions, stored | directions, problems + more)


def check_fit(fit: str) -> None:
    """Check the name of a fit.

    Raises:
        ConfigError: There is no such fit.
    """
    if fit not in DIRECTION_FITS:
        hint = suggest_name(fit, DIRECTION_FITS)
        raise ConfigError(f"--fit {fit}: expected {', '.join(DIRECTION_FITS)}{hint}")


def find_reader(run: LoadedRun, judge: Path | None, attribute: str) -> Judge | None:
    """Find a judge that reads an attribute: the named one, or the cached one where it does.

    Raises:
        ConfigError: The named judge cannot be opened, or does not read the attribute.
    """
    reader, _ = find_judge(judge, run.config.data.source, run.facts.image_size)
    if reader is not None and judge is not None:
        check_direction_names([attribute], [], reader.attributes, [])
    return None if reader is None or attribute not in reader.attributes else reader.to(run.device)


def place_direction(
    run: LoadedRun,
    reader: Judge | None,
    name: str,
    displacements: Tensor,
    faces: int,
    share: float,
    seed: int,
    file: Path,
    watch: Callable[[int], None] | None,
) -> Direction:
    """Place a given direction among sampled faces, see `make_given_direction`; its facts name the file.

    Raises:
        ConfigError: The displacements cancel out.
    """
    editor = run.synthesis_editor
    try:
        if reader is None:
            direction = make_given_direction(displacements, sample_latents(editor, faces, seed, watch))
        else:
            latents, probabilities = read_sampled_faces(editor, reader, faces, seed, watch)
            column = reader.attributes.index(name)
            threshold = float(reader.thresholds[column])
            direction = make_given_direction(displacements, latents, probabilities[:, column], threshold, share)
    except ValueError as error:
        raise ConfigError(f"--file {file}: {error}") from error
    return replace(direction, facts={**direction.facts, "file": file.name})


def open_judge(run: LoadedRun, path: Path | None) -> Judge:
    """Open the named judge, or the cached one for the run's source.

    Raises:
        ConfigError: There is no judge.
    """
    source, size, root = run.config.data.source, run.facts.image_size, run.config.data.root
    judge, problem = find_judge(path, source, size)
    if judge is None:
        reason = problem or f"none in {get_judge_folder(source, size)}"
        raise ConfigError(
            f"no judge reads {source} faces of {size} pixels yet ({reason}): "
            f"`{format_judge_command(source, size, root=root)}` makes one, or name one by --judge"
        )
    return judge


def check_direction_names(
    names: Sequence[str], others: Sequence[str], readable: Sequence[str], fitted_names: Sequence[str]
) -> None:
    """Check that the judge reads the attributes, and that the others have directions or are about to.

    Raises:
        ConfigError: Every unknown name, at once.
    """
    problems = [
        f"--attribute {name}: the judge does not read it{suggest_name(name, readable)}; it reads {', '.join(readable)}"
        for name in names
        if name not in readable
    ]
    available = [*fitted_names, *(name for name in names if name not in fitted_names)]
    problems += [
        f"--conditional {name}: no direction of that name{suggest_name(name, available)}; fit it first, or in the "
        "same call"
        for name in others
        if name not in available
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def fit_each(
    names: Sequence[str], reader: Any, latents: Tensor, probabilities: Tensor, share: float, fit: DirectionFit
) -> tuple[dict[str, Direction], list[str]]:
    """Fit a direction for each attribute.

    Returns:
        The directions that could be fitted, and one sentence for each of the others.
    """
    directions, problems = {}, []
    for name in names:
        column = reader.attributes.index(name)
        try:
            threshold = float(reader.thresholds[column])
            directions[name] = fit_direction(latents, probabilities[:, column], threshold, share, fit)
        except TooFewFacesError as error:
            problems.append(f"{name}: {error}; make more with -n, or train on faces with more of them")
    return directions, problems


def make_each_conditional(
    directions: Mapping[str, Direction], others: Sequence[str], stored: Mapping[str, Direction]
) -> tuple[dict[str, Direction], list[str]]:
    """Make each direction orthogonal to the directions of other attributes.

    Args:
        directions: The new directions.
        others: Attributes that should stay unchanged; an attribute's own name is ignored.
        stored: All directions by attribute, the new ones included.

    Returns:
        The conditional directions, and one sentence for each that could not be made.
    """
    result, problems = {}, []
    for name, direction in directions.items():
        fixed = [other for other in others if other != name]
        missing = [other for other in fixed if other not in stored]
        if missing:
            problems.append(f"{name}: not stored, for {' and '.join(missing)} could not be fitted")
            continue
        try:
            result[name] = (
                make_conditional(direction, {other: stored[other] for other in fixed}) if fixed else direction
            )
        except ValueError as error:
            problems.append(f"{name}: {error}; leave --conditional out for it")
    return result, problems
