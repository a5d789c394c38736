"""The drawn faces as a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.data.config import DrawnData
from zoogan.data.drawn import ATTRIBUTES, EXCLUSIVE, DrawnFaces
from zoogan.facts import Facts
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split
from zoogan.registry import nearest

CACHE_BYTES = 1 << 30
FIRST = {"train": 0, "valid": 1_000_000_000, "test": 2_000_000_000}  # disjoint ranges of faces


class DrawnSource(Source):
    """Faces drawn when they are first asked for, and kept: they never change.

    Raises:
        ConfigError: attributes that are not drawn, or probabilities that make no sense.
    """

    fields: ClassVar[tuple[str, ...]] = ("image", "attributes", "visible", "segmentation")

    def __init__(self, config: DrawnData, facts: Facts | None = None) -> None:
        unknown = [name for name in config.attributes if name not in ATTRIBUTES]
        if unknown:
            raise ConfigError(
                "\n".join(f"data.attributes: faces are not drawn with {n!r}{nearest(n, ATTRIBUTES)}" for n in unknown)
                + f"\ndrawn attributes: {', '.join(ATTRIBUTES)}"
            )
        probabilities = dict(config.probabilities)
        if config.balance is not None:
            if config.balance not in config.attributes:
                raise ConfigError(f"data.balance: {config.balance!r} is none of data.attributes{nearest(config.balance, config.attributes)}")
        try:
            self.renderer = DrawnFaces(
                config.image_size, seed=config.seed, probabilities=probabilities, cooccurrence=config.cooccurrence
            )
        except ValueError as error:
            raise ConfigError(f"data: {error}") from error
        self.config, self.image_size, self.attributes = config, config.image_size, config.attributes
        self.columns = [ATTRIBUTES.index(name) for name in config.attributes]
        self.exclusive = tuple(
            kept for group in EXCLUSIVE if len(kept := tuple(name for name in group if name in config.attributes)) > 1
        )
        self._kept: dict[int, dict[str, Tensor]] = {}
        self._room = CACHE_BYTES // (4 * config.image_size**2)

    def size(self, split: Split) -> int:
        """As configured."""
        return self.config.faces if split == "train" else self.config.held_out

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """What is seen on each face, without drawing it."""
        first = FIRST[split]
        seen, _ = self.renderer.attributes(range(first, first + self.size(split)))
        return seen[:, self.columns].float()

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Draw the faces that are not kept yet, in one batch."""
        wanted = [FIRST[split] + i for i in indices]
        new = list(dict.fromkeys(i for i in wanted if i not in self._kept))
        drawn: dict[int, dict[str, Tensor]] = {}
        if new:
            faces = self.renderer.draw(new)
            for row, index in enumerate(new):
                drawn[index] = {
                    "image": faces.image[row].clone(),
                    "attributes": faces.attributes[row, self.columns].float(),
                    "visible": faces.visible[row, self.columns],
                    "segmentation": faces.segmentation[row].clone(),
                }
            if len(self._kept) + len(new) <= self._room:
                self._kept |= drawn
        rows = [drawn.get(i) or self._kept[i] for i in wanted]
        return {field: torch.stack([row[field] for row in rows]) for field in self.fields}

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float) -> UInt8[Tensor, "n 3 s s"]:
        """The true outcome of an edit."""
        return self.renderer.redraw([FIRST[split] + i for i in indices], **attributes).image
