"""Fast decoding of pictures for training.

Importing torchvision takes seconds of CPU time. This module does it at its top: only sources that read files pay for
it, and their worker processes inherit it.
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
        path: The file. What is not a JPEG with one or three channels goes to `read_photo`.

    Returns:
        The pixels, 0..255, contiguous, on the CPU.

    Raises:
        ConfigError: As `read_photo`.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        try:
            content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
            # Colour spaces with four channels are left to Pillow, which knows Adobe's inverted ones.
            picture = decode_jpeg(content, apply_exif_orientation=True)
            if len(picture) in (1, 3):
                return picture.expand(3, -1, -1).contiguous()
        except (OSError, RuntimeError, ValueError):
            pass  # read_photo can read it after all, or raises an error that names the problem
    return read_photo(path)
