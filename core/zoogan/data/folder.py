"""A folder of images with labels in labels.csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.data.celeba import check_values, decode
from zoogan.data.config import FolderData
from zoogan.data.photo import centre_square
from zoogan.facts import Facts
from zoogan.interfaces import Source
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Split
from zoogan.registry import nearest

VALUES = {"1": 1.0, "0": 0.0, "-1": 0.0, "1.0": 1.0, "0.0": 0.0, "-1.0": 0.0}
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SHOWN = 5  # problems that are spelled out


class Folder(Source):
    """Images anywhere under a folder, and its labels.csv: `file,Name1,...` with 0/1 or -1/1, one line an image.

    Raises:
        ConfigError: missing files or labels, unknown values, duplicates, unknown attributes: the first few and the total.
    """

    def __init__(self, config: FolderData, facts: Facts | None = None) -> None:
        assert config.root is not None
        self.root, self.image_size, self.attributes = config.root, config.image_size, config.attributes
        self.crop = config.crop
        self.names, self._labels = read_labels(config.root, config.attributes)
        test = [seed_of("folder", name) % 10_000 < 10_000 * config.test_share for name in self.names]
        rows = range(len(self.names))
        self.splits: dict[Split, list[int]] = {
            "train": [i for i in rows if not test[i]], "valid": [], "test": [i for i in rows if test[i]],
        }  # fmt: skip
        check_values(self.labels("train"), self.attributes)

    def size(self, split: Split) -> int:
        """How many images the split has."""
        return len(self.splits[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """The chosen attributes, 0 or 1."""
        return self._labels[torch.tensor(self.splits[split], dtype=torch.long)]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Decode, crop the centre square, resize.

        Raises:
            ConfigError: an image that cannot be read, by name.
        """
        rows = [self.splits[split][i] for i in indices]
        images = []
        for row in rows:
            picture = decode(self.root / self.names[row])
            side = max(1, round(self.crop * min(picture.shape[1:])))
            images.append(centre_square(picture, side, self.image_size))
        return {"image": torch.stack(images), "attributes": self._labels[torch.tensor(rows)]}


def read_labels(root: Path, wanted: Sequence[str]) -> tuple[list[str], Float[Tensor, "n a"]]:
    """File names and the wanted columns of `root/labels.csv`, as 0.0 and 1.0; every image under `root` must be in it."""
    path = root / "labels.csv"
    if not path.is_file():
        raise ConfigError(f"{root}: no labels.csv; expected lines `file,{','.join(wanted)}` with 0/1 or -1/1")
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    header = [name.strip() for name in table[0]] if table else []
    if not header or header[0] != "file":
        raise ConfigError(f"{path}:1: expected the header `file,Name1,...`, got {','.join(header)!r}")
    unknown = [name for name in wanted if name not in header[1:]]
    if unknown:
        said = "\n".join(f"data.attributes: labels.csv has no {n!r}{nearest(n, header[1:])}" for n in unknown)
        raise ConfigError(f"{said}\nknown: {', '.join(header[1:])}")
    columns = [header.index(name) for name in wanted]
    problems: list[str] = []
    names: list[str] = []
    rows: list[list[float]] = []
    seen: set[str] = set()
    for number, line in enumerate(table[1:], 2):
        if not any(cell.strip() for cell in line):
            continue
        name = line[0].strip()
        values = [VALUES.get(line[c].strip()) if c < len(line) else None for c in columns]
        if name in seen:
            problems.append(f"labels.csv:{number}: {name} is listed twice")
        elif not (root / name).is_file():
            problems.append(f"labels.csv:{number}: no file {name}")
        elif None in values:
            bad = wanted[values.index(None)]
            got = line[columns[values.index(None)]] if columns[values.index(None)] < len(line) else ""
            problems.append(f"labels.csv:{number}: {name} has {'no label' if not got.strip() else repr(got)} for {bad}")
        seen.add(name)
        names.append(name)
        rows.append([value or 0.0 for value in values])
    unlisted = sorted(
        str(p.relative_to(root)) for p in root.rglob("*") if p.suffix.lower() in IMAGES and p.relative_to(root).as_posix() not in seen
    )
    problems += [f"{name}: no line in labels.csv" for name in unlisted]
    if problems:
        more = f"\nand {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ConfigError(f"{path}: {len(problems)} problems\n" + "\n".join(problems[:SHOWN]) + more)
    if not names:
        raise ConfigError(f"{path}: no image is listed")
    return names, torch.tensor(rows)
