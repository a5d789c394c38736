"""Save a sheet that shows a generated face part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from zoogan.editors.parts import PartialFace, iterate_partial_faces
from zoogan.errors import ConfigError
from zoogan.interfaces.synthesis import collect_noise
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, save_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid
from zoogan.runs.latents import read_latents
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.photo_outputs import check_no_replacement


@dataclass(frozen=True)
class PartSheet:
    """A saved sheet.

    Attributes:
        path: The image file.
        rows: Names of its rows, from the top.
    """

    path: Path
    rows: tuple[str, ...]


def save_part_sheet(
    run: LoadedRun,
    path: Path,
    *,
    seed: int = 0,
    truncation: float | None = None,
    latents: Path | None = None,
    overwrite: bool = False,
) -> PartSheet:
    """Save a sheet with one column for each part: the face so far, its segmentation, the part's mask and depth.

    Args:
        run: A run that makes faces of parts.
        path: The image file.
        seed: Seed of the face.
        truncation: Distance of the face to the mean face, 0 to 1.
        latents: A latent file of the face, instead of a seed.
        overwrite: Replace the file if it exists.

    Returns:
        The sheet.

    Raises:
        ConfigError: The file exists, the run's faces have no parts, or the latent file does not fit.
    """
    check_no_replacement([path], overwrite)
    editor = run.synthesis_editor
    if latents is None:
        face = run.sample(seed=seed, truncation=truncation)
    else:
        face = read_latents([latents], editor)[0]
    if face.generator is not None:
        editor = editor.with_generator(face.generator)
    try:
        steps = list(iterate_partial_faces(editor.generator, face.extras["latents"], collect_noise(face.extras)))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    rows = render_rows(steps)
    save_image(
        make_grid(list(rows.values()), [f"+ {step.part}" if k else step.part for k, step in enumerate(steps)]), path
    )
    return PartSheet(path, tuple(rows))


def render_rows(steps: Sequence[PartialFace]) -> dict[str, list[Tensor]]:
    """Render the rows of the sheet: for each step an image (c, h, w) of one size.

    A mask is white where the part alone is visible. Each depth has its own scale: the nearest point of the part is
    white, the farthest black; a constant depth is grey.
    """
    size = steps[0].image.shape[-2:]

    def resize(plane: Tensor) -> Tensor:
        return enlarge_pixels(F.interpolate(plane[:, None].float(), size, mode="nearest-exact"))[0]

    rows = {"face": [enlarge_pixels(step.image)[0] for step in steps]}
    for step in steps:
        if step.segmentation is not None:
            layout = enlarge_pixels(normalize_image(colour_segmentation(step.segmentation, len(steps))))[0]
            rows.setdefault("segmentation", []).append(layout)
        if step.mask is not None:
            rows.setdefault("mask of the part", []).append(resize(step.mask))
        if step.depth is not None:
            low, high = step.depth.min(), step.depth.max()
            scaled = torch.where(high > low, 2 * (step.depth - low) / (high - low).clamp(min=1e-12) - 1, 0.0)
            rows.setdefault("depth of the part", []).append(resize(scaled))
    return rows
