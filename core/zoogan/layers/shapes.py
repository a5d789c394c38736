"""Shapes that many layers share."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "n c h w"]
"""A batch of images or feature maps."""
