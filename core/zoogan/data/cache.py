"""A cache in memory for faces that were drawn or decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

Pictures = tuple[UInt8[Tensor, "n 3 s s"], UInt8[Tensor, "n s s"]]
BYTES_PER_PIXEL = 4  # three colours and a part
CACHE_BYTES = 1 << 30  # of one source, all workers together


class FaceCache:
    """The first faces of a split, stored as bytes once they have been made; a face never changes.

    It holds the first `capacity` faces, not the most recent ones: an epoch reads every face once, so a smaller cache of
    recent faces would never have a hit.

    Args:
        faces: Number of faces in the split.
        size: Image size in pixels.
        budget: Most bytes that the cache may take. As many faces are stored as fit.
    """

    def __init__(self, faces: int, size: int, budget: int) -> None:
        capacity = min(faces, budget // (BYTES_PER_PIXEL * size * size))
        self.bytes = capacity * BYTES_PER_PIXEL * size * size
        self.is_filled = torch.zeros(capacity, dtype=torch.bool)
        self.image = torch.empty(capacity, 3, size, size, dtype=torch.uint8)
        self.segmentation = torch.empty(capacity, size, size, dtype=torch.uint8)

    def read(self, indices: Int64[Tensor, " n"], make: Callable[[list[int]], Pictures]) -> Pictures:
        """Read faces from the cache, and make and store those that it lacks.

        Args:
            indices: Numbers of the faces in the split.
            make: Makes the images and segmentations of the missing faces, in the order of `indices`.

        Returns:
            Images and segmentations, one row an index.
        """
        size = self.image.shape[-1]
        fits = indices < len(self.is_filled)
        hit = fits.clone()
        hit[fits] = self.is_filled[indices[fits]]
        image = torch.empty(len(indices), 3, size, size, dtype=torch.uint8)
        segmentation = torch.empty(len(indices), size, size, dtype=torch.uint8)
        image[hit], segmentation[hit] = self.image[indices[hit]], self.segmentation[indices[hit]]
        if not bool(hit.all()):
            image[~hit], segmentation[~hit] = made = make(indices[~hit].tolist())
            missing, store = indices[~hit], fits[~hit]
            self.image[missing[store]], self.segmentation[missing[store]] = (rows[store] for rows in made)
            self.is_filled[missing[store]] = True
        return image, segmentation


def compute_budget(caches: Iterable[FaceCache], workers: int) -> int:
    """Compute how many bytes a source may still use for caches in this process.

    Args:
        caches: The caches that the source has.
        workers: Number of worker processes; each has caches of its own.
    """
    return CACHE_BYTES // max(1, workers) - sum(cache.bytes for cache in caches)
