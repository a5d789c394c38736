"""Write, read and convert pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoogan.pictures.photo import quantize_image


def save_picture(path: Path, value: int | None = None, size: tuple[int, int] = (36, 40)) -> Path:
    """Write a picture and make its folder.

    Args:
        path: Where the picture goes; the suffix chooses the format.
        value: One grey (0 to 255) for all pixels; None for noise that the file name decides.
        size: Width and height in pixels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(str(path.name).encode())).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels = noise if value is None else np.full_like(noise, value)
    Image.fromarray(pixels).save(path, **({"lossless": True} if path.suffix.lower() == ".webp" else {}))
    return path


def read_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Read all PNG files of a folder, by file name."""
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def make_pixels(image: torch.Tensor) -> np.ndarray:
    """Convert the first face of a batch to the pixels that a file holds, (height, width, 3)."""
    quantized = image if image.dtype == torch.uint8 else quantize_image(image)
    return quantized[0].permute(1, 2, 0).numpy()
