"""The drawn faces as a source: nothing to download, and every edit has a right answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError, DataConfig
from zoogan.data.config import DrawnData
from zoogan.data.drawn import ATTRIBUTES, EXCLUSIVE, DrawnFaces
from zoogan.data.drawn.kept import Kept, Pictures
from zoogan.data.sources.label_maps import remapped, table_of
from zoogan.data.sources.labels import check_balance, check_both_values, columns, exclusive_among
from zoogan.facts import Facts
from zoogan.interfaces.source import Source, Split

FIRST: dict[Split, int] = {
    "train": 0,
    "valid": 1_000_000,
    "test": 2_000_000,
}  # so that no face is in two splits
CACHE_BYTES = 1 << 30


class DrawnSource(Source):
    """Role `source`: procedural portraits with attributes, segmentation, pose and what of them can be seen.

    A hidden attribute (hair colour under a hat) has label 0 and `visible` 0.

    Raises:
        ConfigError: unknown attributes, or probabilities that make no sense.
    """

    fields = ("image", "attributes", "segmentation", "visible", "pose")

    def __init__(self, config: DrawnData, facts: Facts | None = None) -> None:
        self.config = config
        self.image_size, self.attributes = config.image_size, config.attributes
        self.columns = columns(config.attributes, ATTRIBUTES, "the drawn source")
        check_balance(config.balance, config.attributes)
        self.exclusive, self.groups = exclusive_among(self.attributes, EXCLUSIVE), tuple(map(tuple, EXCLUSIVE))
        kinds = config.label_set
        self.parts, self.transparent, self.mirrored = kinds.names, kinds.transparent, kinds.mirrored
        self.table = table_of(kinds)
        try:
            self.faces = DrawnFaces(
                config.image_size,
                seed=config.seed,
                probabilities=config.probabilities,
                cooccurrence=config.cooccurrence,
            )
        except ValueError as error:
            raise ConfigError(f"data: {error}") from error
        self._kept: dict[Split, Kept] = {}
        self._facts: dict[Split, tuple[Tensor, Tensor, Tensor]] = {}
        check_both_values(self.attributes, self.labels("train"), config.balance, "the drawn source")

    def __getstate__(self) -> dict[str, Any]:
        """Without the cache: a worker process draws its own rather than being sent a gigabyte."""
        return {**self.__dict__, "_kept": {}}

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """All that can be drawn."""
        return ATTRIBUTES

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        return self.config.faces if split == "train" else self.config.held_out

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1."""
        return self._tables(split)[0]

    def visible(self, split: Split) -> Float[Tensor, "n a"]:
        """1 where a face can show an attribute."""
        return self._tables(split)[1]

    def _tables(self, split: Split) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n a"], Float[Tensor, "n 3"]]:
        """Labels, visible and pose of a whole split: they are known without painting."""
        if split not in self._facts:
            numbers = range(FIRST[split], FIRST[split] + self.size(split))
            labels, visible = self.faces.attributes(numbers)
            columns = self.columns
            self._facts[split] = labels[:, columns].float(), visible[:, columns].float(), self.faces.pose(numbers)
        return self._facts[split]

    def _numbers(self, split: Split, indices: Sequence[int]) -> list[int]:
        size = self.size(split)
        outside = [i for i in indices if not 0 <= i < size]
        if outside:
            raise IndexError(f"face {outside[0]} of {split}, which has {size}")
        return [FIRST[split] + i for i in indices]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """image uint8 (n, 3, s, s); attributes and visible (n, a); segmentation uint8 (n, s, s), indices
        into `parts`; pose (n, 3), yaw, pitch and roll in degrees as `Faces` counts them.

        Raises:
            IndexError: an index that the split does not have.
        """
        self._numbers(split, indices)
        if split not in self._kept:
            used = sum(kept.bytes for kept in self._kept.values())
            budget = CACHE_BYTES // max(1, self.config.workers) - used  # each worker keeps faces of its own
            self._kept[split] = Kept(self.size(split), self.image_size, budget)
        where = torch.tensor(indices, dtype=torch.long)
        image, segmentation = self._kept[split].read(where, lambda new: self._drawn(split, new))
        labels, visible, pose = self._tables(split)
        return {
            "image": image,
            "attributes": labels[where],
            "segmentation": segmentation,
            "visible": visible[where],
            "pose": pose[where],
        }

    def _drawn(self, split: Split, indices: Sequence[int]) -> Pictures:
        drawn = self.faces.draw(self._numbers(split, indices))
        return drawn.image, remapped(drawn.segmentation, self.table)

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor]:
        """The same faces with only these attributes changed; setting one clears those that it excludes.

        Raises:
            ValueError: unknown attributes, values outside 0..1, or two that exclude each other.
            IndexError: an index that the split does not have.
        """
        faces = self.faces.redraw(self._numbers(split, indices), **attributes)
        return {
            "image": faces.image,
            "attributes": faces.attributes[:, self.columns].float(),
            "segmentation": remapped(faces.segmentation, self.table),
            "visible": faces.visible[:, self.columns].float(),
            "pose": faces.pose,
        }
