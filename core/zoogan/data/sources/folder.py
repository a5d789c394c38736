"""A folder of images with their labels in `labels.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.config import FolderData
from zoogan.data.label_sets import list_label_sets
from zoogan.data.sources.attribute_columns import (
    HAIR_COLOURS,
    check_balance,
    check_both_values,
    find_columns,
    select_exclusive,
)
from zoogan.data.sources.image_files import PassedOver, list_images, normalize_name, report_passed_over
from zoogan.data.sources.segmentation_files import make_part_table, read_parts
from zoogan.data.sources.text_files import VALUES, Table, read_label_table
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems, suggest_name
from zoogan.pictures.decode import read_squares
from zoogan.pictures.photo_files import SUFFIXES

_EXAMPLE = """expected in the folder (--root), beside the images, which may lie in folders of their own:
  labels.csv   file,Eyeglasses,Smiling
               anna/1.jpg,1,0
               ben.png,0,1"""
_ADVICE = "to leave out images without a row and rows without an image: --set data.unmatched=skip"


class Folder(Source):
    """Role `source`: images and `labels.csv`; a hash of the file name decides which faces are held out.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: The labels or label maps are missing or malformed, an attribute is unknown, or it has only one
            value in training.
    """

    def __init__(self, config: FolderData, facts: Facts | None = None) -> None:
        self.root = config.get_root()
        check_balance(config.balance, config.attributes)
        self.image_size, self.crop = config.image_size, config.crop
        self.attributes = config.attributes
        self.exclusive, self.groups = select_exclusive(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        label_set = self.label_set = config.label_set
        if label_set is not None:
            self.parts, self.transparent, self.mirrored = label_set.names, label_set.transparent, label_set.mirrored
        counts = PassedOver()
        maps = _find_label_maps_folder(self.root, config)
        self.names, self._labels = _read_labels(self.root, config, maps, counts)
        report_passed_over(self.root, counts)
        if maps is not None and label_set is not None:
            self.fields = ("image", "attributes", "segmentation")
            self.table = make_part_table(label_set)
            self.maps = _match_label_maps(self.names, maps)
        held_out = [derive_seed("folder", normalize_name(name)) / 2**56 < config.test_share for name in self.names]
        self.members: dict[str, list[int]] = {
            "train": [i for i, out in enumerate(held_out) if not out],
            "valid": [],
            "test": [i for i, out in enumerate(held_out) if out],
        }
        check_both_values(self.attributes, self.read_labels("train"), config.balance, str(self.root))

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """Read the names in line 1 of `labels.csv`.

        Args:
            config: The settings of the source.

        Raises:
            ConfigError: There is no such file.
        """
        assert isinstance(config, FolderData)
        return _read_table(config.get_root()).columns

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return len(self.members[split])

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1."""
        return self._labels[self.members[split]]

    def list_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the root, and the path of each face's image from there."""
        return self.root, [self.names[i] for i in self.members[split]]

    def list_side_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the root, and the path of each label map from there."""
        if "segmentation" not in self.fields:
            return self.root, []
        return self.root, [self.maps[i].relative_to(self.root).as_posix() for i in self.members[split]]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s), the centre square, resized; `attributes` (n, a); with label maps `segmentation`
            uint8 (n, s, s), indices into `parts`, the same square by nearest neighbour.

        Raises:
            ConfigError: An image or its label map cannot be decoded, or a label map has other proportions than its
                image, or values that the label set does not have.
        """
        rows = [self.members[split][i] for i in indices]
        paths = [self.root / self.names[row] for row in rows]
        squares, sizes = read_squares(paths, self.crop, self.image_size)
        read = {"image": squares, "attributes": self._labels[rows]}
        if "segmentation" in self.fields:
            read["segmentation"] = torch.stack([self._read_segmentation(row, *size) for row, size in zip(rows, sizes)])
        return read

    def _read_segmentation(self, row: int, height: int, width: int) -> UInt8[Tensor, "s s"]:
        """Read the segmentation of one face, whose image is `height` x `width`."""
        assert self.label_set is not None
        path, photo = self.maps[row], self.root / self.names[row]
        return read_parts(path, photo, height, width, self.label_set, self.table, self.crop, self.image_size)


def _find_label_maps_folder(root: Path, config: FolderData) -> Path | None:
    """Find the folder of the label maps; None if the config names none.

    Raises:
        ConfigError: The config has no label set, or there is no such folder in the root.
    """
    if config.label_maps is None:
        return None
    if config.label_set is None:
        raise ConfigError(
            f"data.label_maps={config.label_maps}: say what their values mean with data.label_set: a name, a YAML file "
            f"or a mapping; names: {', '.join(list_label_sets())}"
        )
    folder = root / config.label_maps
    if not config.label_maps or folder == root or ".." in folder.parts or not folder.is_relative_to(root):
        raise ConfigError(f"data.label_maps={config.label_maps}: expected a folder in {root}")
    if not folder.is_dir():
        folders = [path.name for path in root.iterdir() if path.is_dir()]
        hint = suggest_name(config.label_maps, folders)
        raise ConfigError(f"data.label_maps: {folder} is not there{hint}; {_describe_layout(config.label_maps)}")
    return folder


