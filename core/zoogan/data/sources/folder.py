"""A folder of anybody's images, with their labels in `labels.csv`."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.config import ConfigError, DataConfig
from zoogan.data.config import FolderData
from zoogan.data.label_sets import built_in_names
from zoogan.data.sources.label_maps import read_parts, table_of
from zoogan.data.sources.labels import HAIR_COLOURS, check_balance, check_both_values, columns, exclusive_among
from zoogan.facts import Facts
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems, suggest_name
from zoogan.pictures.photo import SUFFIXES, read_quickly, resized, square

EXAMPLE = """expected in the folder (--root), beside the images, which may lie in folders of their own:
  labels.csv   file,Eyeglasses,Smiling
               anna/1.jpg,1,0
               ben.png,0,1"""
VALUES = {"0": 0.0, "-1": 0.0, "1": 1.0}


class Folder(Source):
    """Role `source`: images and `labels.csv`; held-out faces are chosen by a hash of the file name.

    Raises:
        ConfigError: see `read_labels`; an unknown attribute, or one that has only one value in training.
    """

    def __init__(self, config: FolderData, facts: Facts | None = None) -> None:
        self.root = config.folder()
        check_balance(config.balance, config.attributes)
        self.image_size, self.crop = config.image_size, config.crop
        self.attributes = config.attributes
        self.exclusive, self.groups = exclusive_among(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        kinds = self.label_set = config.label_set
        if kinds is not None:
            self.parts, self.transparent, self.mirrored = kinds.names, kinds.transparent, kinds.mirrored
        maps = label_maps_folder(self.root, config)
        self.names, self._labels = read_labels(self.root, config.attributes, without=maps)
        if maps is not None and kinds is not None:
            self.fields = ("image", "attributes", "segmentation")
            self.table = table_of(kinds)
            self.maps = maps_of(self.names, maps)
        held_out = [seed_of("folder", spelled(name)) / 2**56 < config.test_share for name in self.names]
        self.members: dict[str, list[int]] = {
            "train": [i for i, out in enumerate(held_out) if not out],
            "valid": [],
            "test": [i for i, out in enumerate(held_out) if out],
        }
        check_both_values(self.attributes, self.labels("train"), config.balance, str(self.root))

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """The names in line 1 of `labels.csv`.

        Raises:
            ConfigError: there is no such list.
        """
        assert isinstance(config, FolderData)
        return tuple(read_table(config.folder())[0][1:])

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        return len(self.members[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1."""
        return self._labels[self.members[split]]

    def files(self, split: Split) -> tuple[Path, list[str]]:
        """The root, and each face's picture by its path from there."""
        return self.root, [self.names[i] for i in self.members[split]]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """image uint8 (n, 3, s, s): centre square, resized; attributes (n, a); with label maps segmentation
        uint8 (n, s, s), indices into `parts`, the same square, nearest pixels.

        Raises:
            ConfigError: an image or its label map cannot be decoded; a label map of other proportions, or with values
                that the label set does not have.
        """
        rows = [self.members[split][i] for i in indices]
        photos = [read_quickly(self.root / self.names[row]) for row in rows]
        squares = [square(photo, self.crop) for photo in photos]
        read = {"image": resized(squares, self.image_size), "attributes": self._labels[rows]}
        if "segmentation" in self.fields:
            sizes = [tuple(photo.shape[-2:]) for photo in photos]
            read["segmentation"] = torch.stack([self._segmented(row, *size) for row, size in zip(rows, sizes)])
        return read

    def _segmented(self, row: int, height: int, width: int) -> UInt8[Tensor, "s s"]:
        assert self.label_set is not None
        path, photo = self.maps[row], self.root / self.names[row]
        return read_parts(path, photo, height, width, self.label_set, self.table, self.crop, self.image_size)


def spelled(name: str) -> str:
    """One spelling of a name: composed accents (macOS lists them decomposed), forward slashes."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def images_under(root: Path, without: Path | None = None) -> Iterator[str]:
    """Every image below `root`, relative to it; hidden files and folders, and `without`, are passed over."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(folder, name) != without)
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


