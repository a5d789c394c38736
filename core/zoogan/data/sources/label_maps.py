"""Segmentations in files: label maps, one class a pixel, and masks of single parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.data.label_sets import LabelSet

PAINTED = 255  # the value of a mask where the part is
STEPS = {"L;2": 255 // 3, "L;4": 255 // 15}  # Pillow spreads the values of grey PNGs of 2 and 4 bits over 0..255
Pixels = UInt8[np.ndarray, "h w"]


def read_labels(path: Path) -> Pixels:
    """The values of a label map, as its PNG counts them: indices of a palette, grey, or black 0 and white 1 where a
    pixel has one bit. A palette's colours mean nothing.

    Raises:
        ConfigError: it cannot be read, or is coloured.
    """
    with _opened(path) as picture:
        if picture.mode not in ("P", "L", "1"):
            raise ConfigError(
                f"{path}: a label map has one value a pixel, 0..255, in a grey or palette PNG; this one is "
                f"{picture.mode}. Save class numbers, not colours"
            )
        packing = [tile[3] for tile in getattr(picture, "tile", ())]  # forgotten once the pixels are read
        return _pixels(path, picture) // next((step for name, step in STEPS.items() if name in packing), 1)


def read_mask(path: Path) -> Pixels:
    """The mask of one part, 255 where it is; grey, black and white, or RGB.

    Raises:
        ConfigError: it cannot be read, or has something in it and nowhere 255.
    """
    with _opened(path) as picture:
        mask = _pixels(path, picture, "L")
    if mask.any() and not (mask == PAINTED).any():
        found = np.unique(mask).tolist()
        told = ", ".join(map(str, found[:5])) + (f", ... {found[-1]}" if len(found) > 5 else "")
        raise ConfigError(
            f"{path}: a mask is {PAINTED} where the part is and 0 elsewhere; this one has the values {told} and no "
            f"{PAINTED}, so that nothing would be painted. Save it anew in black and white, 0 and {PAINTED}"
        )
    return mask


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        raise ConfigError(f"{path}: not a picture that can be read; a mask or label map is a PNG") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: damaged or unreadable ({error})") from error


def _pixels(path: Path, picture: Image.Image, mode: str | None = None) -> Pixels:
    try:
        return np.asarray(picture if mode is None else picture.convert(mode), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path}: damaged or unreadable ({error}); fetch it again") from error


def check_proportions(path: Path, pixels: Pixels, photo: Path, height: int, width: int) -> None:
    """That a mask has the proportions of its image, `height` x `width`, to a pixel; it may be smaller or larger.

    Raises:
        ConfigError: it has not: the two are no pair.
    """
    h, w = pixels.shape
    if abs(w * height - h * width) > max(height, width):
        raise ConfigError(
            f"{path}: {w} x {h}, but its image {photo} is {width} x {height}; a mask has the proportions of its image. "
            "Cut both alike, or give it its own image"
        )


def table_of(label_set: LabelSet) -> UInt8[Tensor, "256"]:
    """The part of each value of a label map; of values that the set does not know, 0."""
    table = torch.zeros(256, dtype=torch.uint8)
    known = label_set.table()
    table[: len(known)] = torch.tensor(known, dtype=torch.uint8)
    return table


def remapped(labels: UInt8[Tensor, "*any"], table: UInt8[Tensor, "256"]) -> UInt8[Tensor, "*any"]:
    """The part of each pixel of a label map."""
    return table[labels.long()]


def check_values(path: Path, labels: Pixels, label_set: LabelSet) -> None:
    """That a label map holds only classes of the label set.

    Raises:
        ConfigError: the first value that it does not know.
    """
    last = len(label_set.classes) - 1
    if labels.size and (largest := int(labels.max())) > last:
        raise ConfigError(
            f"{path}: the value {largest}, but the label set has the classes 0 ({label_set.classes[0]}) to {last} "
            f"({label_set.classes[last]}); correct the map, or name its classes in data.label_set.classes"
        )


def read_parts(
    path: Path,
    photo: Path,
    height: int,
    width: int,
    label_set: LabelSet,
    table: UInt8[Tensor, "256"],
    share: float,
    size: int,
) -> UInt8[Tensor, "{size} {size}"]:
    """The parts that a label map shows of the image `photo`, `height` x `width`: its centre square, at `size`.

    Raises:
        ConfigError: as `read_labels`, `check_values` and `check_proportions`.
    """
    labels = read_labels(path)
    check_values(path, labels, label_set)
    check_proportions(path, labels, photo, height, width)
    return remapped(nearest(labels, height, width, share, size), table)


def painted(masks: Iterable[tuple[int, UInt8[Tensor, "h w"]]], size: int) -> UInt8[Tensor, "{size} {size}"]:
    """(part, mask) painted one over the other, where a mask is 255; everything else is the background, 0."""
    labels = torch.zeros(size, size, dtype=torch.uint8)
    for part, mask in masks:
        labels[mask == PAINTED] = part
    return labels


def nearest(pixels: Pixels, height: int, width: int, share: float, size: int) -> UInt8[Tensor, "{size} {size}"]:
    """The mask of what `photo.square` keeps of an image of `height` x `width`, at `size`: of each new pixel the one
    that lies below its centre. Cut by the image's box, so that a mask of half its size is not half a pixel off."""
    side = max(1, round(min(height, width) * share))
    centres = (2 * np.arange(size) + 1) * side  # in 1 / (2 size) pixels of the image, from the edge of the square
    rows, columns = (
        (2 * size * round((whole - side) / 2) + centres) * own // (2 * size * whole)
        for whole, own in zip((height, width), pixels.shape)
    )
    return torch.from_numpy(pixels[np.ix_(rows, columns)])
