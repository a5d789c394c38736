"""The faces that a judge learns from, is calibrated on and is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split

TAIL = 0.1
T = TypeVar("T", Tensor, Tensor | None)


class Tailed(Source):
    """A source without a valid split: the last tenth of its training faces becomes one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.fields = source.fields
        self.image_size, self.attributes = source.image_size, source.attributes
        self.exclusive, self.groups, self.crop = source.exclusive, source.groups, source.crop
        self.parts, self.transparent, self.mirrored = source.parts, source.transparent, source.mirrored
        total = source.size("train")
        self.kept = total - max(1, round(TAIL * total))

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        total = self.source.size("train")
        return {"train": self.kept, "valid": total - self.kept, "test": self.source.size("test")}[split]

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1."""
        return self._part(self.source.labels, split)

    def visible(self, split: Split) -> Float[Tensor, "n a"] | None:
        """1 where a face can show an attribute."""
        return self._part(self.source.visible, split)

    def domain(self, split: Split) -> Int64[Tensor, " n"]:
        """The domain of each face, as the source tells it."""
        return self._part(self.source.domain, split)

    def _part(self, told: Callable[[Split], T], split: Split) -> T:
        """What the source tells of the faces of a split, row by row."""
        if split == "test":
            return told("test")
        rows = told("train")
        if rows is None:
            return rows
        return rows[: self.kept] if split == "train" else rows[self.kept :]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """The faces at `indices`, as the source reads them."""
        if split == "valid":
            return self.source.read("train", [self.kept + i for i in indices])
        return self.source.read(split, indices)


def parts_of(source: Source) -> tuple[str, ...]:
    """The parts that can be learnt from a source."""
    return source.parts if "segmentation" in source.fields else ()


def with_valid(source: Source) -> Source:
    """The source, with a valid split made from the tail of train where it has none."""
    return source if source.size("valid") else Tailed(source)


def check_splits(source: Source) -> None:
    """That there is something to learn from, to calibrate on and to be held against.

    Raises:
        ConfigError: splits without faces, and attributes that have one value on all faces of a split.
    """
    problems = []
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        faces = source.size(split)
        if not faces:
            problems.append(f"data: the {split} split has no faces; a judge needs train, valid and test")
            continue
        for name, share in zip(source.attributes, source.labels(split).mean(0).tolist()):
            if share in (0.0, 1.0):
                problems.append(f"data.attributes: {name} is {share:.0f} on all {faces} {split} faces; leave it out")
    if not source.attributes and not parts_of(source):
        problems.append(
            "data.attributes: nothing to learn: name one attribute or more, or take a source that has a segmentation"
        )
    if problems:
        raise ConfigError("\n".join(problems))
