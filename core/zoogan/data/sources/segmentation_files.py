"""Segmentations in files: label maps, with one class a pixel, and masks of single parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from zoogan.data.label_sets import LabelSet
from zoogan.errors import ConfigError
from zoogan.pictures.opening import open_picture

PAINTED = 255  # value of a mask inside the part
STEPS = {"L;2": 255 // 3, "L;4": 255 // 15}  # Pillow spreads the values of grey PNGs of 2 and 4 bits over 0..255
Pixels = UInt8[np.ndarray, "h w"]


def read_label_map(path: Path) -> Pixels:
    """Read the values of a label map: palette indices, grey values, or 0 and 1 of a black and white PNG.

    The colours of a palette mean nothing.

    Args:
        path: The PNG.

    Raises:
        ConfigError: The file cannot be read, or has colours.
    """
    with open_picture(path) as picture:
        if picture.mode not in ("P", "L", "1"):
            raise ConfigError(
                f"{path}: a label map has one value a pixel, 0..255, in a grey or palette PNG; this one is "
                f"{picture.mode}. Save class numbers, not colours"
            )
        packing = [tile[3] for tile in getattr(picture, "tile", ())]  # Pillow drops it once the pixels are read
        return np.asarray(picture, dtype=np.uint8) // next((step for name, step in STEPS.items() if name in packing), 1)


def read_mask(path: Path) -> Pixels:
    """Read the mask of one part.

    Args:
        path: A grey, black and white, or RGB picture.

    Returns:
        255 inside the part.

    Raises:
        ConfigError: The file cannot be read, or is neither empty nor has the value 255.
    """
    with open_picture(path) as picture:
        mask = np.asarray(picture.convert("L"), dtype=np.uint8)
    if mask.any() and not (mask == PAINTED).any():
        values = np.unique(mask).tolist()
        some = ", ".join(map(str, values[:5])) + (f", ... {values[-1]}" if len(values) > 5 else "")
        raise ConfigError(
            f"{path}: a mask is {PAINTED} where the part is and 0 elsewhere; this one has the values {some} and no "
            f"{PAINTED}, so that nothing would be painted. Save it again in black and white, 0 and {PAINTED}"
        )
    return mask


def check_proportions(path: Path, pixels: Pixels, photo: Path, height: int, width: int) -> None:
    """Check that a mask or label map has the proportions of its image, within a pixel; its size may differ.

    Args:
        path: The file of the mask, for messages.
        pixels: The mask.
        photo: The file of the image, for messages.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        ConfigError: The proportions differ.
    """
    h, w = pixels.shape
    if abs(w * height - h * width) > max(height, width):
        raise ConfigError(
            f"{path}: {w} x {h}, but its image {photo} is {width} x {height}; a mask has the proportions of its image. "
            "Cut both alike, or give it its own image"
        )


def make_part_table(label_set: LabelSet) -> UInt8[Tensor, "256"]:
    """Make the table from value in a label map to part; 0 for values that the set does not have."""
    table = torch.zeros(256, dtype=torch.uint8)
    parts = label_set.list_parts()
    table[: len(parts)] = torch.tensor(parts, dtype=torch.uint8)
    return table


def map_parts(labels: UInt8[Tensor, "*any"], table: UInt8[Tensor, "256"]) -> UInt8[Tensor, "*any"]:
    """Map each pixel of a label map to its part, with a table of `make_part_table`."""
    return table[labels.long()]


def _check_values(path: Path, labels: Pixels, label_set: LabelSet) -> None:
    """Check that a label map holds only classes of the label set; ConfigError names the largest value if not."""
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
    """Read the segmentation of an image from its label map: the centre square, at the size of the source.

    Args:
        path: The label map.
        photo: The file of the image, for messages.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        label_set: The label set; its classes are the values of the label map.
        table: Its table, see `make_part_table`.
        share: Side of the square as a share of the shorter side.
        size: Side of the result in pixels.

    Raises:
        ConfigError: The label map cannot be read, has colours or other proportions than its image, or holds a value
            that the label set does not have.
    """
    labels = read_label_map(path)
    _check_values(path, labels, label_set)
    check_proportions(path, labels, photo, height, width)
    return map_parts(resize_nearest(labels, height, width, share, size), table)


def paint_parts(masks: Iterable[tuple[int, UInt8[Tensor, "h w"]]], size: int) -> UInt8[Tensor, "{size} {size}"]:
    """Paint masks one over the other.

    Args:
        masks: (part, mask), in the order of painting; a mask is 255 inside the part.
        size: Side of the masks in pixels.

    Returns:
        The part of each pixel; 0, the background, where no mask is 255.
    """
    labels = torch.zeros(size, size, dtype=torch.uint8)
    for part, mask in masks:
        labels[mask == PAINTED] = part
    return labels


def resize_nearest(pixels: Pixels, height: int, width: int, share: float, size: int) -> UInt8[Tensor, "{size} {size}"]:
    """Crop a mask to the square that `crop_square` keeps of its image, and resize it by nearest neighbour.

    Each new pixel takes the pixel below its centre. The crop follows the box of the image, so that a mask of half the
    size is not half a pixel off.

    Args:
        pixels: The mask; its size may differ from that of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        share: Side of the square as a share of the shorter side.
        size: Side of the result in pixels.
    """
    side = max(1, round(min(height, width) * share))
    centres = (2 * np.arange(size) + 1) * side  # in 1 / (2 size) pixels of the image, from the edge of the square
    rows, columns = (
        (2 * size * round((whole - side) / 2) + centres) * own // (2 * size * whole)
        for whole, own in zip((height, width), pixels.shape)
    )
    return torch.from_numpy(pixels[np.ix_(rows, columns)])
