"""Converts images to the input of a run: tensors, files, PIL images and bytes become one batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.pictures.photo import crop_photo, normalize_image, read_photo

Photo = str | Path | Image.Image | Tensor
Photos = Tensor | Photo | Sequence[Photo]


def is_photo(tensor: Tensor) -> bool:
    """Return whether a tensor is a photo as bytes (3, h, w)."""
    return tensor.dtype == torch.uint8 and tensor.dim() == 3 and len(tensor) == 3


def prepare_images(images: Any, facts: Facts, device: torch.device) -> Float[Tensor, "n c s s"]:
    """Convert anything that shows faces to floats (n, c, s, s) in [-1, 1].

    Args:
        images: Floats (n, c, s, s) or (c, s, s) in [-1, 1] are taken as they are. Paths, PIL images and photos as
            bytes (3, h, w), one or a list, are cropped as the run's data was, and turned grey for one channel.
        facts: Size, channels and crop of the run's images.
        device: Where the result goes.

    Raises:
        ConfigError: A tensor of another size, values outside [-1, 1], or an unsupported type.
    """
    size = facts.image_size
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        tensor = images if images.dim() == 4 else images[None]
        if tensor.shape[1:] != (facts.channels, size, size) or not tensor.is_floating_point():
            raise ConfigError(
                f"images: got {images.dtype} of shape {tuple(images.shape)}, expected floats of shape "
                f"(n, {facts.channels}, {size}, {size}) in [-1, 1]; paths and PIL images are cropped for you"
            )
        if tensor.numel() and (tensor.min() < -1.001 or tensor.max() > 1.001):
            raise ConfigError(f"images: values from {tensor.min():.3g} to {tensor.max():.3g}, expected [-1, 1]")
        return tensor.to(device, torch.float32)
    items = list(images) if isinstance(images, list | tuple) else [images]
    if len(items) == 1 and isinstance(items[0], Tensor) and items[0].dim() == 4:
        items = list(items[0])
    wrong = [type(x).__name__ for x in items if not isinstance(x, Tensor | str | Path | Image.Image)]
    wrong += [f"{x.dtype} of shape {tuple(x.shape)}" for x in items if isinstance(x, Tensor) and not is_photo(x)]
    if wrong or not items:
        raise ConfigError(
            f"images: got {wrong[0] if wrong else 'an empty list'}; a list holds paths, PIL images or bytes "
            f"(3, h, w), floats in [-1, 1] come as one tensor (n, {facts.channels}, s, s)"
        )
    photos = [item if isinstance(item, Tensor) else read_photo(item) for item in items]
    return normalize_image(torch.stack([crop_photo(photo, facts) for photo in photos])).to(device)
