"""To be written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from zoogan.config import ComponentConfig


class DistributionConfig(ComponentConfig):
    """Edits or samples as a set against a set of real faces.

    weights: file of the network's weights, where it is not in the folder of metric weights. minimum: with fewer images
    on either side there is no number. draws: edits of each face by as many seeds, all of them in the set. pairs: each
    ordered pair of domains makes a set of its own, held against faces of the second; the number is the mean over pairs.
    """

    backbone: ClassVar[str]
    weights: Path | None = None
    minimum: int = Field(50, ge=2)
    draws: int = Field(1, ge=1)
    pairs: bool = False

    @property
    def immaterial(self) -> frozenset[str]:
        """Options that no number depends on. One draw and no pairs are what keys without a word of them mean."""
        usual = {name for name, value in {"draws": 1, "pairs": False}.items() if getattr(self, name) == value}
        return frozenset({"weights", "minimum", "download", "floor"} | usual)


class InceptionOptions(DistributionConfig):
    """Looks through the FID Inception. download: fetch its weights (91 MB) where no file is found."""

    backbone: ClassVar[str] = "inception"
    download: bool = True