def _describe_layout(folder: str) -> str:
    """Describe where the label map of an image is expected."""
    return f"""expected in the root, a PNG for each image, with the same path and name:
  anna/1.jpg   {folder}/anna/1.png
  ben.png      {folder}/ben.png"""


def _match_label_maps(names: Sequence[str], folder: Path) -> list[Path]:
    """Find the label map of each image: the same path and name below `folder`, as a PNG.

    Raises:
        ConfigError: Images have none, or share one; the message lists the first few and counts them.
    """
    pictures = [name for name in list_images(folder) if name.lower().endswith(".png")]
    present = {normalize_name(name).rpartition(".")[0]: folder / name for name in pictures}
    paths, problems = [], []
    taken: dict[str, str] = {}
    for name in names:
        stem = normalize_name(name).rpartition(".")[0]
        if stem not in present:
            problems.append(
                f"{folder / stem}.png: no such label map, for the image {name}; add it, or remove the image"
            )
        elif stem in taken:
            problems.append(f"{present[stem]}: the label map of {taken[stem]} and of {name}; rename one of the images")
        else:
            paths.append(present[stem])
        taken.setdefault(stem, name)
    if problems:
        raise ConfigError(join_problems(problems))
    return paths


def _read_table(root: Path) -> Table:
    """Read `labels.csv`, see `read_label_table`.

    Raises:
        ConfigError: There is no such file, or it is no such table.
    """
    path = root / "labels.csv"
    if not path.exists():
        raise ConfigError(f"data.root: {root} has no labels.csv; {_EXAMPLE}")
    return read_label_table(path, _EXAMPLE)


def _read_labels(
    root: Path, config: FolderData, without: Path | None, counts: PassedOver
) -> tuple[list[str], Float[Tensor, "n a"]]:
    """Read the file names of the images, as on the disk, and their labels, 0 or 1, in the order of the rows.

    Files in the folder `without` are no images. For no attributes `labels.csv` may be missing; then all images are
    read, in the order of their names. `counts` counts the files that are not read.

    Raises:
        ConfigError: Rows have missing or wrong values, no image, or an image of an earlier row, or images have no row;
            the message lists the first few, with line numbers, and counts them.
    """
    path = root / "labels.csv"
    if not config.attributes and not path.exists():
        names = list(list_images(root, without, counts))
        if not names:
            raise ConfigError(f"data.root: {root} has no images in it ({', '.join(SUFFIXES)})")
        return names, torch.zeros(len(names), 0)
    table = _read_table(root)
    chosen = find_columns(config.attributes, table.columns, str(path))
    present = {normalize_name(name): name for name in list_images(root, without, counts)}
    stems = _find_unique_stems(present)
    names, values, problems = [], [], []
    lines: dict[str, int] = {}
    absent = 0
    for number, written, cells in table.rows:
        name = normalize_name(written)
        name = name if name in present else stems.get(name, name)
        if name not in present and config.unmatched == "skip":
            absent += 1
            continue
        problem = _find_problem(name, cells, table.columns, chosen, present, lines)
        if problem:
            problems.append(f"{path}, line {number}: {problem}")
        else:
            names.append(present[name])
            values.append([VALUES[cells[column].lower()] for column in chosen])
        lines.setdefault(name, number)
    unlabelled = [name for key, name in present.items() if key not in lines]
    if config.unmatched == "fail":
        problems += [f"{root / name}: no row in labels.csv" for name in unlabelled]
    if problems:
        unpaired = unlabelled or any(name not in present for name in lines)
        raise ConfigError(join_problems(problems) + (f"\n{_ADVICE}" if unpaired else ""))
    counts["images without a row in labels.csv"] += len(unlabelled)
    counts["rows of labels.csv without an image"] += absent
    return names, torch.tensor(values, dtype=torch.float32).reshape(len(names), len(chosen))


def _find_unique_stems(present: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each image by its name without the suffix, where no other image has the same."""
    stems: dict[str, str] = {}
    shared = set()
    for name in present:
        stem = name.rpartition(".")[0]
        shared |= {stem} if stem in stems else set()
        stems[stem] = name
    return {stem: name for stem, name in stems.items() if stem not in shared}


def _find_problem(
    name: str,
    cells: list[str],
    columns: Sequence[str],
    chosen: list[int],
    present: dict[str, str],
    lines: dict[str, int],
) -> str | None:
    """Find the problem of a row: the number of cells, a repeated or missing image, or a value; None = no problem."""
    if len(cells) != len(columns):
        return f"{len(cells)} values for {len(columns)} attributes"
    if name in lines:
        return f"{name} was already in line {lines[name]}"
    if name not in present:
        return f"no image {name}"
    for column in chosen:
        if cells[column].lower() not in VALUES:
            value = f"the value {cells[column]!r}" if cells[column] else "no value"
            return f"{value} for {columns[column]}; 0 (or -1, no, false) and 1 (or yes, true) are known"
    return None
