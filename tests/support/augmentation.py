"""Draws for the tests of adaptive augmentation."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from zoogan.interfaces import Draws, World
from zoogan.layers.ada import CHANGE_KINDS, NORMAL_DRAWS, UNIFORM_DRAWS

HALF = torch.tensor(0.5)
image_sizes = st.sampled_from([8, 16, 21])


def make_draws(seed: int, n: int, part: slice = slice(None), **injected: Tensor) -> Draws:
    """Make the draws of n images, or of a slice of them; injected tensors replace drawn ones of that name."""
    return Draws(seed, World.make_single(), n, part, {f"x.{name}": tensor for name, tensor in injected.items()})


def draw_only(*kinds: str, n: int = 1, **values: float) -> Draws:
    """Make draws by which each image gets exactly these changes at p = 1/2.

    Args:
        kinds: Names of changes, from `CHANGE_KINDS`.
        n: Number of images.
        values: Uniform and normal draws by name; 0 if not given.
    """
    selected = [[0.0 if kind in kinds else 0.9 for kind in CHANGE_KINDS]] * n
    uniform, normal = ([[values.get(name, 0.0) for name in names]] * n for names in (UNIFORM_DRAWS, NORMAL_DRAWS))
    assert set(values) <= {*UNIFORM_DRAWS, *NORMAL_DRAWS}
    return make_draws(0, n, whether=torch.tensor(selected), uniform=torch.tensor(uniform), normal=torch.tensor(normal))
