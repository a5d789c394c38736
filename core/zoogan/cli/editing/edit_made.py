"""`zoo edit` with a run that makes faces: photos, files of latents and faces from seeds, moved along directions, or
with parts of other faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zoogan.cli.photos import free_name, tell_crop
from zoogan.config import ConfigError
from zoogan.pictures.photo import read_all

if TYPE_CHECKING:
    from zoogan.interfaces import Edit
    from zoogan.runs.loaded import LoadedRun


Face = tuple[str, "Edit", str]  # the stem of its files, the face, and what its own picture is called, if it is saved


def edit_made(
    run: LoadedRun,
    photos: Sequence[Path],
    seeds: Sequence[int],
    wishes: Mapping[str, Any],
    out: Path,
    refused: Sequence[str],
    *,
    strength: float = 1.0,
    truncation: float | None = None,
    donor: Path | int | None = None,
    segmentation: bool = False,
) -> list[Path]:
    """Edit each face, and save `<name>-edited.png` and, for photos and seeds, what it was edited from.

    refused: options that such a run cannot follow, and that were given. truncation: of the faces from seeds. donor:
    whose parts to take, a file or a seed. segmentation: save `<name>-segmentation.png`, the edit's, in colours.

    Raises:
        ConfigError: every mistake that can be told before a latent is searched, at once.
    """
    from zoogan.pictures.palette import coloured
    from zoogan.pictures.photo import save_image

    files = [path for path in photos if path.suffix == ".safetensors"]
    pictures = [path for path in photos if path.suffix != ".safetensors"]
    check(run, photos, seeds, wishes, truncation, refused, segmentation)
    written: list[Path] = []
    made, found = from_seeds(run, seeds, truncation), from_photos(run, pictures)
    own = from_latents(run, files)
    other = None if donor is None else donor_of(run, donor, truncation)
    for stem, before, kind in chain(own, made, found):  # photos last, each saved once it is found
        edited = run.edit(before, strength=strength, donor=other, **wishes)
        shown = {kind: before.image, "edited": edited.image}
        if segmentation and edited.segmentation is not None:
            shown["segmentation"] = coloured(edited.segmentation, len(run.maker.parts))
        for name, image in shown.items():
            if name:
                written.append(free_name(out, stem, name, written))
                save_image(image[0], written[-1])
    return written


def donor_of(run: LoadedRun, donor: Path | int, truncation: float | None) -> Edit:
    """The face whose parts are taken; one from a seed is truncated as the others are."""
    if isinstance(donor, int):
        return run.sample(seed=donor, truncation=truncation)
    if donor.suffix == ".safetensors":
        return from_latents(run, [donor])[0][1]
    return next(iter(from_photos(run, [donor])))[1]


def check(
    run: LoadedRun,
    photos: Sequence[Path],
    seeds: Sequence[int],
    wishes: Mapping[str, str],
    truncation: float | None,
    refused: Sequence[str],
    segmentation: bool,
) -> None:
    """That the run can do what is asked for.

    Raises:
        ConfigError: everything that it cannot, at once.
    """
    problems = [
        f"{option}: this run makes faces; it edits them along directions and by parts only" for option in refused
    ]
    if photos and seeds:
        problems.append("--seed makes faces and there are photos: leave one of them out")
    if truncation is not None and not seeds:
        problems.append("--truncation is for faces from seeds; these have their latents")
    elif truncation is not None and not 0 <= truncation <= 1:
        problems.append(f"--truncation {truncation:g}: expected a share from 0 (the mean face) to 1 (as drawn)")
    if segmentation and not run.maker.parts:
        problems.append("--segmentation: this run makes faces in one piece, without a segmentation: leave it out")
    try:
        run.maker.condition.parse({name: value for name, value in wishes.items() if name != "domain"})
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def from_latents(run: LoadedRun, files: Sequence[Path]) -> list[Face]:
    """Faces from files of latents."""
    from zoogan.runs.latents import read_latents

    made = read_latents(files, run.maker) if files else []
    return [(path.stem.removesuffix("-latent"), edit, "") for path, edit in zip(files, made)]


def from_seeds(run: LoadedRun, seeds: Sequence[int], truncation: float | None) -> list[Face]:
    """Faces from seeds."""
    return [(f"seed-{seed}", run.sample(seed=seed, truncation=truncation), "made") for seed in seeds]


def from_photos(run: LoadedRun, photos: Sequence[Path]) -> Iterable[Face]:
    """Faces of photos, one batch after the other: their latents are found first."""
    if not photos:
        return []
    from zoogan.cli.invert import inverted

    pictures = read_all(list(photos))
    for photo, picture in zip(photos, pictures):
        tell_crop(photo, picture, run)
    typer.echo("finding the photos' latents first; `zoo invert` keeps them, for one edit after another", err=True)
    batches = inverted(run, list(photos), pictures)
    return ((photo.stem, found.row(row), "inverted") for some, found in batches for row, photo in enumerate(some))
