"""The drawn faces as a source: nothing to download, and every edit has a correct result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.cache import MemoryCache, Rows, compute_budget
from zoogan.data.config import DrawnData
from zoogan.data.drawn import ATTRIBUTES, EXCLUSIVE, DrawnFaces
from zoogan.data.sources.attribute_columns import check_balance, check_both_values, find_columns, select_exclusive
from zoogan.data.sources.segmentation_files import make_part_table, map_parts
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.source import Source, Split

FIRST_INDEX: dict[Split, int] = {"train": 0, "valid": 1_000_000, "test": 2_000_000}  # no face is in two splits


class DrawnSource(Source):
    """Role `source`: procedural portraits with attributes, their visibility, segmentation and pose.

    A hidden attribute (hair colour under a hat) has label 0 and `visible` 0.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: Attributes are unknown, or probabilities are wrong.
    """

    fields = ("image", "attributes", "segmentation", "visible", "pose")

    def __init__(self, config: DrawnData, facts: Facts | None = None) -> None:
        self.config = config
        self.image_size, self.attributes = config.image_size, config.attributes
        self.columns = find_columns(config.attributes, ATTRIBUTES, "the drawn source")
        check_balance(config.balance, config.attributes)
        self.exclusive, self.groups = select_exclusive(self.attributes, EXCLUSIVE), tuple(map(tuple, EXCLUSIVE))
        label_set = config.label_set
        self.parts, self.transparent, self.mirrored = label_set.names, label_set.transparent, label_set.mirrored
        self.table = make_part_table(label_set)
        try:
            self.faces = DrawnFaces(
                config.image_size,
                seed=config.seed,
                probabilities=config.probabilities,
                cooccurrence=config.cooccurrence,
            )
        except ValueError as error:
            raise ConfigError(f"data: {error}") from error
        self._caches: dict[Split, MemoryCache] = {}
        self._tables: dict[Split, tuple[Tensor, Tensor, Tensor]] = {}
        check_both_values(self.attributes, self.read_labels("train"), config.balance, "the drawn source")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches out: a worker process draws its own faces, so that no gigabyte is sent to it."""
        return {**self.__dict__, "_caches": {}}

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """Return all attributes that can be drawn; the config does not matter."""
        return ATTRIBUTES

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return self.config.faces if split == "train" else self.config.held_out

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1."""
        return self._load_tables(split)[0]

    def read_visibility(self, split: Split) -> Float[Tensor, "n a"]:
        """Return 1 where a face can show an attribute, 0 where something hides it."""
        return self._load_tables(split)[1]

    def _load_tables(self, split: Split) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n a"], Float[Tensor, "n 3"]]:
        """Load labels, visibility and pose of a whole split, which need no painting."""
        if split not in self._tables:
            numbers = range(FIRST_INDEX[split], FIRST_INDEX[split] + self.count_faces(split))
            labels, visible = self.faces.draw_attributes(numbers)
            columns = self.columns
            self._tables[split] = labels[:, columns].float(), visible[:, columns].float(), self.faces.draw_pose(numbers)
        return self._tables[split]

    def _number_faces(self, split: Split, indices: Sequence[int]) -> list[int]:
        """Return the numbers of faces among all drawn faces, and check that the split has them."""
        size = self.count_faces(split)
        outside = [i for i in indices if not 0 <= i < size]
        if outside:
            raise IndexError(f"face {outside[0]} of {split}, which has {size}")
        return [FIRST_INDEX[split] + i for i in indices]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s); `attributes` and `visible` (n, a); `segmentation` uint8 (n, s, s), indices into
            `parts`; `pose` (n, 3), yaw, pitch and roll in degrees, see `FaceBatch`.

        Raises:
            IndexError: The split does not have an index.
        """
        self._number_faces(split, indices)
        if split not in self._caches:
            budget = compute_budget(self._caches.values(), self.config.workers)
            self._caches[split] = MemoryCache(self.count_faces(split), self.image_size, budget)
        rows = torch.tensor(indices, dtype=torch.long)
        pictures = self._caches[split].read(rows, lambda missing: self._draw(split, missing))
        labels, visible, pose = self._load_tables(split)
        return {
            "image": pictures["image"],
            "attributes": labels[rows],
            "segmentation": pictures["segmentation"],
            "visible": visible[rows],
            "pose": pose[rows],
        }

    def _draw(self, split: Split, indices: Sequence[int]) -> Rows:
        """Draw images and segmentations."""
        faces = self.faces.draw(self._number_faces(split, indices))
        return {"image": faces.image, "segmentation": map_parts(faces.segmentation, self.table)}

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor]:
        """Redraw faces with only these attributes changed; setting one clears those that it excludes.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.
            attributes: Value by attribute, in [0, 1], for all faces or one a face (n,).

        Returns:
            The same fields as `read`.

        Raises:
            ValueError: Attributes are unknown, values are outside [0, 1], or two attributes exclude each other.
            IndexError: The split does not have an index.
        """
        faces = self.faces.redraw(self._number_faces(split, indices), **attributes)
        return {
            "image": faces.image,
            "attributes": faces.attributes[:, self.columns].float(),
            "segmentation": map_parts(faces.segmentation, self.table),
            "visible": faces.visible[:, self.columns].float(),
            "pose": faces.pose,
        }
