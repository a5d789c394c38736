"""Edit photos with a run that edits photos: each photo in each style, or all styles in one film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import describe_missing_fields
from zoogan.pictures.film import check_film, make_style_frames, save_film
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, read_photo_files, save_image
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.photos import (
    Notify,
    Picture,
    ignore_note,
    make_free_path,
    read_run_photos,
    refuse_latent_files,
)

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
    seeds: Sequence[int] = (),
    references: Sequence[Path] = (),
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
        request: What to show: attribute names with values, or `domain`.
        seeds: Seeds of random styles; 0 if empty.
        references: Faces whose styles to take, instead of seeds.
        folder: Folder of the edits: `<photo>-edited.png`, and `-mask.png` and `-residual.png` if the edit has a mask.
        film: A GIF or MP4 file; all styles go into one film and no other file is written.
        segmentation: Save `-segmentation.png` too, for a run whose edits have one.
        notify: Called with one sentence for each likely problem.
        options: `strength`, `threshold` and `truncation` of `LoadedRun.edit`.

    Returns:
        The files written.

    Raises:
        ConfigError: No photos, unreadable files, styles that the run does not have, or attributes that it was not
            trained for.
    """
    if not photos:
        raise ConfigError(NO_PHOTO)
    if seeds and film is None and not run.editor.is_random:
        raise ConfigError("--seed has no effect: this run's edits are deterministic. Remove it")
    refuse_latent_files(photos)
    styles = read_photo_files(list(references))
    pictures = read_run_photos(run, photos, notify)
    if note := describe_missing_fields(run.editor):
        notify(note)
    choices = [StyleChoice(f"-like-{path.stem}", {"reference": style}) for path, style in zip(references, styles)]
    choices = choices or [StyleChoice(f"-seed-{k}" if len(seeds) > 1 else "", {"seed": k}) for k in seeds or [0]]
    if film is not None:
        return [save_edit_film(run, pictures, request, choices, film, options)]
    return save_edits(run, photos, pictures, request, choices, folder, options, segmentation)


def save_edits(
    run: LoadedRun,
    photos: Sequence[Path],
    pictures: Sequence[Picture],
    request: Mapping[str, Any],
    choices: Sequence[StyleChoice],
    folder: Path,
    options: Mapping[str, Any],
    segmentation: bool = False,
) -> list[Path]:
    """Edit each photo in each style, and save the edit, its mask and its residual, and perhaps its segmentation."""
    paths: list[Path] = []
    for photo, picture in zip(photos, pictures):
        for choice in choices:
            edit = run.edit(picture, **options, **choice.options, **request)
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


def check_edit_film(path: Path, styles: Sequence[Path | int]) -> None:
    """Check that a film of these styles can be made, before the run is opened.

    Raises:
        ConfigError: Fewer than two styles, an unknown file type, or a missing package for it.
    """
    check_film(path)
    if len(styles) < 2:
        raise ConfigError("--film goes from one style to the next: give --seed or --reference twice or more")


def save_edit_film(
    run: LoadedRun,
    pictures: Sequence[Picture],
    request: Mapping[str, Any],
    choices: Sequence[StyleChoice],
    path: Path,
    options: Mapping[str, Any],
) -> Path:
    """Save a film of the faces side by side, moving from each style to the next.

    Raises:
        ConfigError: The editor has no styles, or the run was not trained for the request.
    """
    edits = [run.edit(list(pictures), **options, **choice.options, **request) for choice in choices]
    if any("style" not in edit.extras for edit in edits):
        raise ConfigError("--film: this run's editor has no styles to go between")
    image = run.prepare_images(list(pictures))
    targets = run.resolve_targets(image, request)
    strength = {key: value for key, value in options.items() if key == "strength"}

    def show(style: Tensor) -> Tensor:
        return run.editor.apply(image, targets | {"style": style}, **strength).image

    return save_film(make_style_frames(image, [edit.extras["style"] for edit in edits], show), path)
