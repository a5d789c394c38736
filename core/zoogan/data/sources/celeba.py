"""CelebA (Liu et al., ICCV 2015) in the layout in which it is distributed."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError, DataConfig
from zoogan.data.config import CelebAData
from zoogan.data.sources.labels import (
    HAIR_COLOURS,
    DataWarning,
    check_balance,
    check_both_values,
    columns,
    exclusive_among,
)
from zoogan.facts import Facts
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems
from zoogan.pictures.photo import read_quickly, resized, square

LAYOUT = """CelebA is expected as it is distributed, in one folder (--root):
  img_align_celeba/000001.jpg ...   the aligned and cropped images
  list_attr_celeba.txt              the 40 attributes
  identity_CelebA.txt               optional: who is who, for a split by person
  list_eval_partition.txt           optional: the official split"""
WIDTH = 178  # of the original images; they are 178 x 218
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SHUFFLE_SEED, SHUFFLE_TEST = 1234, 2000  # stargan: data_loader.py, its 1,999 corrected to the intended 2,000
NUMBER_TRAIN = 200_000  # elvisyjlin/SpatialAttentionGAN: data.py
IDENTITY_TEST = 5  # one person in five


@dataclass(frozen=True)
class Rows:
    """Rows of the attribute list: file names, and the columns asked for as 0/1 (n, a)."""

    names: list[str]
    labels: Float[Tensor, "n a"]


class CelebA(Source):
    """Role `source`: CelebA from its own files, at any scale of the images.

    Raises:
        ConfigError: when a file or an image is missing or malformed, an attribute is unknown, or one of its
            two values does not occur in training.
    """

    def __init__(self, config: CelebAData, facts: Facts | None = None) -> None:
        self.config = config
        root = check_layout(config)
        check_balance(config.balance, config.attributes)
        self.image_size, self.attributes = config.image_size, config.attributes
        self.crop = config.crop / WIDTH
        self.exclusive, self.groups = exclusive_among(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        self.images = root / "img_align_celeba"
        self.rows = read_attributes(root / "list_attr_celeba.txt", config.attributes)
        check_images(self.images, self.rows.names)
        self.split, self.members = divide(root, self.rows.names, config.split)
        check_both_values(self.attributes, self.labels("train"), config.balance, str(root))
        if not self.members["test"]:
            message = f"data.split={self.split} leaves no test faces in {root}"
            warnings.warn(message, DataWarning, stacklevel=2)

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """The names in line 2 of the attribute list.

        Raises:
            ConfigError: the list is not there.
        """
        assert isinstance(config, CelebAData)
        with (check_layout(config) / "list_attr_celeba.txt").open() as file:
            return tuple([file.readline(), file.readline()][1].split())

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        return len(self.members[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1."""
        return self.rows.labels[self.members[split]]

    def names(self, split: Split) -> list[str]:
        """The file names of a split, in the order of its indices."""
        return [self.rows.names[i] for i in self.members[split]]

    def files(self, split: Split) -> tuple[Path, list[str]]:
        """The folder of the images, and their names."""
        return self.images, self.names(split)

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """image uint8 (n, 3, s, s): centre square, resized; attributes (n, a).

        Raises:
            ConfigError: an image cannot be decoded.
        """
        rows = [self.members[split][i] for i in indices]
        squares = [square(read_quickly(self.images / self.rows.names[row]), self.crop) for row in rows]
        return {"image": resized(squares, self.image_size), "attributes": self.rows.labels[rows]}


def check_layout(config: CelebAData) -> Path:
    """The root, when images and attributes are in it.

    Raises:
        ConfigError: what is missing, and how it should look.
    """
    root = config.folder()
    missing = [name for name in ("list_attr_celeba.txt", "img_align_celeba") if not (root / name).exists()]
    if missing:
        raise ConfigError(f"data.root: {root} has no {' and no '.join(missing)}\n{LAYOUT}")
    return root


