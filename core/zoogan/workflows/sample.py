"""Save generated faces: one sheet, a file for each face, a table of mixtures, or a film."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan.conditions.parts import LATENT_KINDS
from zoogan.config import check_root
from zoogan.config.registry import Registry
from zoogan.editors.sample_grid import read_sample_faces
from zoogan.errors import ConfigError
from zoogan.paths import expand_path
from zoogan.pictures.film import make_latent_frames, make_loop_frames, save_film
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, save_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid
from zoogan.runs.latents import LATENT_SUFFIX, hash_generator, write_latents
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import SAMPLE_BATCH, LoadedRun
from zoogan.workflows.photo_outputs import check_no_replacement


def set_sample_layouts(run: LoadedRun, registry: Registry, *, root: Path | None = None) -> None:
    """Let a run that paints layouts choose from those of held-out faces of its source.

    Args:
        run: A run that paints layouts.
        registry: Builds the source.
        root: Folder of the source; by default where training found it.

    Raises:
        ConfigError: The source cannot be read, or its faces have other parts than the run's.
    """
    check_root(run.config.data, root)
    moved = {} if root is None else {"root": expand_path(root).resolve()}
    try:
        source = registry.build("source", run.config.data.model_copy(update=moved))
        faces = read_sample_faces(source)
    except ConfigError as error:
        raise ConfigError(
            f"{error}\nGive the maps to paint with --layout MAP.png, or the folder with --root"
        ) from error
    if "segmentation" not in faces or source.parts != run.facts.parts:
        raise ConfigError("the run's source has no maps of its parts: give the maps to paint with --layout MAP.png")
    run.editor.set_layouts(run.prepare_layouts(faces["segmentation"]))


def save_sample_sheet(run: LoadedRun, seeds: range, path: Path, *, overwrite: bool = False, **options: Any) -> Path:
    """Save one image of all faces, each with its seed below it.

    Args:
        run: A run that makes faces.
        seeds: Seeds of the faces.
        path: The image file.
        overwrite: Replace the file if it exists.
        options: `truncation`, `cutoff` and `layout` of `LoadedRun.sample`.

    Returns:
        `path`.

    Raises:
        ConfigError: The file exists.
    """
    check_no_replacement([path], overwrite)
    image = enlarge_pixels(run.sample(len(seeds), seed=seeds[0], **options).image)
    columns = min(len(seeds), math.ceil(math.sqrt(len(seeds))))
    strips = []
    for first in range(0, len(seeds), columns):
        row, captions = list(image[first : first + columns]), [f"seed {k}" for k in seeds[first : first + columns]]
        blanks = columns - len(row)
        strips.append(make_grid([row + [torch.ones_like(image[0])] * blanks], captions + [""] * blanks))
    save_image(torch.cat(strips, 1), path)
    return path


def save_samples(run: LoadedRun, seeds: range, folder: Path, *, overwrite: bool = False, **options: Any) -> list[Path]:
    """Save each face as `seed-7.png` and its latent as `seed-7-latent.safetensors`, which `zoo edit` reads.

    Args:
        run: A run that makes faces. One that edits photos saves no latents; if it paints layouts, it saves
            `seed-7-layout.png`.
        seeds: Seeds of the faces.
        folder: Folder of the files.
        overwrite: Replace files that exist.
        options: `truncation`, `cutoff` and `layout` of `LoadedRun.sample`.

    Returns:
        The files written.

    Raises:
        ConfigError: Files would be replaced; names them.
    """
    check_no_replacement([folder / f"seed-{seed}.png" for seed in seeds], overwrite)
    if not run.editor.can_sample:
        return save_painted_samples(run, seeds, folder, **options)
    generator_hash, paths = hash_generator(run.synthesis_editor), []
    known = {key: value for key, value in options.items() if value is not None}
    for first in range(0, len(seeds), SAMPLE_BATCH):
        batch = seeds[first : first + SAMPLE_BATCH]
        faces = run.sample(len(batch), seed=batch[0], **options)
        files = [folder / f"seed-{k}-latent{LATENT_SUFFIX}" for k in batch]
        write_latents(faces, files, generator_hash, [{"seed": k} | known for k in batch])
        for k, image, file in zip(batch, faces.image, files):
            path = folder / f"seed-{k}.png"
            save_image(image, path)
            paths += [path, file]
    return paths


def save_painted_samples(run: LoadedRun, seeds: range, folder: Path, **options: Any) -> list[Path]:
    """Save each painted face as `seed-7.png` and its layout as `seed-7-layout.png`; see `save_samples`."""
    faces, paths = run.sample(len(seeds), seed=seeds[0], **options), []
    for row, k in enumerate(seeds):
        paths.append(folder / f"seed-{k}.png")
        save_image(faces.image[row], paths[-1])
        if faces.segmentation is not None:
            paths.append(folder / f"seed-{k}-layout.png")
            save_layout(faces.segmentation[row], len(run.editor.parts), paths[-1])
    return paths


def save_mixing_table(
    run: LoadedRun,
    seeds: range,
    fine_seeds: Sequence[int],
    cut: int,
    path: Path,
    *,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Save a table of faces with the coarse latent rows of the left column and the fine rows of the top row.

    All faces use the generator's own noise.

    Args:
        run: A run that makes faces.
        seeds: Seeds of the left column.
        fine_seeds: Seeds of the top row.
        cut: The first latent row that comes from the top face.
        path: The image file.
        overwrite: Replace the file if it exists.
        options: `truncation` and `cutoff` of `LoadedRun.sample`.

    Returns:
        `path`.

    Raises:
        ConfigError: The file exists.

    Source:
        StyleGAN (Karras et al. 2019), figure 3.
    """
    check_no_replacement([path], overwrite)
    editor = run.synthesis_editor
    left, top = editor.draw_latents(seeds, **options), editor.draw_latents(list(fine_seeds), **options)
    heads = enlarge_pixels(editor.synthesise(top).image)
    rows = [[torch.ones_like(heads[0]), *heads]]
    for latents in left.split(1):
        mixed = editor.mix_latents(latents.expand(len(top), -1, -1), top, cut)
        rows.append(list(enlarge_pixels(torch.cat([editor.synthesise(part).image for part in (latents, mixed)]))))
    span = f"{seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''}"
    save_image(make_grid(rows, [f"coarse: {span}", *(f"fine: {k}" for k in fine_seeds)]), path)
    return path


