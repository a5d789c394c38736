"""Facts about the data, such as image size and attributes, which are read from the source."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from zoogan.errors import ConfigError

log = logging.getLogger("zoogan.runs")


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


def read_facts(folder: Path) -> Facts:
    """Read facts.json of a run; if it is damaged, the facts that are stored with the model.

    Raises:
        ConfigError: Both are damaged or missing.
    """
    file, model = folder / "facts.json", folder / "model" / "config.json"
    try:
        return Facts.model_validate_json(file.read_text())
    except (OSError, ValueError) as error:  # pydantic's errors are ValueErrors
        try:
            facts = Facts.model_validate(json.loads(model.read_text())["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"{file}: damaged ({reason}); `zoo train --out {shlex.quote(str(folder))} --resume` "
                "writes it anew from the data"
            ) from error
        log.warning("%s: damaged; using the facts in %s. Copy them, or resume the training, to mend it", file, model)
        return facts
