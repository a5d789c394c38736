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

from zoogan.config import DataConfig
from zoogan.data.config import CelebAData
from zoogan.data.sources.attribute_columns import (
    HAIR_COLOURS,
    DataWarning,
    check_balance,
    check_both_values,
    find_columns,
    select_exclusive,
)
from zoogan.data.sources.text_files import read_lines
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems
from zoogan.pictures.decode import read_squares

_LAYOUT = """CelebA is expected as it is distributed, in one folder (--root):
  img_align_celeba/000001.jpg ...   the aligned and cropped images
  list_attr_celeba.txt              the 40 attributes
  identity_CelebA.txt               optional: the person in each image, for a split by person
  list_eval_partition.txt           optional: the official split"""
WIDTH = 178  # of the original images; they are 178 x 218
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SHUFFLE_SEED, SHUFFLE_TEST = 1234, 2000  # StarGAN: data_loader.py; its 1,999 is corrected to the intended 2,000
_NUMBER_TRAIN = 200_000  # elvisyjlin/SpatialAttentionGAN: data.py
IDENTITY_TEST = 5  # one person in five


@dataclass(frozen=True)
class AttributeRows:
    """Rows of the attribute list.

    Attributes:
        names: File names of the images.
        labels: Labels of the selected attributes, 0 or 1.
    """

    names: list[str]
    labels: Float[Tensor, "n a"]