def save_sample_film(
    run: LoadedRun,
    seeds: range,
    path: Path,
    *,
    part: str | None = None,
    only: str | None = None,
    segmentation: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Save a film that moves from face to face in w and back to the first, with the generator's own noise.

    Args:
        run: A run that makes faces.
        seeds: Seeds of the faces.
        path: A GIF or MP4 file.
        part: Only this part moves; the rest stays that of the first face.
        only: Only this kind of the part's latents moves: shape or texture.
        segmentation: Show the segmentation beside the face, in colours.
        overwrite: Replace the file if it exists.
        options: `truncation` and `cutoff` of `LoadedRun.sample`.

    Returns:
        `path`.

    Raises:
        ConfigError: The file exists, an unknown part or kind, or a run without segmentations.
    """
    check_no_replacement([path], overwrite)
    editor = run.synthesis_editor
    if segmentation and not editor.parts:
        raise ConfigError("--segmentation: this run makes faces in one piece, without a segmentation: leave it out")

    def show(latents: Tensor) -> Tensor:
        face = editor.synthesise(latents)
        if not segmentation or face.segmentation is None:
            return enlarge_pixels(face.image)
        layout = normalize_image(colour_segmentation(face.segmentation, len(editor.parts))).to(face.image)
        return torch.cat([enlarge_pixels(face.image), enlarge_pixels(layout)], 3)

    latents = editor.draw_latents(seeds, **options)
    if part is None:
        return save_film(make_latent_frames([*latents.split(1), latents[:1]], show), path)
    try:
        first = latents[:1].expand_as(latents)
        replaced = editor.replace_part(first, latents, part, (only,) if only else LATENT_KINDS)
        return save_film(make_loop_frames(replaced, show), path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
