"""Reads pictures that a browser sends, and makes PNGs of results. Nothing is written to disk."""

from __future__ import annotations

import io
import re
import struct
import warnings
from urllib.parse import unquote

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.pictures.photo import read_photo

UPLOAD_BYTES = 16 * 2**20  # of one picture, as a file
UPLOAD_PIXELS = 40_000_000  # of one picture, unpacked: 120 MB of memory
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # no other reader runs, some of which start programs
NAME_LENGTH = 80
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def open_picture(content: bytes, name: str) -> Image.Image:
    """Open a picture, and check its size before any pixel is unpacked.

    Args:
        content: The file.
        name: Its name, for messages.

    Returns:
        The picture, unpacked.

    Raises:
        ConfigError: Not a picture, of another format than `FORMATS`, damaged, or of more than `UPLOAD_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = picture.size
        if width * height > UPLOAD_PIXELS:
            raise ConfigError(
                f"{name}: {width} x {height} pixels are more than {UPLOAD_PIXELS // 1_000_000} million; make it smaller"
            )
        picture.load()
        return picture
    except UnidentifiedImageError:
        raise ConfigError(f"{name}: not a picture that can be read ({', '.join(FORMATS)})") from None
    except DAMAGED as error:
        raise ConfigError(f"{name}: damaged or unreadable picture ({error})") from error


def decode_photo(content: bytes, name: str) -> UInt8[Tensor, "3 h w"]:
    """Decode a photo as `read_photo` does, within the limits of `open_picture`.

    Raises:
        ConfigError: See `open_picture`.
    """
    picture = open_picture(content, name)
    try:
        return read_photo(picture)
    except DAMAGED as error:
        raise ConfigError(f"{name}: damaged or unreadable picture ({error})") from error


def clean_name(quoted: str | None, default: str) -> str:
    """Make a plain file name of what a browser says, which is shown and stands in commands.

    Args:
        quoted: The name, percent-encoded; None = unknown.
        default: The name if nothing is left.
    """
    name = unquote(quoted or "").replace("\\", "/").rsplit("/", 1)[-1]
    name = re.sub(r"[\x00-\x1f\x7f-\x9f]", "", name).strip()
    return name[-NAME_LENGTH:] or default


def encode_png(image: UInt8[Tensor, "c h w"]) -> bytes:
    """Encode a picture of 1 or 3 channels as PNG, fast rather than small."""
    array = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    output = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(output, "PNG", compress_level=1)
    return output.getvalue()
