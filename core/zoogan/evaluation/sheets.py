"""The pictures of reports and comparisons: edits side by side with their inputs, samples beside real faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F

from zoogan.evaluation.study import iterate_edits, iterate_samples
from zoogan.interfaces import Editor, Edits, Study, World
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid

FACES = 8  # rows of a sheet of edits
CANDIDATES = 6 * FACES  # faces that are read to find rows of both kinds
ACROSS, DOWN = 12, 6  # faces in the sheet of samples
GUTTER = 24  # pixels between the runs of that sheet


@torch.no_grad()
def make_edit_sheet(editor: Editor, study: Study, attribute: str) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of faces with their edit, and with the true redraw and the mask where there are any.

    Edits that are segmentations alone are shown in colours, beside the segmentation of the input.

    Args:
        editor: Edits the faces.
        study: Which faces.
        attribute: The attribute to edit.

    Returns:
        The sheet; None if no face can be edited.
    """
    edits = next(iter(iterate_edits(editor, study, attribute, CANDIDATES)), None)
    if edits is None:
        return None
    rows = choose_rows(edits.target_value)
    columns = show_images(edits) if editor.makes_images else show_layouts(edits)
    return make_grid(torch.stack([enlarge_pixels(column[rows].cpu()) for column in columns.values()], 1), list(columns))


def show_images(edits: Edits) -> dict[str, Float[Tensor, "n 3 s s"]]:
    """Make the columns of a sheet of edits that are images."""
    columns = {"input": edits.image, "edit": edits.edited_image}
    if edits.true_redraw is not None:
        columns["true redraw"] = edits.true_redraw
    if edits.edit.mask is not None:
        columns["mask"] = (2 * edits.edit.mask - 1).expand_as(edits.image)
    columns["change x 3"] = (3 * (edits.edited_image - edits.image).abs() - 1).clamp(-1, 1)
    return columns


def show_layouts(edits: Edits) -> dict[str, Float[Tensor, "n 3 s s"]]:
    """Make the columns of a sheet of edits that are segmentations; what changed is white in the last one."""
    classes, before, after = len(edits.editor.parts), edits.segmentation, edits.edited_segmentation
    columns = {"input": edits.image}
    if before is not None:
        columns["its parts"] = paint_parts(before, classes)
    columns["edit"] = paint_parts(after, classes)
    if edits.true_segmentation is not None:
        columns["true redraw"] = paint_parts(edits.true_segmentation, classes)
    if before is not None:
        columns["change"] = (2 * (after != before).float() - 1)[:, None].expand_as(edits.image)
    return columns


def paint_parts(segmentation: Integer[Tensor, "n h w"], classes: int) -> Float[Tensor, "n 3 h w"]:
    """Colour a segmentation, as floats in [-1, 1]."""
    return normalize_image(colour_segmentation(segmentation, classes))


@torch.no_grad()
def make_comparison_sheet(
    editors: Sequence[tuple[str, Editor]], studies: Sequence[Study], attribute: str
) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of the same faces edited by every run; edits that are segmentations are shown in colours.

    The true redraw is shown only if it is the same for all runs, that is if all made the same edit.

    Args:
        editors: (name, editor) of each run.
        studies: One for each editor.
        attribute: The attribute to edit.

    Returns:
        The sheet; None unless all studies show the same faces.
    """
    batches = [
        next(iter(iterate_edits(editor, study, attribute, CANDIDATES)), None)
        for (_, editor), study in zip(editors, studies)
    ]
    edits = [batch for batch in batches if batch is not None]
    faces = choose_shared_faces(edits) if len(edits) == len(editors) else []
    if not faces:
        return None
    columns: dict[str, Tensor] = {}
    shows_parts = not any(editor.makes_images for _, editor in editors)
    for (name, _), batch in zip(editors, edits):
        rows = [batch.faces.tolist().index(face) for face in faces]
        redraw = show_truth(batch, shows_parts)
        redraw = None if redraw is None else redraw[rows].cpu()
        if not columns:
            columns["input"] = batch.image[rows].cpu()
            if shows_parts and batch.segmentation is not None:
                columns["its parts"] = paint_parts(batch.segmentation[rows], len(batch.editor.parts)).cpu()
            if redraw is not None:
                columns["true redraw"] = redraw
        if redraw is None or not torch.equal(redraw, columns.get("true redraw", redraw)):
            columns.pop("true redraw", None)
        if not torch.equal(batch.image[rows].cpu(), columns["input"]):
            return None
        shown = show_images(batch) if batch.editor.makes_images else show_layouts(batch)
        columns[name] = shown["edit"][rows].cpu()
    return make_grid(torch.stack([enlarge_pixels(column) for column in columns.values()], 1), list(columns))


def show_truth(edits: Edits, shows_parts: bool) -> Float[Tensor, "n 3 s s"] | None:
    """Return the true redraws, as images or as coloured segmentations; None if there are none."""
    if not shows_parts:
        return edits.true_redraw
    truth = edits.true_segmentation
    return None if truth is None else paint_parts(truth, len(edits.editor.parts))


def choose_shared_faces(edits: Sequence[Edits]) -> list[int]:
    """Choose the numbers of the faces to show among those that all batches hold; none if there are no such faces."""
    shared = set.intersection(*(set(batch.faces.tolist()) for batch in edits))
    if not shared:
        return []
    first = edits[0]
    rows = torch.tensor([row for row, face in enumerate(first.faces.tolist()) if face in shared])
    chosen: list[int] = first.faces[rows[choose_rows(first.target_value[rows].cpu())]].tolist()
    return chosen


@torch.no_grad()
def make_sample_sheet(editors: Sequence[tuple[str, Editor]], studies: Sequence[Study]) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of the first samples of every run beside real faces; nothing is selected.

    Args:
        editors: (name, editor) of each run. All make faces of the same seeds.
        studies: One for each editor; the real faces are the first held-out ones of the first study.

    Returns:
        The sheet; None unless all runs make faces of one size.
    """
    if len({study.source.image_size for study in studies}) > 1:
        return None
    first = studies[0]
    columns = min(max(2, ACROSS // (len(editors) + 1)), max(1, first.held_out_count // DOWN))
    rows = min(DOWN, first.held_out_count // columns)
    blocks = {
        name: next(iterate_samples(editor, replace(study, world=World.make_single()), rows * columns)).image
        for (name, editor), study in zip(editors, studies)
    }
    real = first.source.read(first.split, list(range(rows * columns)))
    blocks["real faces"] = normalize_image(real["image"])
    faces = [enlarge_pixels(block.cpu()).unflatten(0, (rows, columns)) for block in blocks.values()]
    sheet = make_grid(torch.cat(faces, 1), [text for name in blocks for text in (name, *[""] * (columns - 1))])
    width = sheet.shape[2] // len(blocks)  # the remainder is narrower than a gutter of the grid
    strips = sheet.tensor_split([width * k for k in range(1, len(blocks))], 2)
    return torch.cat([F.pad(strip, (0, GUTTER), value=255) for strip in strips[:-1]] + [strips[-1]], 2)


def choose_rows(values: Float[Tensor, " n"]) -> Int64[Tensor, " rows"]:
    """Choose rows to show: as many faces that gain the attribute as faces that lose it, where there are enough.

    Args:
        values: Values of the edited attribute that each face is to get, 0 or 1.
    """
    adding, removing = (values > 0.5).nonzero().flatten(), (values <= 0.5).nonzero().flatten()
    half = max(FACES // 2, FACES - min(len(adding), len(removing)))
    return torch.cat([adding[:half], removing[:half]])[:FACES]
