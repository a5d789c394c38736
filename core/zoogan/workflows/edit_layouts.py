"""Edit the maps of the parts of faces with a run that edits layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.pictures.film import make_style_frames, save_film
from zoogan.pictures.opening import open_picture
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image
from zoogan.runs.images import NORMALIZED
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.requests import EditInputs
from zoogan.workflows.photo_outputs import FOLDER, check_no_replacement, plan_stems
from zoogan.workflows.photos import Notify, ignore_note, read_run_photos, refuse_latent_files


def edit_layouts(
    run: LoadedRun,
    photos: Sequence[Path],
    layouts: Sequence[Path],
    request: Mapping[str, Any],
    *,
    own: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    references: Sequence[Path] = (),
    folder: Path | None = None,
    overwrite: bool = False,
    film: Path | None = None,
    notify: Notify = ignore_note,
    **options: Any,
) -> list[Path]:
    """Edit the map of each face in the style of each reference or seed, and save the maps.

    Args:
        run: A run that edits layouts.
        photos: The photos of the faces; they may be left out for a run that reads none.
        layouts: The map of each face, in the order of the photos.
        request: Attribute names with values; empty = everything as in the reference.
        own: Labels of the faces, 0 or 1 by attribute; labels that are not given are read off the maps.
        seeds: Seeds of random styles; 0 if empty.
        references: Maps whose styles to take, instead of seeds.
        folder: Folder of the edits, `<photo>-layout.png`: palette PNGs that are maps again and look coloured. None =
            `edits`, where edits take free names.
        overwrite: Replace edits that exist, also the film.
        film: A GIF or MP4 file; all styles go into one film and no other file is written.
        notify: Called with one sentence for each likely problem.
        options: `strength`, `threshold` and `truncation` of `LoadedRun.edit`.

    Returns:
        The files written.

    Raises:
        ConfigError: Unreadable files, values that are no part of the run, another number of photos than of maps, or
            attributes that the run was not trained for.
    """
    if film is not None:
        check_no_replacement([film], overwrite)
    refuse_latent_files(photos)
    if photos and len(photos) != len(layouts):
        raise ConfigError(describe_other_number(photos, layouts))
    pictures: list[Tensor] | None = read_run_photos(run, photos, notify) if photos else None
    faces = run.prepare_images(pictures) if pictures else None
    layout = run.prepare_layouts(list(layouts))
    check_map_proportions(run, photos, layouts, pictures or [])
    styles: list[tuple[str, dict[str, Any]]] = [
        (f"-like-{path.stem}", {"reference": style[None]})
        for path, style in zip(references, run.prepare_layouts(list(references)) if references else ())
    ]
    styles = styles or [(f"-seed-{k}" if len(seeds) > 1 else "", {"seed": k}) for k in seeds or [0]]
    stems = [path.stem for path in photos] or [path.stem.removesuffix("-layout") for path in layouts]
    if film is None:
        place = (FOLDER if folder is None else folder).resolve()
        own_names = [path.name for path in layouts if path.parent.resolve() == place]
        endings = [f"-layout{ending}.png" for ending, _ in styles]
        stems = plan_stems(stems, endings, folder, overwrite=overwrite, taken=own_names)
    known: dict[str, Any] = {"layout": layout, "own": own, "value_range": NORMALIZED}
    edits = [run.edit(faces, **known, **options, **choice, **request) for _, choice in styles]
    if film is not None:
        return [save_layout_film(run, faces, layout, request, own, [e.extras["style"] for e in edits], film, options)]
    paths: list[Path] = []
    for row, stem in enumerate(stems):
        for (ending, _), edit in zip(styles, edits):
            assert edit.segmentation is not None
            paths.append((FOLDER if folder is None else folder) / f"{stem}-layout{ending}.png")
            save_layout(edit.segmentation[row], len(run.editor.parts), paths[-1])
    return paths


def describe_other_number(photos: Sequence[Path], layouts: Sequence[Path]) -> str:
    """Describe that there are not as many maps as photos."""
    return (
        f"{len(photos)} photos and {len(layouts)} maps of parts: give --layout FILE once for each photo, in the order "
        "of the photos"
    )


def check_map_proportions(
    run: LoadedRun, photos: Sequence[Path], layouts: Sequence[Path], pictures: Sequence[Tensor]
) -> None:
    """Check that maps have the proportions of their photos, so that both are cropped alike, or the size of the run.

    Raises:
        ConfigError: Names every map that does not.
    """
    checked = [describe_other_proportions(run, *one) for one in zip(photos, layouts, pictures)]
    if problems := [problem for problem in checked if problem is not None]:
        raise ConfigError("\n".join(problems))


def describe_other_proportions(run: LoadedRun, photo: Path, path: Path, picture: Tensor) -> str | None:
    """Describe that a map has neither the proportions of its photo nor the size of the run; None if it has.

    Args:
        run: The run.
        photo: The file of the photo.
        path: The file of the map.
        picture: The upright photo, (3, height, width).
    """
    height, width = picture.shape[-2:]
    with open_picture(path) as opened:
        w, h = opened.size
    if (w, h) == (run.facts.image_size,) * 2 or abs(w * height - h * width) <= max(height, width):
        return None
    return (
        f"{path}: {w} x {h}, but its photo {photo} is {width} x {height}; a map has the proportions of its photo. Cut "
        "both alike"
    )


def save_layout_film(
    run: LoadedRun,
    faces: Tensor | None,
    layout: Tensor,
    request: Mapping[str, Any],
    own: Mapping[str, Any] | None,
    styles: Sequence[Tensor],
    path: Path,
    options: Mapping[str, Any],
) -> Path:
    """Save a film of the coloured maps side by side, moving from each style to the next, below the given maps."""
    image, targets = run.prepare_edit(EditInputs(faces, layout, own, value_range=NORMALIZED), request)
    classes, strength = len(run.editor.parts), {k: v for k, v in options.items() if k == "strength"}

    def paint(segmentation: Tensor) -> Tensor:
        return normalize_image(colour_segmentation(segmentation, classes))

    @torch.no_grad()
    def show(style: Tensor) -> Tensor:
        edit = run.editor.apply(image, targets | {"style": style}, **strength)
        assert edit.segmentation is not None
        return paint(edit.segmentation)

    return save_film(make_style_frames(paint(layout.argmax(1)), styles, show), path)
