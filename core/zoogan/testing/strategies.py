"""Hypothesis strategies. Tensors are made from seeds (see `tensors`), so that examples shrink to numbers."""

from __future__ import annotations

from hypothesis import strategies as st

from zoogan.testing.tensors import make_faces, make_labels, make_noise

__all__ = ["batches", "make_faces", "make_labels", "make_noise", "seeds", "sizes"]

sizes = st.sampled_from([16, 32])
"""Image sizes that every method supports and that tests can afford."""

seeds = st.integers(0, 2**31 - 1)
batches = st.integers(1, 3)
