"""Boxes: the rectangles of a photo that are edited. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoogan.errors import ConfigError


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels of an upright photo.

    Attributes:
        left: Pixels between the left edge of the photo and the box.
        top: Pixels above the box.
        width: Width in pixels.
        height: Height in pixels.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.top + self.height

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    def is_inside(self, width: int, height: int) -> bool:
        """Return whether the box holds a pixel and lies in a photo of this size."""
        return (
            self.width > 0
            and self.height > 0
            and min(self.left, self.top) >= 0
            and self.right <= width
            and self.bottom <= height
        )

    def measure_overlap(self, other: Box) -> float:
        """Measure the shared area of two boxes as a share of their joint area (intersection over union)."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0, width) * max(0, height)
        return shared / (self.width * self.height + other.width * other.height - shared)


def parse_box(text: str) -> Box:
    """Parse a box that a person typed as `x,y,w,h`.

    Raises:
        ConfigError: It is no four whole numbers, or holds no pixel.
    """
    try:
        left, top, width, height = (int(number) for number in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--box {text}: expected four whole numbers x,y,w,h: the left and upper edge, width and height in pixels"
        ) from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise ConfigError(f"--box {text}: expected x and y of 0 or more, and w and h of 1 or more")
    return Box(left, top, width, height)


def find_centre_box(width: int, height: int, share: float) -> Box:
    """Find the centre square of a photo.

    Args:
        width: Width of the photo.
        height: Height of the photo.
        share: Side of the square as a share of the shorter side of the photo, in (0, 1].
    """
    side = max(1, round(min(height, width) * share))
    return Box(round((width - side) / 2), round((height - side) / 2), side, side)


def fit_square(box: Box, width: int, height: int) -> Box:
    """Fit a square around a box: on the same centre, as large as its longer side, and moved into the photo.

    Args:
        box: The box.
        width: Width of the photo.
        height: Height of the photo.

    Raises:
        ConfigError: The box is not inside the photo, or the square is larger than the photo.
    """
    side = max(box.width, box.height)
    if not box.is_inside(width, height):
        raise ConfigError(
            f"--box {box}: reaches to {box.right},{box.bottom}, but the photo is {width} x {height}; give x,y,w,h in "
            "pixels of the upright photo"
        )
    if side > min(width, height):
        raise ConfigError(
            f"--box {box}: the square around it has {side} pixels a side, but the photo is {width} x {height}; give at "
            f"most {min(width, height)} for w and h"
        )
    left = box.left + (box.width - side) // 2
    top = box.top + (box.height - side) // 2
    return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)
