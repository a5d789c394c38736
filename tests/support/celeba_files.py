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


def write_celebamask_hq(root: Path, numbers: Sequence[int] = range(12)) -> Path:
    """Write random pictures of 64 pixels with label maps of 32, and the label Eyeglasses."""
    for folder in ("CelebA-HQ-img", "CelebAMask-HQ-mask"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in numbers:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            root / "CelebA-HQ-img" / f"{number}.jpg"
        )
        labels = rng.integers(0, 19, (8, 8), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(labels).save(root / "CelebAMask-HQ-mask" / f"{number}.png")
    rows = [f"{number}.jpg  {2 * (number % 2) - 1}" for number in numbers]
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join([str(len(rows)), "Eyeglasses", *rows]))
    return root
