"""Caches of faces that were drawn or decoded once: one row a face, in memory or, see `prepared`, in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

Rows = dict[str, Tensor]
"""Rows of fields by name, such as `image`: uint8 (n, 3, s, s)."""
BYTES_PER_PIXEL = 4  # three colours and a part
CACHE_BYTES = 1 << 30  # of one source in memory, all workers together


class FaceCache(ABC):
    """Faces of a split, stored once they have been made; a face never changes."""

    @abstractmethod
    def find(self, indices: Int64[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Return which faces of these numbers are stored."""

    @abstractmethod
    def load(self, indices: Int64[Tensor, " n"]) -> Rows:
        """Return copies of stored faces, in this order."""

    @abstractmethod
    def store(self, indices: Int64[Tensor, " n"], rows: Rows) -> None:
        """Store faces, those of them that the cache takes."""

    def read(self, indices: Int64[Tensor, " n"], make: Callable[[list[int]], Rows]) -> Rows:
        """Read faces from the cache, and make and store those that it lacks.

        Args:
            indices: Numbers of the faces in the split.
            make: Makes the rows of the missing faces, in the order of their numbers.

        Returns:
            Tensor by field, one row an index.
        """
        hit = self.find(indices)
        if bool(hit.all()):
            return self.load(indices)
        made = make(indices[~hit].tolist())
        self.store(indices[~hit], made)
        if not bool(hit.any()):
            return made
        stored, merged = self.load(indices[hit]), {}
        for name, rows in made.items():
            merged[name] = rows.new_empty(len(indices), *rows.shape[1:])
            merged[name][hit], merged[name][~hit] = stored[name], rows
        return merged


class MemoryCache(FaceCache):
    """Images and segmentations of the first faces of a split, in memory.

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
        shapes = {"image": (3, size, size), "segmentation": (size, size)}
        self.rows = {name: torch.empty(capacity, *shape, dtype=torch.uint8) for name, shape in shapes.items()}

    def find(self, indices: Int64[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Return which faces of these numbers are stored."""
        fits = indices < len(self.is_filled)
        hit = fits.clone()
        hit[fits] = self.is_filled[indices[fits]]
        return hit

    def load(self, indices: Int64[Tensor, " n"]) -> Rows:
        """Return copies of stored faces, in this order."""
        return {name: rows[indices] for name, rows in self.rows.items()}

    def store(self, indices: Int64[Tensor, " n"], rows: Rows) -> None:
        """Store those of these faces that fit."""
        fits = indices < len(self.is_filled)
        for name, stored in self.rows.items():
            stored[indices[fits]] = rows[name][fits]
        self.is_filled[indices[fits]] = True


def compute_budget(caches: Iterable[MemoryCache], workers: int) -> int:
    """Compute how many bytes a source may still use for caches in this process.

    Args:
        caches: The caches that the source has.
        workers: Number of worker processes; each has caches of its own.
    """
    return CACHE_BYTES // max(1, workers) - sum(cache.bytes for cache in caches)
