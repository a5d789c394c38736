"""Facts about picture files: size, colours, content, and whether they can be decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from zoogan.errors import ConfigError
from zoogan.pictures.decode import decode_picture
from zoogan.pictures.opening import open_picture

ODD_MODES = {
    "P": "palette colours", "CMYK": "CMYK colours", "LA": "transparency", "RGBA": "transparency", "PA": "transparency",
    "1": "black and white alone", "F": "floating-point values", "LAB": "LAB colours", "YCbCr": "YCbCr colours",
    "HSV": "HSV colours",
}  # fmt: skip


@dataclass(frozen=True)
class PictureFacts:
    """Facts about one picture.

    Attributes:
        name: Its path in the data set.
        width: Width of the upright picture in pixels; 0 if it cannot be read.
        height: Height of the upright picture.
        mode: Pillow's name of its colours.
        digest: Hash of its pixels.
        problem: Why it cannot be read; None = it can.
    """

    name: str
    width: int = 0
    height: int = 0
    mode: str = ""
    digest: str = ""
    problem: str | None = None


def scan_picture(root: Path, name: str) -> PictureFacts:
    """Decode a picture as a training does, and return facts about it."""
    path = root / name
    try:
        with open_picture(path) as picture:
            mode = picture.mode
        pixels = decode_picture(path)
    except ConfigError as error:
        return PictureFacts(name, problem=str(error))
    except OSError as error:
        return PictureFacts(name, problem=f"{path}: cannot be read ({error.strerror or error})")
    height, width = pixels.shape[1:]
    digest = hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16, key=f"{width} {height}".encode()).hexdigest()
    return PictureFacts(name, width, height, mode, digest)


def describe_mode(mode: str) -> str | None:
    """Describe colours that a training does not see as they are stored; None for RGB and grey of 8 bits."""
    return "16 bits a colour" if mode.startswith("I") else ODD_MODES.get(mode)
