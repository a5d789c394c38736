"""Write a small CelebA in the official layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Eyeglasses", "Male")
NUMBERS = (3, 7, 8, 12, 20, 199_999, 200_000, 200_001, 202_599)  # gaps, as a part of CelebA has


def label(row: int, column: int) -> int:
    """Return the label, 0 or 1, of a picture for the attribute in a column."""
    return (3 * row >> column) % 2


def write_celeba(root: Path, numbers: Sequence[int] = NUMBERS) -> Path:
    """Write random pictures, 89 x 109: half the original size, and their labels."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    lines = [str(len(numbers)), " ".join(ATTRIBUTES)]
    rng = np.random.default_rng(0)
    for row, number in enumerate(numbers):
        pixels = rng.integers(0, 256, (109, 89, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=95)
        values = " ".join(f"{2 * label(row, column) - 1:2}" for column in range(len(ATTRIBUTES)))
        lines.append(f"{number:06}.jpg {values}")
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return root