def read_attributes(path: Path, asked: Sequence[str]) -> Rows:
    """The attribute list: line 1 the number of rows, line 2 the names, then `file v1 .. v40` with v -1 or 1.

    Raises:
        ConfigError: unknown attributes, all at once; malformed lines, the first few with their numbers;
            another number of rows than line 1 says.
    """
    lines = path.read_text().splitlines()
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise ConfigError(f"{path}, line 1: expected the number of rows, then a line of names, then the rows")
    known = lines[1].split()
    chosen = [column + 1 for column in columns(asked, known, str(path))]
    names, values, problems = [], [], []
    for number, line in enumerate(lines[2:], start=3):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != len(known) + 1:
            problems.append(f"{path}, line {number}: {len(cells) - 1} values for {len(known)} attributes")
            continue
        row = [cells[column] for column in chosen]
        if not {"1", "-1"}.issuperset(row):
            odd = next(value for value in row if value not in ("1", "-1"))
            problems.append(f"{path}, line {number}: the value {odd!r} is neither 1 nor -1")
            continue
        names.append(cells[0])
        values.append([float(value == "1") for value in row])
    if problems:
        raise ConfigError(join_problems(problems))
    if len(names) != int(lines[0]):
        raise ConfigError(
            f"{path}: line 1 says {int(lines[0])} rows, but there are {len(names)}: a cut-off file? "
            "If you made a smaller copy on purpose, correct line 1"
        )
    return Rows(names, torch.tensor(values, dtype=torch.float32).reshape(len(names), len(chosen)))


def check_images(folder: Path, names: Sequence[str]) -> None:
    """That every image of the list is there. One listing of the folder is much faster than 200,000 questions.

    Raises:
        ConfigError: the first few that are missing, and how many.
    """
    there = set(os.listdir(folder))
    missing = [f"{folder / name}: listed, but there is no such image" for name in names if name not in there]
    if missing:
        nested = f"\n{folder} has none of the images; do they lie in a folder inside it?"
        raise ConfigError(join_problems(missing) + nested * (len(missing) == len(names)))


def read_pairs(path: Path, names: Sequence[str]) -> list[int]:
    """The numbers that a list `file number` gives to `names`.

    Raises:
        ConfigError: malformed lines, or names without a number.
    """
    numbers: dict[str, int] = {}
    problems = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        cells = line.split()
        if len(cells) == 2 and cells[1].isdigit():
            numbers[cells[0]] = int(cells[1])
        elif cells:
            problems.append(f"{path}, line {number}: expected a file name and a number, got {line.strip()!r}")
    problems = problems or [f"{path}: no line for {name}" for name in names if name not in numbers]
    if problems:
        raise ConfigError(join_problems(problems))
    return [numbers[name] for name in names]


def divide(root: Path, names: Sequence[str], how: str) -> tuple[str, dict[Split, list[int]]]:
    """(the split that `how` comes to, the rows of each split); see `CelebAData.split`.

    Raises:
        ConfigError: a file that the split needs is missing or malformed.
    """
    identity, partition = root / "identity_CelebA.txt", root / "list_eval_partition.txt"
    if how == "auto":
        how = _best(identity, partition, names)
    for needs, path in (("identity", identity), ("partition", partition)):
        if how == needs and not path.exists():
            raise ConfigError(f"data.split={how} needs {path}, which is not there\n{LAYOUT}")
    ways: dict[str, Callable[[], list[int]]] = {
        "partition": lambda: _partition(partition, names),
        "identity": lambda: [2 * _held_out(person) for person in read_pairs(identity, names)],
        "number": lambda: [2 * (_number(name) > NUMBER_TRAIN) for name in names],
        "shuffle": lambda: _shuffled(len(names)),
    }
    sides = ways[how]()
    return how, {split: [i for i, s in enumerate(sides) if s == side] for side, split in enumerate(SPLITS)}


def _best(identity: Path, partition: Path, names: Sequence[str]) -> str:
    if not identity.exists():
        return "partition" if partition.exists() else "number"
    if not partition.exists():
        return "identity"
    sides: dict[int, set[int]] = {}
    for person, side in zip(read_pairs(identity, names), read_pairs(partition, names)):
        sides.setdefault(person, set()).add(side)
    return "partition" if all(len(found) == 1 for found in sides.values()) else "identity"


def _partition(path: Path, names: Sequence[str]) -> list[int]:
    sides = read_pairs(path, names)
    odd = [
        f"{path}: {name} is in part {side}; 0 is train, 1 valid, 2 test" for name, side in zip(names, sides) if side > 2
    ]
    if odd:
        raise ConfigError(join_problems(odd))
    return sides


def _held_out(person: int) -> bool:
    return seed_of("celeba", person) % IDENTITY_TEST == 0


def _number(name: str) -> int:
    digits = Path(name).stem
    if not digits.isdigit():
        raise ConfigError(f"data.split=number: {name} is not named by a number")
    return int(digits)


def _shuffled(n: int) -> list[int]:
    order = list(range(n))
    random.Random(SHUFFLE_SEED).shuffle(order)
    test = set(order[:SHUFFLE_TEST])
    return [2 * (i in test) for i in range(n)]
