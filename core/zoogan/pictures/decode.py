"""Fast decoding of pictures for training.

Importing torchvision takes seconds of CPU time. Only sources that read files import this module, and their worker
processes inherit the import.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import decode_jpeg

from zoogan.pictures.opening import check_pixel_count, check_regular_file
from zoogan.pictures.photo import crop_square, read_photo, resize_squares

LARGE = 3 * 1024**2  # bytes of a picture that is resized before the next one is read
JPEG, JPEG_SUFFIXES = b"\xff\xd8", (".jpg", ".jpeg")
MARKER, SCAN = 0xFF, 0xDA
ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without content
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # of JPEG; the others are tables


def read_squares(
    paths: Sequence[Path], share: float, size: int
) -> tuple[UInt8[Tensor, "n 3 {size} {size}"], list[tuple[int, int]]]:
    """Read pictures for a source: the centre square of each, resized.

    Args:
        paths: The files.
        share: Side of the square as a share of the shorter side, in (0, 1].
        size: Side of the results in pixels.

    Returns:
        (the squares, height and width of each picture in its file).

    Raises:
        ConfigError: As `decode_picture`.
    """
    squares, sizes = [], []
    for path in paths:
        picture = decode_picture(path)
        sizes.append((picture.shape[1], picture.shape[2]))
        square = crop_square(picture, share)
        # Large pictures are resized at once: a batch of them would not fit into memory.
        squares.append(resize_squares([square], size)[0] if picture.numel() > LARGE else square)
    return resize_squares(squares, size), sizes


def decode_picture(path: Path) -> UInt8[Tensor, "3 h w"]:
    """Read a picture as `read_photo` does, but decode JPEG straight into a tensor.

    Args:
        path: The file. All files but JPEGs with one or three channels go to `read_photo`.

    Returns:
        The pixels, 0..255, contiguous, on the CPU.

    Raises:
        ConfigError: As `read_photo`.
    """
    if path.suffix.lower() in JPEG_SUFFIXES:
        try:
            check_regular_file(path)
            picture = _decode_jpeg(path.read_bytes(), path)
        except OSError:
            picture = None
        if picture is not None:
            return picture
    return read_photo(path)


def decode_content(content: bytes, name: str) -> UInt8[Tensor, "3 h w"]:
    """Decode a picture in memory; the pixels are those of `decode_picture` for a file of this content.

    Args:
        content: The bytes of the file.
        name: Its name, whose suffix chooses the decoder, and which errors show.

    Raises:
        ConfigError: As `read_photo`.
    """
    picture = _decode_jpeg(content, Path(name)) if Path(name).suffix.lower() in JPEG_SUFFIXES else None
    if picture is not None:
        return picture
    file = io.BytesIO(content)
    file.name = name
    return read_photo(file)


def _decode_jpeg(content: bytes, path: Path) -> UInt8[Tensor, "3 h w"] | None:
    """Decode a JPEG of one or three channels; None if `read_photo` has to read it, or to name the problem.

    Raises:
        ConfigError: It has too many pixels.
    """
    if (size := read_jpeg_size(content)) is None:
        return None
    check_pixel_count(path, *size)
    try:
        # Pillow reads JPEGs with four channels, because it handles Adobe's inverted colours.
        picture = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), apply_exif_orientation=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return picture.expand(3, -1, -1).contiguous() if len(picture) in (1, 3) else None


def read_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Read width and height from the frame header of a JPEG; None if there is none before the first scan."""
    place = 2
    while content[:2] == JPEG and place + 9 <= len(content):
        if content[place] != MARKER:
            return None
        kind = content[place + 1]
        if kind in FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width, height
        if kind == SCAN:
            return None
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        place += 1 if kind == MARKER else 2 if kind in ALONE else 2 + length
    return None
