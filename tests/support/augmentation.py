"""What the tests of adaptive augmentation share: draws, and those by which nothing but named changes happens."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from zoogan.interfaces import Draws, World
from zoogan.layers.ada import CHANGE_KINDS, NORMAL_DRAWS, UNIFORM_DRAWS

HALF = torch.tensor(0.5)
sides = st.sampled_from([8, 16, 21])


def draws(seed: int, n: int, part: slice = slice(None), **injected: Tensor) -> Draws:
    return Draws(seed, World.make_single(), n, part, {f"x.{name}": tensor for name, tensor in injected.items()})


def only(*kinds: str, n: int = 1, **values: float) -> Draws:
    """Draws by which, at p = 1/2, each image gets these changes and no other, from these numbers."""
    whether = [[0.0 if kind in kinds else 0.9 for kind in CHANGE_KINDS]] * n
    even, normal = ([[values.get(name, 0.0) for name in names]] * n for names in (UNIFORM_DRAWS, NORMAL_DRAWS))
    assert set(values) <= {*UNIFORM_DRAWS, *NORMAL_DRAWS}
    return draws(0, n, whether=torch.tensor(whether), uniform=torch.tensor(even), normal=torch.tensor(normal))