def label_maps_folder(root: Path, config: FolderData) -> Path | None:
    """Where the label maps lie, if they are asked for.

    Raises:
        ConfigError: no label set says what they hold, or there is no such folder in the root.
    """
    if config.label_maps is None:
        return None
    if config.label_set is None:
        raise ConfigError(
            f"data.label_maps={config.label_maps}: say what their values mean with data.label_set: a name, a YAML file "
            f"or a mapping; names: {', '.join(built_in_names())}"
        )
    folder = root / config.label_maps
    if not config.label_maps or folder == root or ".." in folder.parts or not folder.is_relative_to(root):
        raise ConfigError(f"data.label_maps={config.label_maps}: expected a folder in {root}")
    if not folder.is_dir():
        beside = [path.name for path in root.iterdir() if path.is_dir()]
        raise ConfigError(
            f"data.label_maps: {folder} is not there{suggest_name(config.label_maps, beside)}; {layout(config.label_maps)}"
        )
    return folder


def layout(folder: str) -> str:
    """How label maps lie beside their images."""
    return f"""expected in the root, a PNG for each image, with the same path and name:
  anna/1.jpg   {folder}/anna/1.png
  ben.png      {folder}/ben.png"""


def maps_of(names: Sequence[str], folder: Path) -> list[Path]:
    """The label map of each image: the same path and name below `folder`, as a PNG.

    Raises:
        ConfigError: images without one, or that share one: the first few, and how many.
    """
    pictures = [name for name in images_under(folder) if name.lower().endswith(".png")]
    there = {spelled(name).rpartition(".")[0]: folder / name for name in pictures}
    found, problems = [], []
    taken: dict[str, str] = {}
    for name in names:
        stem = spelled(name).rpartition(".")[0]
        if stem not in there:
            problems.append(f"{folder / stem}.png: no such label map, for the image {name}; add it, or take that away")
        elif stem in taken:
            problems.append(f"{there[stem]}: the label map of {taken[stem]} and of {name}; rename one of the images")
        else:
            found.append(there[stem])
        taken.setdefault(stem, name)
    if problems:
        raise ConfigError(join_problems(problems))
    return found


def read_table(root: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names in line 1 of `labels.csv`, `file` first, and the rows below with their line numbers.

    Raises:
        ConfigError: no such file, not a CSV file, or another first column.
    """
    path = root / "labels.csv"
    if not path.is_file():
        raise ConfigError(f"data.root: {root} has no labels.csv; {EXAMPLE}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(reader.line_num, row) for reader in [csv.reader(file)] for row in reader if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    if not header or header[0].lower() != "file":
        raise ConfigError(f"{path}, line 1: the first column must be 'file', got {header[:1]}; {EXAMPLE}")
    return header, rows[1:]


def read_labels(
    root: Path, asked: Sequence[str], without: Path | None = None
) -> tuple[list[str], Float[Tensor, "n a"]]:
    """(image names as the disk spells them, the columns asked for as 0/1), in the order of the rows.

    What lies in the folder `without` is no image. Where no column is asked for, a folder without `labels.csv` will do:
    its images, by name.

    Raises:
        ConfigError: rows with missing or odd values, without an image or for one that was there before, and
            images without a row: the first few, with line numbers, and how many.
    """
    path = root / "labels.csv"
    if not asked and not path.exists():
        names = list(images_under(root, without))
        if not names:
            raise ConfigError(f"data.root: {root} has no images in it ({', '.join(SUFFIXES)})")
        return names, torch.zeros(len(names), 0)
    header, rows = read_table(root)
    chosen = [column + 1 for column in columns(asked, header[1:], str(path))]
    there = {spelled(name): name for name in images_under(root, without)}
    names, values, problems = [], [], []
    lines: dict[str, int] = {}
    for number, row in rows:
        name, cells = spelled(row[0]), [cell.strip() for cell in row]
        found = _problem(name, cells, header, chosen, there, lines)
        if found:
            problems.append(f"{path}, line {number}: {found}")
        else:
            names.append(there[name])
            values.append([VALUES[cells[column]] for column in chosen])
        lines.setdefault(name, number)
    problems += [f"{root / name}: no row in labels.csv" for key, name in there.items() if key not in lines]
    if problems:
        raise ConfigError(join_problems(problems))
    return names, torch.tensor(values, dtype=torch.float32).reshape(len(names), len(chosen))


def _problem(
    name: str,
    cells: list[str],
    header: list[str],
    chosen: list[int],
    there: dict[str, str],
    lines: dict[str, int],
) -> str | None:
    if len(cells) != len(header):
        return f"{len(cells) - 1} values for {len(header) - 1} attributes"
    if name in lines:
        return f"{name} was already in line {lines[name]}"
    if name not in there:
        return f"no image {name}"
    for column in chosen:
        if cells[column] not in VALUES:
            what = f"the value {cells[column]!r}" if cells[column] else "no value"
            return f"{what} for {header[column]}; 0 (or -1) and 1 are known"
    return None
