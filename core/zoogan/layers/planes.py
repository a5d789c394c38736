"""Labels as image planes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def append_planes(image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Float[Tensor, "n channels h w"]:
    """`image` followed by one constant plane an attribute: (n, c + a, h, w)."""
    planes = attributes.to(image.dtype)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, planes], 1)
