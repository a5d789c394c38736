"""Describes what the editor of a run can do, for programs that offer its controls to people."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from zoogan.config import LayoutUse
from zoogan.facts import Facts
from zoogan.interfaces import Editor
from zoogan.pictures.palette import choose_colours
from zoogan.runs.loaded import LoadedRun

Face = Literal["none", "photo", "layout"]


class _Description(BaseModel):
    """A frozen value; `model_dump_json()` makes JSON of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AttributeDescription(_Description):
    """An attribute that an edit can change.

    Attributes:
        name: Its name in a request.
        is_graded: Whether it takes values between 0 and 1; False = 0 or 1.
        is_removable: Whether it can be removed (value 0); False = only added.
        has_offset: Whether a request may say how much of its offset the edit takes, and name a template.
        clears: Attributes that it hides and therefore clears when it is newly set.
    """

    name: str
    is_graded: bool
    is_removable: bool = True
    has_offset: bool = False
    clears: tuple[str, ...] = ()


class PartDescription(_Description):
    """A part of a face.

    Attributes:
        name: Its name in a request.
        kinds: What can be taken of another face's part (`shape`, `texture`); empty = it cannot be taken.
        colour: Its colour in segmentations, as `#rrggbb`; None = it is in none.
    """

    name: str
    kinds: tuple[str, ...] = ()
    colour: str | None = None


class EditorDescription(_Description):
    """What the editor of a run can do.

    Attributes:
        method: The method.
        iteration: Completed iterations; None for weights that came from elsewhere.
        image_size: Side of its pictures in pixels.
        channels: Colour channels.
        crop: Side of the centre square that it edits, as a share of a photo's shorter side.
        edits: What an edit changes: a photo, the layout of a face, or the latents of a face, which are those of a
            generated face or are searched for a photo first.
        makes_faces: Whether it generates faces from seeds.
        layout: Whether the layout of a face may or must be given.
        reads_photos: Whether an edit depends on the photo; False = the layout is enough.
        attributes: The attributes that it edits. With `domains` they name these too.
        exclusive: Groups of attributes of which a face shows at most one.
        domains: The domains that it translates to.
        own_labels: Off what it reads the own attributes of a face, `none` = it cannot.
        takes_own: Whether own attributes may be given.
        reference: Faces whose style an edit may take.
        takes_whole_reference: Whether a reference alone is a request: everything of that face.
        drive: Faces whose pose and expression an edit may take.
        parts: The parts of its segmentations, and those that can be taken from another face.
        donors: Where the face of a taken part comes from.
        takes_seed: Whether an edit draws a style or codes from a seed.
        takes_strength: Whether there is a way between input and edit.
        truncates: What a truncation applies to: styles that edits draw, generated faces.
        makes_masks: Whether an edit has a mask, which a threshold makes hard.
        makes_segmentations: Whether an edit has a segmentation.
        makes_steps: Whether an edit with an offset shows its steps, as extras `basis` and `composite`.
        keeps_background: Whether the background of a photo can be kept.
        templates: Number of templates that an edit can name; 0 = none.
    """

    method: str
    iteration: int | None
    image_size: int
    channels: int
    crop: float
    edits: Literal["photos", "layouts", "latents"]
    makes_faces: bool
    layout: LayoutUse
    reads_photos: bool
    attributes: tuple[AttributeDescription, ...]
    exclusive: tuple[tuple[str, ...], ...]
    domains: tuple[str, ...]
    own_labels: Literal["none", "photo", "layout", "latents"]
    takes_own: bool
    reference: Face
    takes_whole_reference: bool
    drive: Face
    parts: tuple[PartDescription, ...]
    donors: tuple[Literal["seed", "photo"], ...]
    takes_seed: bool
    takes_strength: bool
    truncates: tuple[Literal["edits", "samples"], ...]
    makes_masks: bool
    makes_segmentations: bool
    makes_steps: bool
    keeps_background: bool
    templates: int


def describe_editor(run: LoadedRun) -> EditorDescription:
    """Describe what the editor of a run can do, from its properties alone.

    Args:
        run: An opened run.
    """
    editor, facts = run.editor, run.facts
    makes_faces = editor.can_sample or editor.also_samples or editor.paints_layouts
    other_face: Face = "photo" if editor.makes_images else "layout"
    knows_others = not (editor.makes_images and editor.needs_layout)  # of another photo the layout would be unknown
    return EditorDescription(
        method=run.config.method,
        iteration=run.iteration,
        image_size=facts.image_size,
        channels=facts.channels,
        crop=facts.crop,
        edits="latents" if editor.can_sample else "photos" if editor.makes_images else "layouts",
        makes_faces=makes_faces,
        layout="needed" if editor.needs_layout else "optional" if editor.takes_layout else "none",
        reads_photos=editor.reads_photos,
        attributes=_describe_attributes(editor),
        exclusive=editor.exclusive,
        domains=editor.domains,
        own_labels=_describe_own_labels(editor),
        takes_own=editor.takes_layout and bool(editor.attributes),
        reference=other_face if editor.takes_reference and knows_others else "none",
        takes_whole_reference=editor.takes_whole_reference and knows_others,
        drive=other_face if editor.takes_drive and knows_others else "none",
        parts=_describe_parts(editor, facts),
        donors=(("seed", "photo") if editor.takes_donor else ("seed",)) if editor.takes_parts else (),
        takes_seed=editor.is_random and not editor.can_sample,
        takes_strength=editor.takes_strength,
        truncates=(*(("edits",) if editor.takes_truncation else ()), *(("samples",) if makes_faces else ())),
        makes_masks=editor.makes_masks,
        makes_segmentations=bool(editor.parts),
        makes_steps=editor.takes_offset,
        keeps_background=editor.can_keep_background,
        templates=editor.templates,
    )  # fmt: skip


def _describe_attributes(editor: Editor) -> tuple[AttributeDescription, ...]:
    """Describe the attributes of an editor."""
    return tuple(
        AttributeDescription(
            name=name,
            is_graded=editor.grades_attributes,
            is_removable=name not in editor.added_only,
            has_offset=editor.takes_offset and name in editor.offset_attributes,
            clears=tuple(editor.clears.get(name, ())),
        )
        for name in editor.attributes
    )


def _describe_parts(editor: Editor, facts: Facts) -> tuple[PartDescription, ...]:
    """Describe the parts of an editor's segmentations, and those that have codes only."""
    names, kinds = editor.parts, editor.part_kinds
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in choose_colours(max(1, len(names)))]
    shown = [PartDescription(name=name, kinds=tuple(kinds.get(name, ())), colour=c) for name, c in zip(names, colours)]
    return (*shown, *(PartDescription(name=name, kinds=tuple(kinds[name])) for name in kinds if name not in names))


def _describe_own_labels(editor: Editor) -> Literal["none", "photo", "layout", "latents"]:
    """Describe off what an editor reads the own attributes of a face."""
    if not editor.attributes:
        return "none"
    if editor.measures_attributes:
        return "latents"
    if not editor.reads_labels:
        return "none"
    return "photo" if editor.makes_images else "layout"
