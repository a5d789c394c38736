"""The faces on which a judge is trained, calibrated and tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split

VALID_SHARE = 0.1
T = TypeVar("T", Tensor, Tensor | None)


class SourceWithValid(Source):
    """Wraps a source without a valid split; the last tenth of its training faces becomes one.

    Args:
        source: A source without a valid split.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.fields = source.fields
        self.image_size, self.attributes = source.image_size, source.attributes
        self.exclusive, self.groups, self.crop = source.exclusive, source.groups, source.crop
        self.parts, self.transparent, self.mirrored = source.parts, source.transparent, source.mirrored
        total = source.count_faces("train")
        self.train_count = total - max(1, round(VALID_SHARE * total))

    def count_faces(self, split: Split) -> int:
        """Count the faces of a split."""
        counts = {
            "train": self.train_count,
            "valid": self.source.count_faces("train") - self.train_count,
            "test": self.source.count_faces("test"),
        }
        return counts[split]

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Read all labels of a split, 0 or 1."""
        return self._select_rows(self.source.read_labels, split)

    def read_visibility(self, split: Split) -> Float[Tensor, "n a"] | None:
        """Read which faces can show an attribute, 1 where they can."""
        return self._select_rows(self.source.read_visibility, split)

    def read_domains(self, split: Split) -> Int64[Tensor, " n"]:
        """Read the domain of each face."""
        return self._select_rows(self.source.read_domains, split)

    def _select_rows(self, read: Callable[[Split], T], split: Split) -> T:
        """Read rows of the source, one a face, and select those of a split."""
        if split == "test":
            return read("test")
        rows = read("train")
        if rows is None:
            return rows
        return rows[: self.train_count] if split == "train" else rows[self.train_count :]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read the faces at `indices`."""
        if split == "valid":
            return self.source.read("train", [self.train_count + i for i in indices])
        return self.source.read(split, indices)


def list_learnable_parts(source: Source) -> tuple[str, ...]:
    """List the parts that a judge can learn from a source."""
    return source.parts if "segmentation" in source.fields else ()


def add_valid_split(source: Source) -> Source:
    """Return the source with a valid split, made from the tail of train where it has none."""
    return source if source.count_faces("valid") else SourceWithValid(source)


def check_splits(source: Source) -> None:
    """Check that a judge can be trained, calibrated and tested on a source.

    Raises:
        ConfigError: A split has no faces, an attribute has the same value on all faces of a split, or there is nothing
            to learn.
    """
    problems = []
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        faces = source.count_faces(split)
        if not faces:
            problems.append(f"data: the {split} split has no faces; a judge needs train, valid and test")
            continue
        for name, share in zip(source.attributes, source.read_labels(split).mean(0).tolist()):
            if share in (0.0, 1.0):
                problems.append(f"data.attributes: {name} is {share:.0f} on all {faces} {split} faces; leave it out")
    if not source.attributes and not list_learnable_parts(source):
        problems.append(
            "data.attributes: nothing to learn: name one attribute or more, or take a source that has a segmentation"
        )
    if problems:
        raise ConfigError("\n".join(problems))