class CelebA(Source):
    """Role `source`: CelebA from its own files, at any scale of the images.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: A file or an image is missing or malformed, an attribute is unknown, or one of its two values does
            not occur in training.
    """

    def __init__(self, config: CelebAData, facts: Facts | None = None) -> None:
        self.config = config
        root = _check_layout(config)
        check_balance(config.balance, config.attributes)
        self.image_size, self.attributes = config.image_size, config.attributes
        self.crop = config.crop / WIDTH
        self.exclusive, self.groups = select_exclusive(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        self.images = root / "img_align_celeba"
        self.rows = read_attributes(root / "list_attr_celeba.txt", config.attributes)
        check_images(self.images, self.rows.names)
        self.split, self.members = _split_rows(root, self.rows.names, config.split)
        check_both_values(self.attributes, self.read_labels("train"), config.balance, str(root))
        if not self.members["test"]:
            message = f"data.split={self.split} leaves no test faces in {root}"
            warnings.warn(message, DataWarning, stacklevel=2)

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """Read the names in line 2 of the attribute list.

        Args:
            config: The settings of the source.

        Raises:
            ConfigError: There is no list.
        """
        assert isinstance(config, CelebAData)
        return read_columns(_check_layout(config) / "list_attr_celeba.txt")

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return len(self.members[split])

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1."""
        return self.rows.labels[self.members[split]]

    def list_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the folder of the images, and the file name of each face."""
        return self.images, [self.rows.names[i] for i in self.members[split]]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s), the centre square, resized; `attributes` (n, a).

        Raises:
            ConfigError: An image cannot be decoded.
        """
        rows = [self.members[split][i] for i in indices]
        squares, _ = read_squares([self.images / self.rows.names[row] for row in rows], self.crop, self.image_size)
        return {"image": squares, "attributes": self.rows.labels[rows]}


def _check_layout(config: CelebAData) -> Path:
    """Return the root. Raise ConfigError if files are missing, with the expected layout."""
    root = config.get_root()
    missing = [name for name in ("list_attr_celeba.txt", "img_align_celeba") if not (root / name).exists()]
    if missing:
        raise ConfigError(f"data.root: {root} has no {' and no '.join(missing)}\n{_LAYOUT}")
    return root


def read_columns(path: Path) -> tuple[str, ...]:
    """Read the names of the attributes, line 2 of an attribute list.

    Raises:
        ConfigError: There is no such line, or it names an attribute twice.
    """
    return _get_columns(path, read_lines(path))


def _get_columns(path: Path, lines: Sequence[str]) -> tuple[str, ...]:
    """Return the names in line 2 of an attribute list; see `read_columns`."""
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise ConfigError(f"{path}, line 1: expected the number of rows, then a line of names, then the rows")
    columns = tuple(lines[1].split())
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ConfigError(f"{path}, line 2: the attribute {repeated[0]!r} is there twice; remove or rename it")
    return columns


def read_attributes(path: Path, attributes: Sequence[str]) -> AttributeRows:
    """Read columns of an attribute list.

    Args:
        path: The list: line 1 is the number of rows, line 2 the names, then come rows `file v1 .. v40`, v = -1 or 1.
        attributes: Names of the columns to read.

    Raises:
        ConfigError: Lists all unknown attributes, or the first few malformed lines with their numbers; or the number
            of rows is not that of line 1.
    """
    lines = read_lines(path)
    columns = _get_columns(path, lines)
    chosen = [column + 1 for column in find_columns(attributes, columns, str(path))]
    names, values, problems = [], [], []
    for number, line in enumerate(lines[2:], start=3):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != len(columns) + 1:
            problems.append(f"{path}, line {number}: {len(cells) - 1} values for {len(columns)} attributes")
            continue
        row = [cells[column] for column in chosen]
        if not {"1", "-1"}.issuperset(row):
            wrong = next(value for value in row if value not in ("1", "-1"))
            problems.append(f"{path}, line {number}: the value {wrong!r} is neither 1 nor -1")
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
    return AttributeRows(names, torch.tensor(values, dtype=torch.float32).reshape(len(names), len(chosen)))


def check_images(folder: Path, names: Sequence[str]) -> None:
    """Check that the folder has every image of the list.

    Args:
        folder: The folder of the images.
        names: The file names in the list.

    Raises:
        ConfigError: Images are missing; the message lists the first few and counts them.
    """
    present = set(os.listdir(folder))  # one listing is much faster than a test for each of 200,000 files
    missing = [f"{folder / name}: listed, but there is no such image" for name in names if name not in present]
    if missing:
        nested = f"\n{folder} has none of the images; do they lie in a folder inside it?"
        raise ConfigError(join_problems(missing) + nested * (len(missing) == len(names)))


def read_numbers(path: Path, names: Sequence[str]) -> list[int]:
    """Read the numbers that a list gives to images.

    Args:
        path: The list, with lines `file number`.
        names: File names of the images.

    Returns:
        One number a name.

    Raises:
        ConfigError: Lines are malformed, or names have no number.
    """
    numbers: dict[str, int] = {}
    problems = []
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split()
        if len(cells) == 2 and cells[1].isdigit():
            numbers[cells[0]] = int(cells[1])
        elif cells:
            problems.append(f"{path}, line {number}: expected a file name and a number, got {line.strip()!r}")
    problems = problems or [f"{path}: no line for {name}" for name in names if name not in numbers]
    if problems:
        raise ConfigError(join_problems(problems))
    return [numbers[name] for name in names]


def _split_rows(root: Path, names: Sequence[str], how: str) -> tuple[str, dict[Split, list[int]]]:
    """Divide the rows into splits, see `CelebAData.split`. Returns the chosen value of `split`, and rows by split.

    Raises:
        ConfigError: A file that the split needs is missing or malformed.
    """
    identity, partition = root / "identity_CelebA.txt", root / "list_eval_partition.txt"
    if how == "auto":
        how = _choose_split(identity, partition, names)
    for way, path in (("identity", identity), ("partition", partition)):
        if how == way and not path.exists():
            raise ConfigError(f"data.split={how} needs {path}, which is not there\n{_LAYOUT}")
    ways: dict[str, Callable[[], list[int]]] = {
        "partition": lambda: _read_partition(partition, names),
        "identity": lambda: [2 * _is_held_out(person) for person in read_numbers(identity, names)],
        "number": lambda: [2 * (_parse_number(name) > _NUMBER_TRAIN) for name in names],
        "shuffle": lambda: _shuffle_sides(len(names)),
    }
    sides = ways[how]()
    return how, {split: [i for i, s in enumerate(sides) if s == side] for side, split in enumerate(SPLITS)}


def _choose_split(identity: Path, partition: Path, names: Sequence[str]) -> str:
    """Choose the value of `split` for `auto` by the lists that exist, see `CelebAData.split`."""
    if not identity.exists():
        return "partition" if partition.exists() else "number"
    if not partition.exists():
        return "identity"
    sides: dict[int, set[int]] = {}
    for person, side in zip(read_numbers(identity, names), read_numbers(partition, names)):
        sides.setdefault(person, set()).add(side)
    return "partition" if all(len(own) == 1 for own in sides.values()) else "identity"


def _read_partition(path: Path, names: Sequence[str]) -> list[int]:
    """Read the official split: 0 is train, 1 valid, 2 test."""
    sides = read_numbers(path, names)
    problems = [
        f"{path}: {name} is in part {side}; 0 is train, 1 valid, 2 test" for name, side in zip(names, sides) if side > 2
    ]
    if problems:
        raise ConfigError(join_problems(problems))
    return sides


def _is_held_out(person: int) -> bool:
    """Return whether a person is in the test split of `split: identity`."""
    return derive_seed("celeba", person) % IDENTITY_TEST == 0


def _parse_number(name: str) -> int:
    """Parse the number that is the name of an image."""
    digits = Path(name).stem
    if not digits.isdigit():
        raise ConfigError(f"data.split=number: {name} is not named by a number")
    return int(digits)


def _shuffle_sides(n: int) -> list[int]:
    """Return the side, 0 train or 2 test, of n shuffled rows, as StarGAN divides them."""
    order = list(range(n))
    random.Random(SHUFFLE_SEED).shuffle(order)
    test = set(order[:SHUFFLE_TEST])
    return [2 * (i in test) for i in range(n)]
