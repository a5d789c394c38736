"""Edit faces in a photo and give the whole photo back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.interfaces import Edit
from zoogan.pictures.box import Box
from zoogan.pictures.paste import paste_edit
from zoogan.pictures.photo import crop_photo, normalize_image, read_photo
from zoogan.runs.images import NORMALIZED
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.faces import choose_boxes
from zoogan.workflows.photos import Notify, Picture, describe_drawn_run, ignore_note


@dataclass(frozen=True)
class PhotoEdit:
    """The result of `edit_in_photo`.

    Attributes:
        photo: The whole photo with its edits, as bytes.
        boxes: The squares of the photo that were edited.
        edit: Their edits at the size of the run, one for each box.
    """

    photo: UInt8[Tensor, "3 h w"]
    boxes: tuple[Box, ...]
    edit: Edit


def edit_in_photo(
    run: LoadedRun,
    photo: str | Path | Image.Image | Picture,
    *,
    boxes: Sequence[Box] = (),
    seed: int = 0,
    notify: Notify = ignore_note,
    **options: Any,
) -> PhotoEdit:
    """Edit faces in a photo: `edit_in_photo(run, "me.jpg", Eyeglasses=1).photo`.

    The photo comes back whole and at its own size, see `zoogan.pictures.paste_edit`.

    Args:
        run: A run whose edits are images. One that makes faces finds the latents of the photo first.
        photo: A file, an open picture, or bytes (3, h, w).
        boxes: The faces to edit, in pixels of the upright photo; each gets the square around it. None = the largest
            face that the extra `zoogan[face]` finds, or else the centre square.
        seed: See `LoadedRun.edit`.
        notify: Called with one sentence for each likely problem.
        options: Further options of `LoadedRun.edit`.

    Returns:
        The photo and the edited squares.

    Raises:
        ConfigError: A run whose edits are maps of parts, a box outside the photo; see also `LoadedRun.edit`.
    """
    if not run.editor.makes_images:
        raise ConfigError("this run edits maps of parts, which are no photo: use run.edit(...).segmentation")
    picture = photo if isinstance(photo, Tensor) else read_photo(photo)
    squares, notes = choose_boxes(picture, run.facts, boxes, search=options.get("layout") is None)
    drawn = None if isinstance(photo, Tensor | Image.Image) else describe_drawn_run(run, [Path(photo)])
    for note in [*notes, *([] if drawn is None else [drawn])]:
        notify(note)
    before = prepare_squares(run, [picture], [squares])
    if run.editor.can_sample:
        face = run.find_latents(before, seed, NORMALIZED)
        edit, before = run.edit(face, seed=seed, **options), face.image
    else:
        edit = run.edit(before, seed=seed, value_range=NORMALIZED, **options)
    for note in edit.notes:
        notify(note)
    return PhotoEdit(paste_edits(picture, squares, before, edit), tuple(squares), edit)


def prepare_squares(
    run: LoadedRun, pictures: Sequence[Picture], boxes: Sequence[Sequence[Box]]
) -> Float[Tensor, "n c s s"]:
    """Prepare the squares of photos as the run sees them: all of the first photo, then those of the next.

    Args:
        run: The run.
        pictures: The photos.
        boxes: The squares of each photo.
    """
    squares = [crop_photo(picture, run.facts, box) for picture, some in zip(pictures, boxes) for box in some]
    return normalize_image(torch.stack(squares)).to(run.device)


def paste_edits(
    photo: Picture, boxes: Sequence[Box], before: Float[Tensor, "n c s s"], edit: Edit, first: int = 0
) -> Picture:
    """Lay the edits of the squares of a photo over it, one after the other.

    Args:
        photo: The photo.
        boxes: Its squares.
        before: The unedited squares of a batch.
        edit: The edits of that batch.
        first: The row of the first square in the batch.
    """
    for row, box in enumerate(boxes, first):
        mask = None if edit.mask is None else edit.mask[row]
        photo = paste_edit(photo, box, before[row], edit.image[row], mask)
    return photo
