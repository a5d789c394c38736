"""Facts: what the data says and nobody types twice."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """What networks, conditions and editors must know of the data; stored in the run as facts.json.

    image_size: height and width in pixels. attributes: names in the order of the label columns. exclusive: groups of
    attributes of which at most one is shown. domains: names of kinds of face that exclude each other, by index; every
    face shows one of them. Empty if the attributes make none. parts: names of the classes of a segmentation, the
    background first; empty without one. transparent: parts that light shines through. crop: the side of the centre
    square kept of a photo, as a share of its shorter side.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(ge=16)
    channels: int = 3
    attributes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    domains: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    transparent: tuple[str, ...] = ()
    crop: float = Field(1.0, gt=0, le=1)
