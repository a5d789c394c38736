"""The pictures of edits of generated faces: of one run, and of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.evaluation.study import iterate_generated
from zoogan.interfaces import Editor, GeneratedEdits, Study, World
from zoogan.pictures.sheet import enlarge_pixels, make_grid

FACES = 8  # rows of a sheet


def read_first_edits(editor: Editor, study: Study, attribute: str) -> GeneratedEdits | None:
    """Return the first batch of edits, the same on every process; None if every face shows the attribute already."""
    alone = replace(study, world=World.make_single())
    return next(iter(iterate_generated(editor, alone, attribute)), None)


def show_generated(edits: GeneratedEdits) -> dict[str, Float[Tensor, "n 3 s s"]]:
    """Make the columns of a sheet: the face, the basis, the edit, the composite, and the change."""
    columns = {"generated": edits.image}
    if edits.basis_image is not None:
        columns["basis"] = edits.basis_image
    columns["edit"] = edits.edited_image
    if edits.composite is not None:
        columns["composite"] = edits.composite
    columns["change x 3"] = (3 * (edits.edited_image - edits.image).abs() - 1).clamp(-1, 1)
    return columns


@torch.no_grad()
def make_generated_sheet(editor: Editor, study: Study, attribute: str) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of generated faces to which an attribute is added; None if every face shows it already.

    Args:
        editor: Generates and edits the faces.
        study: Which faces.
        attribute: The attribute to add.
    """
    edits = read_first_edits(editor, study, attribute)
    if edits is None:
        return None
    columns = show_generated(edits)
    faces = torch.stack([enlarge_pixels(column[:FACES].cpu()) for column in columns.values()], 1)
    return make_grid(faces, list(columns))


@torch.no_grad()
def make_generated_comparison(
    editors: Sequence[tuple[str, Editor]], studies: Sequence[Study], attribute: str
) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of the generated faces of every run and their edits.

    Args:
        editors: (name, editor) of each run. All make faces of the same seeds.
        studies: One for each editor.
        attribute: The attribute to add.

    Returns:
        The sheet; None unless all runs make faces of one size, or if one of them has no face to edit.
    """
    batches = [read_first_edits(editor, study, attribute) for (_, editor), study in zip(editors, studies)]
    edits = [batch for batch in batches if batch is not None]
    if len(edits) < len(editors) or len({batch.image.shape[-1] for batch in edits}) > 1:
        return None
    rows = min(FACES, *(len(batch.faces) for batch in edits))
    columns: dict[str, Tensor] = {}
    for (name, _), batch in zip(editors, edits):
        columns |= {f"{name}, generated": batch.image[:rows], f"{name}, edit": batch.edited_image[:rows]}
    return make_grid(torch.stack([enlarge_pixels(column.cpu()) for column in columns.values()], 1), list(columns))
