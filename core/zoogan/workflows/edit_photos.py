"""Edit photos with a run that edits photos: each photo in each style, or all styles in one film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import describe_missing_fields
from zoogan.pictures.film import make_style_frames, save_film
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, read_photo_files, save_image
from zoogan.runs.images import NORMALIZED
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.requests import EditInputs
from zoogan.workflows.edit_layouts import check_map_proportions, describe_other_number
from zoogan.workflows.photos import (
    Notify,
    Picture,
    ignore_note,
    make_free_path,
    read_run_photos,
    refuse_latent_files,
)

INPUTS = ("own", "donor")  # options of an edit that are no words of its request
NO_PHOTO = "no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE"


@dataclass(frozen=True)
class StyleChoice:
    """One of the requested styles.

    Attributes:
        ending: End of the names of its files, such as `-seed-3`.
        options: Options of `LoadedRun.edit` that choose the style.
    """

    ending: str
    options: Mapping[str, Any]


def edit_photos(
    run: LoadedRun,
    photos: Sequence[Path],
    request: Mapping[str, Any],
    *,
    layouts: Sequence[Path] = (),
    own: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    references: Sequence[Path] = (),
    donor: Path | int | None = None,
    folder: Path = Path("edits"),
    film: Path | None = None,
    segmentation: bool = False,
    notify: Notify = ignore_note,
    **options: Any,
) -> list[Path]:
    """Edit each photo in the style of each reference or seed, and save the edits.

    Args:
        run: A run that edits photos.
        photos: Image files.
        request: What to show: attribute names with values, `domain`, or `part` and `only`; empty = everything of the
            reference, for a run that takes whole references.
        layouts: For a run that takes layouts, the map of each face, in the order of the photos.
        own: Labels of the faces, 0 or 1 by attribute, for such a run.
        seeds: Seeds of random styles; 0 if empty.
        references: Faces whose styles to take, instead of seeds.
        donor: A file or a seed: the face whose parts to take.
        folder: Folder of the edits: `<photo>-edited.png`, and `-mask.png` and `-residual.png` if the edit has a mask.
        film: A GIF or MP4 file; all styles go into one film and no other file is written.
        segmentation: Save `-segmentation.png` too, for a run whose edits have one.
        notify: Called with one sentence for each likely problem.
        options: `strength`, `threshold`, `truncation` and `keep_background` of `LoadedRun.edit`.

    Returns:
        The files written.

    Raises:
        ConfigError: No photos, unreadable files, another number of maps than of photos, styles that the run does not
            have, or attributes that it was not trained for.
    """
    if not photos:
        raise ConfigError(NO_PHOTO)
    if seeds and film is None and not run.editor.is_random:
        raise ConfigError("--seed has no effect: this run's edits are deterministic. Remove it")
    if layouts and len(photos) != len(layouts):
        raise ConfigError(describe_other_number(photos, layouts))
    refuse_latent_files([*photos, *([donor] if isinstance(donor, Path) else [])])
    styles = read_photo_files(list(references))
    shared = dict(request) | ({} if own is None else {"own": own}) | read_donor(donor)
    pictures = read_run_photos(run, photos, notify)
    if note := describe_missing_fields(run.editor, ("segmentation",) if run.editor.takes_layout else ()):
        notify(note)
    choices = [StyleChoice(f"-like-{path.stem}", {"reference": style}) for path, style in zip(references, styles)]
    choices = choices or [StyleChoice(f"-seed-{k}" if len(seeds) > 1 else "", {"seed": k}) for k in seeds or [0]]
    maps = run.prepare_layouts(list(layouts)) if layouts else None
    check_map_proportions(run, photos, layouts, pictures)
    if film is not None:
        return [save_edit_film(run, pictures, shared, choices, film, options, maps)]
    return save_edits(run, photos, pictures, shared, choices, folder, options, segmentation, maps, notify)


def read_donor(donor: Path | int | None) -> dict[str, Any]:
    """Read the face whose parts are taken: the options of `LoadedRun.edit` that name it."""
    if donor is None:
        return {}
    return {"from_seed": donor} if isinstance(donor, int) else {"donor": read_photo_files([donor])[0]}


def save_edits(
    run: LoadedRun,
    photos: Sequence[Path],
    pictures: Sequence[Picture],
    request: Mapping[str, Any],
    choices: Sequence[StyleChoice],
    folder: Path,
    options: Mapping[str, Any],
    segmentation: bool = False,
    layouts: Tensor | None = None,
    notify: Notify = ignore_note,
) -> list[Path]:
    """Edit each photo in each style, and save the edit, its mask and its residual, and perhaps its segmentation."""
    paths: list[Path] = []
    for row, (photo, picture) in enumerate(zip(photos, pictures)):
        layout = None if layouts is None else layouts[row : row + 1]
        for choice in choices:
            edit = run.edit(picture, layout=layout, **options, **choice.options, **request)
            for note in edit.notes:
                notify(f"{photo}: {note}")
            images = {"edited": edit.image}
            if edit.mask is not None:
                images["mask"] = (2 * edit.mask - 1).expand(-1, 3, -1, -1)
                images["residual"] = 2 * edit.extras["residual"] - 1
            if segmentation and edit.segmentation is not None:
                images["segmentation"] = normalize_image(colour_segmentation(edit.segmentation, len(run.editor.parts)))
            for kind, image in images.items():
                paths.append(make_free_path(folder, photo.stem, f"{kind}{choice.ending}", paths))
                save_image(image[0], paths[-1])
    return paths


def save_edit_film(
    run: LoadedRun,
    pictures: Sequence[Picture],
    request: Mapping[str, Any],
    choices: Sequence[StyleChoice],
    path: Path,
    options: Mapping[str, Any],
    layouts: Tensor | None = None,
) -> Path:
    """Save a film of the faces side by side, moving from each style to the next.

    Raises:
        ConfigError: The editor has no styles, or the run was not trained for the request.
    """
    faces = run.prepare_images(list(pictures))
    edits = [
        run.edit(faces, layout=layouts, value_range=NORMALIZED, **options, **choice.options, **request)
        for choice in choices
    ]
    if any("style" not in edit.extras for edit in edits):
        raise ConfigError("--film: this run's editor has no styles to go between")
    words = {name: value for name, value in request.items() if name not in INPUTS}
    given = {name: value for name, value in request.items() if name in INPUTS}
    given |= {name: value for name, value in choices[0].options.items() if name == "reference" and not words}
    keep_background = bool(options.get("keep_background"))
    inputs = EditInputs(faces, layouts, keep_background=keep_background, value_range=NORMALIZED, **given)
    image, targets = run.prepare_edit(inputs, words)
    strength = {key: value for key, value in options.items() if key == "strength"}

    def show(style: Tensor) -> Tensor:
        return run.editor.apply(image, targets | {"style": style}, **strength).image

    return save_film(make_style_frames(image, [edit.extras["style"] for edit in edits], show), path)
