"""Fit the directions of attributes in the latent space of a run, and store them in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.editors.directions import Direction, TooFewFacesError, fit_direction, make_conditional, read_sampled_faces
from zoogan.errors import ConfigError
from zoogan.judges.judge import Judge, find_judge, get_judge_folder
from zoogan.names import suggest_name
from zoogan.runs.folder import RunFolder
from zoogan.runs.latents import hash_generator, write_direction
from zoogan.runs.loaded import LoadedRun

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
    watch: Callable[[int], None] | None = None,
) -> FittedDirections:
    """Generate faces, read attributes from them with a judge, and fit a direction for each attribute.

    Args:
        run: A run that makes faces.
        attributes: Attributes that the judge reads.
        folder: The run folder in which to store the directions; None = they are not stored.
        conditional_on: Attributes that edits along the new directions should leave unchanged.
        judge: Folder of a judge; by default the cached one for the run's source.
        faces: Number of faces to generate.
        share: Share of the faces on each side that the fit uses, those with the surest readings.
        seed: Seed of the first face; the next face has the next seed.
        watch: Called with the number of faces read so far.

    Returns:
        The directions, and why some attributes have none.

    Raises:
        ConfigError: No judge, or names that it does not read or that have no direction.
    """
    editor = run.synthesis_editor
    names, others = list(dict.fromkeys(attributes)), list(dict.fromkeys(conditional_on))
    reader = open_judge(run, judge).to(run.device)
    check_direction_names(names, others, reader.attributes, editor.attributes)
    latents, probabilities = read_sampled_faces(editor, reader, faces, seed, watch or (lambda count: None))
    directions, problems = fit_each(names, reader, latents, probabilities, share)
    stored = dict(editor.directions) | directions
    directions, more = make_each_conditional(directions, others, stored)
    if folder is not None:
        facts = {
            "judge": reader.digest, "judge_faces": reader.facts.source, "seed": seed, "share": share,
            "date": datetime.now(UTC).isoformat(timespec="seconds"), "generator": hash_generator(editor),
        }  # fmt: skip
        for name, direction in directions.items():
            write_direction(RunFolder(folder).directions, name, direction, facts)
    return FittedDirections(directions, stored | directions, problems + more)


def open_judge(run: LoadedRun, path: Path | None) -> Judge:
    """Open the named judge, or the cached one for the run's source.

    Raises:
        ConfigError: There is no judge.
    """
    source, size = run.config.data.source, run.facts.image_size
    judge, problem = find_judge(path, source, size)
    if judge is None:
        reason = problem or f"none in {get_judge_folder(source, size)}"
        raise ConfigError(
            f"no judge reads {source} faces of {size} pixels yet ({reason}): "
            f"`zoo judge train --data {source} --size {size}` makes one, or name one by --judge"
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
    names: Sequence[str], reader: Any, latents: Tensor, probabilities: Tensor, share: float
) -> tuple[dict[str, Direction], list[str]]:
    """Fit a direction for each attribute.

    Returns:
        The directions that could be fitted, and one sentence for each of the others.
    """
    directions, problems = {}, []
    for name in names:
        column = reader.attributes.index(name)
        try:
            directions[name] = fit_direction(latents, probabilities[:, column], float(reader.thresholds[column]), share)
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
