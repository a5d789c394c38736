"""Fields of a batch, with the shape and dtype in which games read them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch


class Field(NamedTuple):
    """Shape and dtype of one row of a field.

    Attributes:
        shape: Numbers, or letters: c channels, h and w pixels of an image, a attributes, k parts.
        dtype: Dtype of the tensor.
    """

    shape: tuple[int | str, ...]
    dtype: torch.dtype = torch.float32

    def get_shape(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape of `rows` rows, with `sizes` giving the number behind each letter."""
        return (rows, *(sizes[size] if isinstance(size, str) else size for size in self.shape))


FIELDS: Mapping[str, Field] = MappingProxyType({
    "image": Field(("c", "h", "w")),
    "image2": Field(("c", "h", "w")),
    "attributes": Field(("a",)),
    "visible": Field(("a",)),
    "pose": Field((3,)),
    "domain": Field((), torch.int64),
    "segmentation": Field(("h", "w"), torch.uint8),
    "layout": Field(("k", "h", "w")),
    "layout2": Field(("k", "h", "w")),
    "heat_maps": Field((2, "h", "w")),
})  # fmt: skip
"""The standard fields. `layout` is the one-hot of a segmentation. A source describes further fields in
`Source.extra_fields`."""
