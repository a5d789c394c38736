"""Save one sheet of a run's edits, of photos or of its held-out faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan.config import check_root
from zoogan.config.registry import Registry
from zoogan.editors.sample_grid import read_sample_faces, save_sample_grid
from zoogan.errors import ConfigError
from zoogan.paths import expand_path
from zoogan.pictures.photo import normalize_image, quantize_image
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.requests import parse_own_labels
from zoogan.workflows.edit_layouts import describe_other_number
from zoogan.workflows.photo_outputs import check_no_replacement
from zoogan.workflows.photos import Notify, crop_photos, ignore_note, read_run_photos, refuse_latent_files


def save_edit_grid(
    run: LoadedRun,
    registry: Registry,
    path: Path,
    *,
    root: Path | None = None,
    photos: Sequence[Path] = (),
    layouts: Sequence[Path] = (),
    own: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    notify: Notify = ignore_note,
) -> Path:
    """Save the sample grid of photos, or of the run's held-out faces.

    Args:
        run: A run of any kind.
        registry: Builds the run's source.
        path: The image file.
        root: Folder of the source; by default where training found it.
        photos: Image files to show instead of held-out faces.
        layouts: For a run that edits layouts, the map of each face to show instead of held-out faces.
        own: Labels of these faces; those that are not given are read off the maps.
        overwrite: Replace the file if it exists.
        notify: Called with one sentence for each likely problem.

    Returns:
        `path`.

    Raises:
        ConfigError: The file exists, a missing source folder, unreadable photos, or photos whose labels the run cannot
            read.
    """
    check_no_replacement([path], overwrite)
    if layouts:
        save_sample_grid(run.editor, read_labelled_layouts(run, photos, layouts, own, notify), path)
        return path
    if photos:
        save_sample_grid(run.editor, read_labelled_photos(run, photos, notify), path)
        return path
    check_root(run.config.data, root)
    moved = {} if root is None else {"root": expand_path(root).resolve()}
    source = registry.build("source", run.config.data.model_copy(update=moved))
    save_sample_grid(run.editor, read_sample_faces(source), path)
    return path


def read_labelled_layouts(
    run: LoadedRun,
    photos: Sequence[Path],
    layouts: Sequence[Path],
    own: Mapping[str, Any] | None,
    notify: Notify = ignore_note,
) -> dict[str, Tensor]:
    """Read maps of parts, with given labels or those that the editor reads off them.

    Returns:
        `image`: bytes (n, 3, s, s), grey without photos; `segmentation` (n, s, s); `attributes` (n, a), 0 or 1.

    Raises:
        ConfigError: Unreadable files, or labels that are neither given nor can be read.
    """
    faces = run.prepare_images(list(read_run_photos(run, photos, notify))) if photos else None
    layout = run.prepare_layouts(list(layouts))
    if faces is not None and len(faces) != len(layout):
        raise ConfigError(describe_other_number(photos, layouts))
    size = run.facts.image_size
    image = layout.new_zeros(len(layout), run.facts.channels, size, size) if faces is None else faces
    labels = torch.full((len(layout), len(run.editor.attributes)), torch.nan, device=layout.device)
    for name, value in parse_own_labels(own or {}, run.editor.attributes).items():
        labels[:, run.editor.attributes.index(name)] = value
    try:
        read = run.editor.predict_labels(image if run.editor.makes_images else layout)
        labels = torch.where(labels.isnan(), read, labels)
    except ValueError as error:
        if bool(labels.isnan().any()):
            raise ConfigError(f"--grid: {error}") from error
    segmentation = layout.argmax(1).to(torch.uint8)
    return {"image": quantize_image(image), "segmentation": segmentation, "attributes": labels.cpu()}


def read_labelled_photos(run: LoadedRun, photos: Sequence[Path], notify: Notify = ignore_note) -> dict[str, Tensor]:
    """Read photos in the run's own crop, with the labels that its editor reads from them.

    Returns:
        `image`: bytes (n, 3, s, s); `attributes`: (n, a), 0 or 1.

    Raises:
        ConfigError: Unreadable photos, or an editor that reads no labels.
    """
    refuse_latent_files(photos)
    image = crop_photos(run, read_run_photos(run, photos, notify))
    try:
        return {"image": image, "attributes": run.editor.predict_labels(normalize_image(image).to(run.device))}
    except ValueError as error:
        raise ConfigError(
            f"--grid: {error}, so that it can show its held-out faces only: leave out the photos"
        ) from error
