"""Fields: what a batch may hold besides the picture, with the shape and type in which a game reads it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch


class Field(NamedTuple):
    """One row of a batch. shape: numbers, or c channels, h and w pixels of a picture, a attributes."""

    shape: tuple[int | str, ...]
    dtype: torch.dtype = torch.float32

    def sized(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of so many rows."""
        return (rows, *(sizes[size] if isinstance(size, str) else size for size in self.shape))


# What every part of the zoo knows; a source tells of further ones in `Source.described`.
FIELDS: Mapping[str, Field] = MappingProxyType({
    "image": Field(("c", "h", "w")),
    "image2": Field(("c", "h", "w")),
    "attributes": Field(("a",)),
    "visible": Field(("a",)),
    "pose": Field((3,)),
    "domain": Field((), torch.int64),
    "segmentation": Field(("h", "w"), torch.uint8),
    "heat_maps": Field((2, "h", "w")),
})  # fmt: skip
