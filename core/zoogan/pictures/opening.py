"""Opens picture files: regular files of known formats, and no more pixels than the limit. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
import io
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image, UnidentifiedImageError

from zoogan.environment import read_variable
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.pictures.photo_files import SUFFIXES

MAX_PIXELS = 178_956_970  # of one picture; Pillow refuses more as well
LIMIT_VARIABLE = "ZOOGAN_MAX_PIXELS"
# No other reader runs: some of Pillow's start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000", "MPO", "HEIF")
HEAD = 64  # bytes at the beginning of a file that tell what it is
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    AssertionError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's readers raise for damaged files."""
_KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}  # fmt: skip


@runtime_checkable
class BinaryFile(Protocol):
    """An open file whose bytes can be read."""

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, all that are left by default."""
        ...


@contextmanager
def open_picture(path: str | Path | BinaryFile) -> Iterator[Image.Image]:
    """Open a picture; its pixels are read inside the context.

    Args:
        path: A file, or an open file.

    Yields:
        The picture, whose size has been checked and whose pixels have not been read.

    Raises:
        ConfigError: There is no such file (the message names the nearest one beside it); it is a pipe, a device or a
            folder; it is no picture, has too many pixels, or is damaged. Errors of Pillow inside the context, where
            the pixels are read, count as damage.
    """
    path = Path(path) if isinstance(path, str) else path
    name = name_file(path)
    head = b""
    try:
        with _open_bytes(path) as file:
            head = file.read(HEAD)
            file.seek(0)
            with _read_header(file, head) as picture:
                check_pixel_count(name, *picture.size)
                yield picture
    except FileNotFoundError:
        if not isinstance(path, Path) or path.exists():
            raise
        raise ConfigError(describe_missing_photo(path)) from None
    except UnidentifiedImageError:
        raise ConfigError(f"{name}: {_explain_unidentified(head)}") from None
    except DAMAGED as error:
        raise ConfigError(f"{name}: damaged or unreadable picture ({str(error) or type(error).__name__})") from error


@contextmanager
def _open_bytes(path: Path | BinaryFile) -> Iterator[Any]:
    """Open a regular file, or rewind an open one; what cannot be rewound is read into memory."""
    if isinstance(path, Path):
        check_regular_file(path)
        with path.open("rb") as file:
            yield file
        return
    opened: Any = path
    try:
        opened.seek(0)
    except (AttributeError, io.UnsupportedOperation):
        opened = io.BytesIO(opened.read())
    yield opened


def name_file(file: Path | BinaryFile) -> str:
    """Return the name of a file for messages."""
    return str(file) if isinstance(file, Path) else str(getattr(file, "name", "these bytes"))


def describe_missing_photo(path: Path) -> str:
    """Say that there is no such file, with the nearest name beside it."""
    names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"{path}: no such file{suggest_name(path.name, names)}"


def check_regular_file(path: Path) -> None:
    """Check that a path leads to a regular file; nothing else is opened, because a named pipe would block for ever.

    Raises:
        OSError: There is no such file, or its folder cannot be read.
        ConfigError: It is a folder, a named pipe, a socket or a device.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise ConfigError(f"{path}: {_KINDS.get(kind, 'no regular file')}, not a picture; name a file")


def get_pixel_limit() -> int:
    """Return the most pixels of one picture: ZOOGAN_MAX_PIXELS, else `MAX_PIXELS`.

    Raises:
        ConfigError: The variable is no whole number of 1 or more.
    """
    text = read_variable(LIMIT_VARIABLE)
    if not text:
        return MAX_PIXELS
    limit = int(text) if text.isascii() and text.isdigit() else 0
    if limit < 1:
        raise ConfigError(f"{LIMIT_VARIABLE}={text}: expected a whole number of pixels, such as {MAX_PIXELS}")
    return limit


def check_pixel_count(name: str | Path, width: int, height: int) -> None:
    """Check that a picture has no more pixels than the limit, before any of them is decoded.

    Args:
        name: The file, for the message.
        width: Width that its header says, in pixels.
        height: Height that its header says, in pixels.

    Raises:
        ConfigError: It has more.
    """
    limit = get_pixel_limit()
    if width * height > limit:
        raise ConfigError(
            f"{name}: {width} x {height} pixels, which take {width * height * 3 / 1e9:.2g} GB of memory; the limit is "
            f"{limit / 1e6:.0f} million. Make the picture smaller, or raise the limit: "
            f"{LIMIT_VARIABLE}={width * height}"
        )


def _read_header(file: Any, head: bytes) -> Image.Image:
    """Open a picture with Pillow, which reads its header; HEIC with the optional reader, if it is installed."""
    limit = get_pixel_limit()
    if Image.MAX_IMAGE_PIXELS is not None and limit > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # somebody raised the limit; Pillow has one of its own
    if _get_brand(head) in HEIF_BRANDS:
        _register_heif()
    Image.init()
    return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def _register_heif() -> None:
    """Make Pillow read HEIC with the extra `zoogan[heic]`; do nothing if it is not installed."""
    try:
        reader: Any = importlib.import_module("pillow_heif")
    except ImportError:
        return
    reader.register_heif_opener(thumbnails=False)


def _get_brand(head: bytes) -> bytes:
    """Return the brand of a file of the HEIF family; empty for other files."""
    return head[8:12] if head[4:8] == b"ftyp" else b""


def _explain_unidentified(head: bytes) -> str:
    """Say why no reader knows a file, by its first bytes: its reader is not installed, or it is something else."""
    brand = _get_brand(head)
    if brand in HEIF_BRANDS and importlib.util.find_spec("pillow_heif") is None:
        return "a HEIC picture; install its reader: pip install 'zoogan[heic]'"
    if brand in AVIF_BRANDS and "AVIF" not in Image.OPEN:
        return "an AVIF picture, which Pillow reads from 11.3 on: pip install -U pillow"
    if not head:
        return "an empty file, not a picture; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not a picture; fetch the files with: git lfs pull"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture; download it again"
    return f"not a picture by its content; pictures that can be read: {', '.join(SUFFIXES)}"
