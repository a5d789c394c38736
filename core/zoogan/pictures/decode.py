"""Fast decoding of pictures for training.

Importing torchvision takes seconds of CPU time. Only sources that read files import this module, and their worker
processes inherit the import.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import decode_jpeg

from zoogan.pictures.photo import read_photo


def decode_picture(path: Path) -> UInt8[Tensor, "3 h w"]:
    """Read a picture as `read_photo` does, but decode JPEG straight into a tensor.

    Args:
        path: The file. All files but JPEGs with one or three channels go to `read_photo`.

    Returns:
        The pixels, 0..255, contiguous, on the CPU.

    Raises:
        ConfigError: As `read_photo`.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        try:
            content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
            # Pillow reads JPEGs with four channels, because it handles Adobe's inverted colours.
            picture = decode_jpeg(content, apply_exif_orientation=True)
            if len(picture) in (1, 3):
                return picture.expand(3, -1, -1).contiguous()
        except (OSError, RuntimeError, ValueError):
            pass  # read_photo can read it after all, or raises an error that names the problem
    return read_photo(path)
