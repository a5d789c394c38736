"""Facts about the data, such as image size and attributes, which are read from the source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """Facts about the data that networks, conditions and editors use; stored in the run as facts.json.

    Attributes:
        image_size: Height and width in pixels, 16 or more.
        channels: Colour channels of an image.
        attributes: Names of the attributes, in the order of the label columns.
        exclusive: Groups of attributes of which a face shows at most one.
        domains: Names of the domains, by index; every face shows exactly one. Empty if the attributes make none.
        parts: Names of the classes of a segmentation, the background first; empty without one.
        transparent: Parts that light shines through.
        crop: Side of the centre square kept of a photo, as a share of its shorter side, above 0 and up to 1.
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
