"""Leaky ReLU of slope 0.2 and the constants that keep variances at 1."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

LRELU_SLOPE = 0.2
"""Slope of the leaky ReLU below 0."""
LRELU_GAIN = math.sqrt(2)
"""Gain that approximately keeps the variance through a leaky ReLU of slope 0.2."""
SQRT_HALF = 0.5**0.5
"""Keeps the variance of a sum of two independent values."""


def leaky_relu(x: Tensor, inplace: bool = False) -> Tensor:
    """Apply a leaky ReLU of slope 0.2, without its gain.

    Args:
        x: Any shape.
        inplace: Overwrite `x`, which nothing else may read then.

    Returns:
        A tensor of the shape of `x`.
    """
    return F.leaky_relu(x, LRELU_SLOPE, inplace)
