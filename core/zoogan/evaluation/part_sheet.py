"""The picture of faces made of parts: samples, their segmentations, and one part replaced."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from zoogan.evaluation.metrics.part_leak import list_replaceable_parts
from zoogan.evaluation.metrics.parts import list_parts, read_parts_like, require_part_editor
from zoogan.evaluation.sheets import FACES
from zoogan.evaluation.study import iterate_samples
from zoogan.interfaces import Editor, PartJudge, Study, World
from zoogan.interfaces.edits import make_face_seeds
from zoogan.interfaces.synthesis import collect_noise
from zoogan.pictures.palette import choose_colours, colour_segmentation
from zoogan.pictures.photo import normalize_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid

PREFERRED_PART = "hair"  # is replaced, where faces have it


@torch.no_grad()
def make_part_sheet(editor: Editor, study: Study) -> UInt8[Tensor, "3 h w"] | None:
    """Make a sheet of the first samples with their parts; nothing is selected.

    Columns: the sample, its segmentation, the judge's segmentation if it reads the same parts, another face, the sample
    with one part of that face, and its segmentation then.

    Args:
        editor: Makes the faces.
        study: The seeds and the judge.

    Returns:
        The sheet; None for faces without parts.
    """
    if not list_parts(editor):
        return None
    maker = require_part_editor(editor)
    samples = next(iterate_samples(editor, replace(study, world=World.make_single()), min(FACES, study.faces)))
    own, parts, judge = samples.edit.segmentation, maker.generator.parts, study.judge
    assert own is not None

    def paint(segmentation: Tensor) -> Tensor:
        return normalize_image(colour_segmentation(segmentation.cpu(), len(parts)))

    columns = {"sample": samples.image, "its parts": paint(own)}
    if isinstance(judge, PartJudge) and set(judge.parts) == set(parts):
        columns["the judge's reading"] = paint(read_parts_like(judge, samples.image, parts, own))
    replaceable = list_replaceable_parts(maker.generator)
    part = PREFERRED_PART if PREFERRED_PART in replaceable else next(iter(replaceable), None)
    if part is not None:
        truncation = None if samples.truncation == 1 else samples.truncation
        donors = maker.sample(make_face_seeds(samples.seed + 1, samples.faces), truncation=truncation)
        kinds = tuple(maker.generator.part_rows[part])
        latents = maker.replace_part(samples.edit.extras["latents"], donors.extras["latents"], part, kinds)
        edit = maker.synthesise(latents, collect_noise(samples.edit.extras))
        assert edit.segmentation is not None
        columns |= {"another face": donors.image, f"its {part}": edit.image, "parts then": paint(edit.segmentation)}
    return make_grid(torch.stack([enlarge_pixels(column.cpu()) for column in columns.values()], 1), list(columns))


def make_part_legend(editor: Editor) -> list[tuple[str, str]]:
    """List the parts of an editor's segmentations with their colours, `#rrggbb`; none for editors without parts."""
    parts = editor.parts
    return [
        (part, "#{:02x}{:02x}{:02x}".format(*colour)) for part, colour in zip(parts, choose_colours(max(1, len(parts))))
    ]
