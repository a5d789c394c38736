"""Tells pictures that zoogan drew from photos: drawn pictures say so in the text of their PNG file."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.pictures.opening import open_picture

SOURCE_KEY, DRAWN = "Source", "drawn by zoogan"  # a text of the PNG file


def save_drawn_picture(image: UInt8[Tensor, "3 h w"], path: Path) -> None:
    """Save a drawn face as a PNG file that says where it comes from. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(path, pnginfo=make_drawn_text(), optimize=True)


def make_drawn_text() -> PngInfo:
    """Make the text of a PNG file that says that zoogan drew it."""
    about = PngInfo()
    about.add_text(SOURCE_KEY, DRAWN)
    return about


def is_drawn_picture(path: Path) -> bool:
    """Return whether a file says that zoogan drew it; False for files that cannot be read."""
    try:
        with open_picture(path) as picture:
            return picture.info.get(SOURCE_KEY) == DRAWN
    except ConfigError:
        return False
