"""Mutations of valid picture files, read as a training reads them: each gives pixels or a ConfigError.

`PYTHONPATH=tests python -m support.picture_mutations --count 10000` plays many, and reports the slowest.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from support.mutations import Played, run_script
from zoogan.data.scan import scan_picture
from zoogan.errors import ConfigError
from zoogan.pictures.decode import decode_picture, read_squares
from zoogan.pictures.photo import read_photo
from zoogan.pictures.whole import read_whole_photo

SLOW = 10.0  # CPU seconds after which a picture counts as hanging
FORMATS: dict[str, list[dict[str, Any]]] = {
    "PNG": [{}, {"interlace": 1}],
    "JPEG": [{}, {"progressive": True}, {"subsampling": 0, "optimize": True}],
    "WEBP": [{}, {"lossless": True}],
    "AVIF": [{}],
    "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}],
    "BMP": [{}],
}
MODES = {"PNG": ("RGB", "RGBA", "L", "P", "I;16", "1"), "JPEG": ("RGB", "L", "CMYK"), "TIFF": ("RGB", "L", "CMYK")}
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x75\x30", b"\x75\x30\x75\x30")


def make_valid() -> list[tuple[str, bytes]]:
    """Make small valid files of every format, each with its suffix."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    files = []
    for name, choices in FORMATS.items():
        for mode in MODES.get(name, ("RGB",)):
            base = Image.fromarray(noise)
            picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 200) if mode == "I;16" else base.convert(mode)
            for options in choices if mode in ("RGB", "L") else choices[:1]:
                file = io.BytesIO()
                extra = {"exif": exif} if name in ("JPEG", "PNG", "WEBP") else {}
                picture.save(file, name, **options, **extra)
                files.append((f".{'jpg' if name == 'JPEG' else name.lower()}", file.getvalue()))
    return files


def mutate(rng: random.Random, data: bytes, others: list[tuple[str, bytes]]) -> bytes:
    """Change a file in one way: cut, flip, repeat, drop, splice, or write a large number, mostly near its header."""
    place = rng.randrange(min(len(data), rng.choice((40, 200, len(data)))) or 1)
    end = min(len(data), place + rng.randrange(1, 64))
    kind = rng.randrange(8)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    if kind == 2:
        return data[:place] + data[place:end] * rng.randrange(2, 50) + data[end:]
    if kind == 3:
        return data[:place] + data[end:]
    if kind == 4:
        other = rng.choice(others)[1]
        return data[:place] + other[rng.randrange(len(other)) :]
    if kind == 5:
        return data[:place] + rng.choice(NUMBERS) + data[place + 4 :]
    if kind == 6:
        return data[:place] + rng.randbytes(end - place) + data[end:]
    return data + rng.randbytes(rng.randrange(1, 300))


def play(count: int, seed: int) -> Played:
    """Read mutated pictures.

    Args:
        count: How many.
        seed: Of the first; the others follow.
    """
    played, valid = Played(), make_valid()
    with tempfile.TemporaryDirectory(prefix="zoogan-mutations-") as folder, warnings.catch_warnings(action="ignore"):
        for number in range(count):
            rng = random.Random(seed + number)
            suffix, data = rng.choice(valid)
            for _ in range(rng.choice((1, 1, 2, 5))):
                data = mutate(rng, data or b"\0", valid)
            path = Path(folder) / f"mutated{rng.choice(valid)[0] if rng.random() < 0.1 else suffix}"
            path.write_bytes(data)
            readers: tuple[Callable[[Path], Any], ...] = (
                decode_picture, lambda file: read_squares([file], 0.9, 32), read_photo, read_whole_photo,
                lambda file: scan_picture(file.parent, file.name),
            )  # fmt: skip
            start = time.process_time()
            try:
                rng.choice(readers)(path)
                played.taken += 1
            except ConfigError as error:
                played.refuse(str(error))
            except Exception as error:  # what the test is about
                played.failures.append(f"seed {seed + number} ({suffix}): {type(error).__name__}: {str(error)[:200]}")
            taken = time.process_time() - start
            if taken > SLOW:
                played.failures.append(f"seed {seed + number} ({suffix}): {taken:.1f} s")
            played.slowest = max(played.slowest, (taken, number))
    return played


if __name__ == "__main__":
    run_script(play, "pictures")
