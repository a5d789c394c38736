"""Configs of the compositors of SD-GAN. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig, ConfigModel, Names

Surface = Literal["cylinder", "lenses", "cap", "ears"]


class HeadPlace(ConfigModel):
    """Where heads are in aligned photos, as shares of the picture.

    Attributes:
        x: Place of the point between the eyes, from the left.
        y: Place of the point between the eyes, from the top.
        face_width: Width of the face.
    """

    x: float = Field(0.5, ge=0, le=1)
    y: float = Field(0.45, ge=0, le=1)
    face_width: float = Field(0.48, gt=0, le=1.5)


class TemplateBox(ConfigModel):
    """Where a PNG lies on the frontal head of the template frame, as shares of the frame.

    The frame is a square. The point between the eyes lies at 0.5 from the left and 0.45 from the top; the face is 0.43
    wide, and the chin lies at 0.77 from the top.

    Attributes:
        x: Place of the middle of the PNG, from the left.
        y: Place of the middle of the PNG, from the top.
        width: Width of the PNG; its height follows from its own proportions.
    """

    x: float = Field(0.5, ge=0, le=1)
    y: float = Field(0.5, ge=0, le=1)
    width: float = Field(1.0, gt=0, le=2)


class TemplateCompositorConfig(ComponentConfig):
    """Lays RGBA templates on faces.

    Attributes:
        templates: drawn = things that drawn faces wear; else a folder with `<attribute>/*.png`, frontal pictures with
            alpha.
        count: Templates of each attribute that are drawn. Of a folder all PNGs are taken.
        seed: Seed of the drawn templates.
        attributes: The attributes that have templates; null = those of the data of which there are some.
        placement: read = where the classifier reads the head; fixed = at `place`, for aligned photos.
        place: Where heads are, for `placement: fixed`.
        places: The same for single attributes, by name.
        boxes: Where the PNGs of an attribute lie on the template frame; default: they fill it.
        surfaces: How the templates of an attribute lie on the head: cylinder = they cling to the face, lenses = as
            glasses, cap = as a hat, ears = as earrings. Default by name; of unknown attributes cylinder.
    """

    use: Literal["templates"] = "templates"
    templates: str = "drawn"
    count: int = Field(64, ge=1, le=4096)
    seed: int = 0
    attributes: Names | None = None
    placement: Literal["read", "fixed"] = "read"
    place: HeadPlace = HeadPlace()
    places: dict[str, HeadPlace] = Field(default_factory=dict)
    boxes: dict[str, TemplateBox] = Field(default_factory=dict)
    surfaces: dict[str, Surface] = Field(default_factory=dict)


class EditorCompositorConfig(ComponentConfig):
    """Takes the edits of another run as composites, for photos without templates.

    Attributes:
        stage: The stage that opened this run.
        attributes: The attributes to take; null = those of the data that the run edits.
        changed: For runs without masks: the mean change of the colours, in the range of [-1, 1], from which on a pixel
            counts as covered whole.
    """

    use: Literal["editor"] = "editor"
    stage: str = "editor"
    attributes: Names | None = None
    changed: float = Field(0.2, gt=0, le=2)


class NoCompositorConfig(ComponentConfig):
    """Makes no composites: edits are trained towards the classifier's reading alone."""

    use: Literal["none"] = "none"
