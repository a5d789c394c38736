"""Faces kept in memory once they have been drawn or decoded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

Pictures = tuple[UInt8[Tensor, "n 3 s s"], UInt8[Tensor, "n s s"]]
BYTES = 4  # of a pixel: three colours and a part


class Kept:
    """The first faces of a split, kept as bytes once they have been made: a face never changes.

    The first `capacity` and not the latest ones: an epoch visits every face once, so a cache of the latest
    would be emptied just before it could serve.
    """

    def __init__(self, faces: int, size: int, budget: int) -> None:
        capacity = min(faces, budget // (BYTES * size * size))
        self.bytes = capacity * BYTES * size * size
        self.known = torch.zeros(capacity, dtype=torch.bool)
        self.image = torch.empty(capacity, 3, size, size, dtype=torch.uint8)
        self.segmentation = torch.empty(capacity, size, size, dtype=torch.uint8)

    def read(self, where: Int64[Tensor, " n"], make: Callable[[list[int]], Pictures]) -> Pictures:
        """Pictures and segmentations of the faces `where`; `make` is asked for those that are not kept, in order."""
        size = self.image.shape[-1]
        keepable = where < len(self.known)
        found = keepable.clone()
        found[keepable] = self.known[where[keepable]]
        image = torch.empty(len(where), 3, size, size, dtype=torch.uint8)
        segmentation = torch.empty(len(where), size, size, dtype=torch.uint8)
        image[found], segmentation[found] = self.image[where[found]], self.segmentation[where[found]]
        if not bool(found.all()):
            image[~found], segmentation[~found] = made = make(where[~found].tolist())
            new, keep = where[~found], keepable[~found]
            self.image[new[keep]], self.segmentation[new[keep]] = (part[keep] for part in made)
            self.known[new[keep]] = True
        return image, segmentation
