"""Facts: what the data says and nobody types twice."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """What networks, conditions and editors must know of the data; stored in the run as facts.json.

    image_size: height and width in pixels. attributes: names in the order of the label columns. exclusive: groups of
    attributes of which at most one is shown. domains: names of kinds of face that exclude each other, by index; every
    face shows one of them. Empty if the attributes make none. crop: the side of the centre square kept of a photo, as
    a share of its shorter side. parts: names of the classes of segmentations, in their order, the first for whatever
    nothing else covers. transparent: those that light shines through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(ge=16)
    channels: int = 3
    attributes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    domains: tuple[str, ...] = ()
    crop: float = Field(1.0, gt=0, le=1)
    parts: tuple[str, ...] = ()
    transparent: tuple[str, ...] = ()
