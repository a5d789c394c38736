"""Converts images to the input of a run: files, PIL images, arrays, tensors and bytes become one batch."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.pictures.opening import BinaryFile
from zoogan.pictures.photo import crop_photo, normalize_image, quantize_image, read_photo
from zoogan.pictures.photo_paths import list_photo_paths

Photo = str | Path | Image.Image | Tensor | np.ndarray | bytes | BinaryFile
Photos = Photo | Sequence[Photo] | Iterator[Photo]
ValueRange = tuple[float, float]
"""The numbers of black and white."""

NORMALIZED: ValueRange = (-1.0, 1.0)  # of everything that zoogan returns
CHANNELS = (1, 3, 4)
SMALLEST = 16  # pixels a side of a photo in floats, as of `Facts.image_size`
ROUNDING = 0.001
ACCEPTED = "a photo is a path, a PIL image, bytes, an open file, an array (h, w, 3) or a tensor (3, h, w)"


def prepare_images(
    images: Any, facts: Facts, device: torch.device, value_range: ValueRange | None = None
) -> Float[Tensor, "n c s s"]:
    """Convert anything that shows faces to floats (n, c, s, s) in [-1, 1].

    Args:
        images: One photo, a sequence of photos, or a batch (n, ...). A photo is a path (of a file, of a folder, or a
            pattern such as `photos/*.png`), a PIL image, the bytes of a file, an open file, an array (h, w, 3) or
            (h, w) or a tensor (3, h, w), of bytes or floats. Floats at the size of the run are taken as they are;
            everything else is cropped as the run's data was, and turned grey for one channel.
        facts: Size, channels and crop of the run's images.
        device: Where the result goes.
        value_range: The numbers of black and white in floats. None = (-1, 1) if any is negative, else (0, 1) with a
            warning, because a very bright picture in (-1, 1) looks the same.

    Raises:
        ConfigError: Pictures that cannot be read, floats outside of their range, or an unsupported type or shape.
    """
    items = [item for one in _list_items(images) for item in _read_item(one, facts)]
    if not items:
        raise ConfigError(f"images: got an empty list; {ACCEPTED}")
    floats = [item for item in items if item.is_floating_point()]
    low, high = _choose_range(floats, value_range) if floats else NORMALIZED
    rows = []
    for item in items:
        if item.is_floating_point():
            item = (item.to(torch.float32) - low) * (2 / (high - low)) - 1 if (low, high) != NORMALIZED else item
            if tuple(item.shape) == (facts.channels, facts.image_size, facts.image_size):
                rows.append(item.to(device, torch.float32))
                continue
            item = quantize_image(item)
        rows.append(normalize_image(crop_photo(_convert_channels(item), facts)).to(device))
    return torch.stack(rows)


def is_float_array(value: object) -> bool:
    """Return whether a value is a numpy array of floats."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


# ---- the single photos ----


def _list_items(images: Any) -> list[Any]:
    """List the photos that were given, one by one; paths of folders and patterns become their files."""
    if isinstance(images, BinaryFile) or not isinstance(images, list | tuple | Iterator):  # a file is an iterator too
        images = [images]
    items: list[Any] = []
    for image in images:
        items += list_photo_paths(image) if isinstance(image, str | Path) else [image]
    return items


def _read_item(item: Any, facts: Facts) -> list[Tensor]:
    """Read one photo or one batch: photos (c, h, w) as bytes or as floats in their own range.

    Raises:
        ConfigError: Pictures that cannot be read, or an unsupported type or shape.
    """
    if isinstance(item, io.TextIOBase):
        raise ConfigError(f"images: {getattr(item, 'name', 'this file')} is open as text; open it with mode 'rb'")
    if isinstance(item, bytes | bytearray | memoryview):
        item = io.BytesIO(item)
    if isinstance(item, str | Path | Image.Image | BinaryFile):
        return [read_photo(item)]
    if not isinstance(item, Tensor | np.ndarray):
        raise ConfigError(f"images: got {type(item).__name__}; {ACCEPTED}")
    is_array = isinstance(item, np.ndarray)
    pixels = _read_numbers(item)
    batch = [pixels] if pixels.dim() < 4 else list(pixels)
    photos = [_put_channels_first(photo, prefers_last=is_array) for photo in batch if photo.dim() in (2, 3)]
    fits = [_is_picture(photo, facts) for photo in photos]
    if not batch or len(photos) < len(batch) or not all(fits):
        kind = "an array" if is_array else "a tensor"
        size = facts.image_size
        raise ConfigError(
            f"images: got {kind} of {item.dtype} and shape {tuple(item.shape)}, expected floats of shape "
            f"(n, {facts.channels}, {size}, {size}), or a photo: (h, w, 3) in an array, (3, h, w) in a tensor"
        )
    return photos


