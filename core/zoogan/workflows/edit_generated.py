"""Edit generated faces: faces from seeds, latent files and inverted photos, along directions or by parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from zoogan.errors import ConfigError
from zoogan.interfaces import Edit
from zoogan.pictures.box import Box
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import read_photo_files, save_image
from zoogan.pictures.whole import read_whole_photo, save_whole_photo
from zoogan.runs.latents import LATENT_SUFFIX, read_latents
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.edit_in_photo import paste_edits, prepare_squares
from zoogan.workflows.faces import choose_boxes
from zoogan.workflows.invert import invert_in_batches
from zoogan.workflows.photo_outputs import FOLDER, PhotoJob, check_outputs, plan_jobs, plan_stems
from zoogan.workflows.photos import (
    Notify,
    describe_drawn_run,
    ignore_note,
    refuse_missing_photos,
)

STEPS = ("basis", "composite")  # images in the extras of an edit with an offset


@dataclass(frozen=True)
class Face:
    """A face to edit.

    Attributes:
        stem: Start of the names of its files.
        edit: The face with its latents.
        kind: Name under which the unedited face is saved; empty = it is not saved.
        job: The photo that the face was found in, and where its edit goes; None = the face is not from a photo.
        box: The square of that photo.
    """

    stem: str
    edit: Edit
    kind: str
    job: PhotoJob | None = None
    box: Box | None = None


def edit_generated(
    run: LoadedRun,
    photos: Sequence[Path],
    request: Mapping[str, Any],
    *,
    seeds: Sequence[int] = (),
    boxes: Sequence[Box] = (),
    crop: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    strength: float = 1.0,
    truncation: float | None = None,
    donor: Path | int | None = None,
    segmentation: bool = False,
    steps: bool = False,
    notify: Notify = ignore_note,
) -> list[Path]:
    """Edit faces of a run that makes faces, and save them.

    A photo comes back whole and at its own size: what differs between the found face and its edit is laid over it.

    Args:
        run: A run that makes faces.
        photos: Image files, whose latents are searched first, and latent files.
        request: What to change: attribute names with values, or `part` and `only`.
        seeds: Seeds of generated faces, instead of photos.
        boxes: The face to edit in each photo, at most one; see `edit_photos`.
        crop: Save the edited face of a photo as `<photo>-edited.png`, at the size of the run, instead of the photo.
        out: Folder of the edits: `<name>-edited.png`, for photos `<photo>.png`, see `edit_photos`; and the unedited
            face for photos and seeds. None = `edits`.
        overwrite: Replace files that exist. Without it a new edit in `edits` takes a free name.
        strength: 0 returns the input, 1 the edit.
        truncation: Distance of faces from seeds to the mean face, 0 to 1.
        donor: A file or a seed: the face whose parts to take.
        segmentation: Save `<name>-segmentation.png` too, in colours.
        steps: Save `<name>-basis.png`, the edit along the direction alone, and `<name>-composite.png` too, for a run
            that computes offsets.
        notify: Called with one sentence for each likely problem.

    Returns:
        The files written.

    Raises:
        ConfigError: Every mistake that can be found before a latent is searched, at once.
    """
    if problems := list_generated_problems(run, photos, seeds, request, truncation, segmentation):
        raise ConfigError("\n".join(problems))
    if len(boxes) > 1:
        raise ConfigError("--box: this run finds the latent of one face in a photo; give --box once")
    latent_files = [path for path in photos if path.suffix == LATENT_SUFFIX]
    pictures = [path for path in photos if path.suffix != LATENT_SUFFIX]
    refuse_missing_photos(pictures)
    kinds = ["inverted", *(STEPS if steps else ()), *(["segmentation"] if segmentation else [])]
    jobs = plan_jobs(pictures, [""], out, crop=crop, kinds=kinds)
    check_outputs(jobs, overwrite)
    folder = FOLDER if out is None else out
    others = [*(["made"] if seeds else []), "edited", *kinds[1:]]
    stems = plan_stems(
        [*(path.stem.removesuffix("-latent") for path in latent_files), *(f"seed-{seed}" for seed in seeds)],
        [f"-{kind}.png" for kind in others], out, overwrite=overwrite,
        taken=[path.name for job in jobs for path in job.possible_outputs],
    )  # fmt: skip
    stored = [
        replace(face, stem=stem)
        for face, stem in zip([*load_faces(run, latent_files), *generate_faces(run, seeds, truncation)], stems)
    ]
    inverted = invert_photos_to_faces(run, jobs, boxes, notify)
    donor_face = None if donor is None else load_donor(run, donor, truncation, notify)
    paths: list[Path] = []
    for face in chain(stored, inverted):  # photos last: each is saved as soon as its latent is found
        edit = run.edit(face.edit, strength=strength, donor=donor_face, **request)
        images = {face.kind: face.edit.image, "edited": edit.image}
        if steps:
            images |= {kind: edit.extras[kind] for kind in STEPS if kind in edit.extras}
        if segmentation and edit.segmentation is not None:
            images["segmentation"] = colour_segmentation(edit.segmentation, len(run.editor.parts))
        if face.job is not None and not crop:
            images.pop("edited")
            paths.append(save_edited_photo(face, edit))
        for kind, image in images.items():
            if kind:
                target = None if face.job is None else face.job.targets[0]
                name = folder / f"{face.stem}-{kind}.png" if target is None else target.name_square(f"-{kind}")
                paths.append(name)
                save_image(image[0], paths[-1])
    return paths


def save_edited_photo(face: Face, edit: Edit) -> Path:
    """Lay the edit of a face over its photo, and save the whole photo."""
    assert face.job is not None and face.box is not None
    whole, path = read_whole_photo(face.job.photo), face.job.targets[0].whole
    save_whole_photo(whole, paste_edits(whole.pixels, [face.box], face.edit.image, edit), path)
    return path


def list_generated_problems(
    run: LoadedRun,
    photos: Sequence[Path],
    seeds: Sequence[int],
    request: Mapping[str, str],
    truncation: float | None,
    segmentation: bool,
) -> list[str]:
    """List why the run cannot make the requested edit; see `edit_generated`."""
    problems = []
    if photos and seeds:
        problems.append("--seed makes faces and there are photos: leave one of them out")
    if truncation is not None and not seeds:
        problems.append("--truncation is for faces from seeds; these have their latents")
    elif truncation is not None and not 0 <= truncation <= 1:
        problems.append(f"--truncation {truncation:g}: expected a share from 0 (the mean face) to 1 (as drawn)")
    if segmentation and not run.editor.parts:
        problems.append("--segmentation: this run makes faces in one piece, without a segmentation: leave it out")
    try:
        run.editor.condition.parse({name: value for name, value in request.items() if name != "domain"})
    except ValueError as error:
        problems.append(str(error))
    return problems


def load_donor(run: LoadedRun, donor: Path | int, truncation: float | None, notify: Notify = ignore_note) -> Edit:
    """Load the face whose parts are taken: from a seed, a latent file or a photo."""
    if isinstance(donor, int):
        return run.sample(seed=donor, truncation=truncation)
    if donor.suffix == LATENT_SUFFIX:
        return load_faces(run, [donor])[0].edit
    refuse_missing_photos([donor])
    return next(iter(invert_photos_to_faces(run, plan_jobs([donor], [""], FOLDER, crop=True), (), notify))).edit


def load_faces(run: LoadedRun, files: Sequence[Path]) -> list[Face]:
    """Load faces from latent files."""
    edits = read_latents(files, run.synthesis_editor) if files else []
    return [Face(path.stem.removesuffix("-latent"), edit, "") for path, edit in zip(files, edits)]


def generate_faces(run: LoadedRun, seeds: Sequence[int], truncation: float | None) -> list[Face]:
    """Generate a face for each seed."""
    return [Face(f"seed-{seed}", run.sample(seed=seed, truncation=truncation), "made") for seed in seeds]


def invert_photos_to_faces(
    run: LoadedRun, jobs: Sequence[PhotoJob], boxes: Sequence[Box], notify: Notify = ignore_note
) -> Iterable[Face]:
    """Find the latents of photos, one batch after the other."""
    if not jobs:
        return []
    photos, squares, found = [job.photo for job in jobs], [], []
    for photo, picture in zip(photos, read_photo_files(photos)):
        try:
            chosen, notes = choose_boxes(picture, run.facts, boxes)
        except ConfigError as error:
            raise ConfigError(f"{photo}: {error}") from error
        for note in notes:
            notify(f"{photo}: {note}")
        found += chosen
        squares.append(prepare_squares(run, [picture], [chosen]))
    if drawn := describe_drawn_run(run, photos):
        notify(drawn)
    notify("finding the photos' latents first; `zoo invert` keeps them, for one edit after another")
    batches = invert_in_batches(run, photos, torch.cat(squares), notify=notify)
    faces = ((inversion, row) for batch, inversion in batches for row in range(len(batch)))
    return (
        Face(job.photo.stem, inversion.select(row), "inverted", job, box)
        for job, box, (inversion, row) in zip(jobs, found, faces)
    )
