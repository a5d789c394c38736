"""Hypothesis strategies for tensors and configs. Tensors come from seeds, so that examples shrink to numbers."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

sizes = st.sampled_from([16, 32])
"""Image sizes that every method supports and that tests can afford."""

seeds = st.integers(0, 2**31 - 1)
batches = st.integers(1, 3)


def noise(seed: int, *shape: int) -> Tensor:
    """N(0, 1) of `shape`, a pure function of the seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def faces(seed: int, n: int, size: int) -> Tensor:
    """(n, 3, size, size) in [-1, 1]."""
    return noise(seed, n, 3, size, size).tanh()


def labels(seed: int, n: int, attributes: int) -> Tensor:
    """(n, attributes) of 0.0 and 1.0."""
    return (noise(seed + 1, n, attributes) > 0).float()
