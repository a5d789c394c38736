"""A picture for the report of a maker of faces with parts: faces, segmentations, and one part replaced."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from zoogan.evaluation.metrics.part_leak import replaceable_parts
from zoogan.evaluation.metrics.parts import maker_of_parts, parts_made, reading
from zoogan.evaluation.reports.page import FACES
from zoogan.evaluation.study import samples_of
from zoogan.interfaces import Editor, Parser, Study, World
from zoogan.interfaces.metric import seeds_of
from zoogan.interfaces.synthesis import noise_among
from zoogan.pictures.palette import coloured, colours
from zoogan.pictures.photo import enlarged, grid, to_range

SHOWN = "hair"  # the part that is replaced, where faces have it


@torch.no_grad()
def part_sheet(editor: Editor, study: Study) -> UInt8[Tensor, "3 h w"] | None:
    """The first samples, their segmentation, the judge's reading of them, and what they become with one part of other
    faces; nothing is chosen. None for faces without parts."""
    if not parts_made(editor):
        return None
    maker = maker_of_parts(editor)
    samples = next(samples_of(editor, replace(study, world=World.alone()), min(FACES, study.faces)))
    made, parts, judge = samples.made.segmentation, maker.generator.parts, study.judge
    assert made is not None

    def drawn(segmentation: Tensor) -> Tensor:
        return to_range(coloured(segmentation.cpu(), len(parts)))

    columns = {"sample": samples.image, "its parts": drawn(made)}
    if isinstance(judge, Parser) and set(judge.parts) == set(parts):
        columns["the judge's reading"] = drawn(reading(judge, samples.image, parts, made))
    replaceable = replaceable_parts(maker.generator)
    part = SHOWN if SHOWN in replaceable else next(iter(replaceable), None)
    if part is not None:
        truncation = None if samples.truncation == 1 else samples.truncation
        donors = maker.sample(seeds_of(samples.seed + 1, samples.faces), truncation=truncation)
        kinds = tuple(maker.generator.part_rows[part])
        latents = maker.replaced(samples.made.extras["latents"], donors.extras["latents"], part, kinds)
        edit = maker.synthesise(latents, noise_among(samples.made.extras))
        assert edit.segmentation is not None
        columns |= {"another face": donors.image, f"its {part}": edit.image, "parts then": drawn(edit.segmentation)}
    return grid(torch.stack([enlarged(c.cpu()) for c in columns.values()], 1), list(columns))


def legend(editor: Editor) -> list[tuple[str, str]]:
    """The parts with their colours, `#rrggbb`."""
    parts = parts_made(editor)
    return [(part, "#{:02x}{:02x}{:02x}".format(*colour)) for part, colour in zip(parts, colours(max(1, len(parts))))]