def _read_numbers(values: Tensor | np.ndarray) -> Tensor:
    """Return the numbers of an array or tensor as bytes or floats.

    Raises:
        ConfigError: Integers that are no bytes, or no numbers at all.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.dtype != np.uint8:
        values = values.astype(np.int64)  # torch computes little with unsigned integers
    try:
        pixels = (
            values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))
        )  # may be read-only
    except TypeError:
        raise ConfigError(f"images: got an array of {values.dtype}; {ACCEPTED}") from None
    if pixels.dtype == torch.uint8 or pixels.is_floating_point():
        return pixels.detach()
    if pixels.dtype == torch.bool or pixels.is_complex():
        raise ConfigError(f"images: got {pixels.dtype}, expected bytes or floats")
    if pixels.numel() and (int(pixels.min()) < 0 or int(pixels.max()) > 255):
        raise ConfigError(
            f"images: integers from {int(pixels.min())} to {int(pixels.max())}, expected 0 to 255; "
            "divide 16 bits by 257"
        )
    return pixels.to(torch.uint8)


def _put_channels_first(pixels: Tensor, *, prefers_last: bool) -> Tensor:
    """Return pixels (h, w), (h, w, c) or (c, h, w) as (c, h, w)."""
    if pixels.dim() == 2:
        return pixels[None]
    is_first, is_last = pixels.shape[0] in CHANNELS, pixels.shape[-1] in CHANNELS
    return pixels.permute(2, 0, 1) if is_last and (prefers_last or not is_first) else pixels


def _is_picture(pixels: Tensor, facts: Facts) -> bool:
    """Return whether pixels (c, h, w) have the channels of a photo or of the run, and are large enough for floats."""
    channels, height, width = pixels.shape
    smallest = SMALLEST if pixels.is_floating_point() else 1
    return channels in (*CHANNELS, facts.channels) and min(height, width) >= smallest


def _convert_channels(photo: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "3 h w"]:
    """Make grey pixels coloured, and lay transparent ones on white."""
    if len(photo) == 4:
        return read_photo(Image.fromarray(photo.permute(1, 2, 0).contiguous().cpu().numpy()))
    return photo.cpu().expand(3, -1, -1)


# ---- the range of floats ----


def _choose_range(floats: Sequence[Tensor], value_range: ValueRange | None) -> ValueRange:
    """Return the numbers of black and white in all floats of one call, and check that they lie between.

    Raises:
        ConfigError: Floats outside of their range, or no range.
    """
    lowest, highest = (
        float(function(torch.stack([function(f) for f in floats]))) for function in (torch.min, torch.max)
    )
    if value_range is None:
        chosen = NORMALIZED if lowest < -ROUNDING else (0.0, 1.0)
    else:
        chosen = cast(ValueRange, tuple(map(float, value_range)))
        if len(chosen) != 2 or chosen[0] >= chosen[1]:
            raise ConfigError(
                f"value_range: got {value_range}, expected the numbers of black and white, such as (0, 1)"
            )
    slack = ROUNDING * (chosen[1] - chosen[0])
    if not (lowest >= chosen[0] - slack and highest <= chosen[1] + slack):
        advice = "state it with value_range=(black, white)" if value_range is None else "correct value_range"
        raise ConfigError(
            f"images: values from {lowest:.3g} to {highest:.3g}, expected [{chosen[0]:g}, {chosen[1]:g}]; {advice}"
        )
    if value_range is None and chosen != NORMALIZED:
        warnings.warn(
            "images: no float is negative, so black is taken to be 0 and white 1; if black is -1, say "
            "value_range=(-1, 1), and value_range=(0, 1) hides this warning",
            stacklevel=_count_own_frames(),
        )
    return chosen


def _count_own_frames() -> int:
    """Return the `stacklevel` at which a warning names the line outside of zoogan that called it."""
    own, level = os.path.dirname(os.path.dirname(__file__)), 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(own):
        frame, level = frame.f_back, level + 1
    return level
