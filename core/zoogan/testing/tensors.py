"""Tensors that are pure functions of a seed, for tests."""

from __future__ import annotations

import torch
from torch import Tensor


def make_noise(seed: int, *shape: int) -> Tensor:
    """Make N(0, 1) of `shape`."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_faces(seed: int, n: int, size: int) -> Tensor:
    """Make images (n, 3, size, size) in [-1, 1]."""
    return make_noise(seed, n, 3, size, size).tanh()


def make_labels(seed: int, n: int, attributes: int) -> Tensor:
    """Make labels (n, attributes) of 0.0 and 1.0."""
    return (make_noise(seed + 1, n, attributes) > 0).float()


def make_segmentation(seed: int, n: int, size: int, parts: int) -> Tensor:
    """Make segmentations (n, size, size) of classes 0 .. parts - 1, uint8."""
    generator = torch.Generator().manual_seed(seed + 2)
    return torch.randint(parts, (n, size, size), generator=generator, dtype=torch.uint8)


def make_random_tensor(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Make a tensor of any shape and dtype, 0 to 1; of integer dtypes 0 or 1."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed + 3))
    return drawn if dtype.is_floating_point else drawn.round().to(dtype)
