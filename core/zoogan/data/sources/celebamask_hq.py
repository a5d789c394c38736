"""CelebAMask-HQ (Lee et al., CVPR 2020) in the layout in which it is distributed, or with one label map a face."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.config import CelebAMaskHQData
from zoogan.data.sources.attribute_columns import (
    HAIR_COLOURS,
    DataWarning,
    check_balance,
    check_both_values,
    select_exclusive,
)
from zoogan.data.sources.celeba import SPLITS, read_attributes, read_columns
from zoogan.data.sources.segmentation_files import (
    check_proportions,
    make_part_table,
    paint_parts,
    read_mask,
    read_parts,
    resize_nearest,
)
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems, suggest_name
from zoogan.pictures.decode import read_squares
from zoogan.pictures.photo_files import SUFFIXES

IMAGES, MAPS, PARTS = "CelebA-HQ-img", "CelebAMask-HQ-mask", "CelebAMask-HQ-mask-anno"
LISTS = ("CelebAMask-HQ-attribute-anno.txt", "mask_derived_attr.txt")
_LAYOUT = f"""CelebAMask-HQ is expected as it is distributed, in one folder (--root):
  {IMAGES}/0.jpg ...                     the images
  {PARTS}/0/00000_skin.png ...  a mask of each part, 255 where it is; or else
  {MAPS}/0.png ...                a label map of all parts, values 0..18
  {LISTS[0]}       optional: the 40 attributes"""
_NUMBER_TRAIN = 28_000  # images 0 to 27999; g_partition.py of CelebAMask-HQ and the LMDB of SemanticStyleGAN


class CelebAMaskHQ(Source):
    """Role `source`: faces with a segmentation.

    An image and its masks have the same number. A part without a mask file is not in the image.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: Files are missing, misnamed or there twice, images have no masks, an attribute is unknown, or it
            has only one value in training.
    """

    fields = ("image", "attributes", "segmentation")

    def __init__(self, config: CelebAMaskHQData, facts: Facts | None = None) -> None:
        self.config, self.root = config, _check_layout(config)
        check_balance(config.balance, config.attributes)
        self.image_size, self.crop, self.attributes = config.image_size, config.crop, config.attributes
        self.exclusive, self.groups = select_exclusive(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        label_set = self.label_set = config.label_set
        self.parts, self.transparent, self.mirrored = label_set.names, label_set.transparent, label_set.mirrored
        self.table, self.painting = make_part_table(label_set), label_set.list_layers()
        self.images = list_numbered(self.root / IMAGES, SUFFIXES)
        self.masks = config.masks
        if self.masks == "auto":
            self.masks = "maps" if list_numbered(self.root / MAPS, (".png",)) else "parts"
        if self.masks == "maps":
            self.maps = list_numbered(self.root / MAPS, (".png",))
            _check_paired(self.images, self.maps, self.root / MAPS)
        else:
            self.mask_files = list_part_masks(self.root / PARTS, label_set.classes)
            _check_paired(self.images, self.mask_files, self.root / PARTS)
        self.numbers = sorted(self.images)
        self._labels = _read_labels(self.root, config.attributes, self.numbers)
        self.split, self.members = _split_numbers(self.numbers, config)
        check_both_values(self.attributes, self.read_labels("train"), config.balance, str(self.root))
        if not self.members["test"]:
            warnings.warn(f"data.split={self.split} leaves no test faces in {self.root}", DataWarning, stacklevel=2)

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """Read the names in line 2 of the attribute list; none without a list.

        Args:
            config: The settings of the source.

        Raises:
            ConfigError: There are no images or masks.
        """
        assert isinstance(config, CelebAMaskHQData)
        path = _find_attribute_list(_check_layout(config))
        return read_columns(path) if path else ()

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return len(self.members[split])

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1."""
        return self._labels[self.members[split]]

    def list_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the folder of the images, and the file name of each face."""
        return self.root / IMAGES, [self.images[self.numbers[i]].name for i in self.members[split]]

    def list_side_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the root, and the path of each label map or mask from there."""
        numbers = [self.numbers[i] for i in self.members[split]]
        if self.masks == "maps":
            paths = [self.maps[number] for number in numbers]
        else:
            masks = (self.mask_files[number] for number in numbers)
            paths = [folder / name for folder, names in masks for name in names.values()]
        return self.root, [path.relative_to(self.root).as_posix() for path in paths]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s), the centre square, resized; `attributes` (n, a); `segmentation` uint8 (n, s, s),
            indices into `parts`, the same square by nearest neighbour.

        Raises:
            ConfigError: An image or a mask cannot be decoded, has other proportions than its image, or holds values
                that are no class.
        """
        rows = [self.members[split][i] for i in indices]
        numbers = [self.numbers[row] for row in rows]
        paths = [self.images[number] for number in numbers]
        squares, sizes = read_squares(paths, self.crop, self.image_size)
        maps = [self._read_segmentation(number, path, *size) for number, path, size in zip(numbers, paths, sizes)]
        return {"image": squares, "attributes": self._labels[rows], "segmentation": torch.stack(maps)}

    def _read_segmentation(self, number: int, photo: Path, height: int, width: int) -> Tensor:
        """Read the segmentation of one face (s, s). Masks are reduced before painting: the same pixels, and fewer."""
        if self.masks == "maps":
            path, size = self.maps[number], self.image_size
            return read_parts(path, photo, height, width, self.label_set, self.table, self.crop, size)
        layers = []
        folder, names = self.mask_files[number]
        for name, part in self.painting:
            if name in names:
                path = folder / names[name]
                mask = read_mask(path)
                check_proportions(path, mask, photo, height, width)
                layers.append((part, resize_nearest(mask, height, width, self.crop, self.image_size)))
        return paint_parts(layers, self.image_size)


def _check_layout(config: CelebAMaskHQData) -> Path:
    """Return the root. Raise ConfigError if files are missing, with the expected layout."""
    root = config.get_root()
    masks = {"maps": [MAPS], "parts": [PARTS], "auto": [MAPS, PARTS]}[config.masks]
    missing = [IMAGES] if not (root / IMAGES).is_dir() else []
    if not any((root / name).is_dir() for name in masks):
        missing.append(" or ".join(masks))
    if missing:
        folders = [path.name for path in root.iterdir() if path.is_dir()]
        hint = suggest_name(missing[0], folders)
        raise ConfigError(f"data.root: {root} has no {' and no '.join(missing)}{hint}\n{_LAYOUT}")
    return root


def list_numbered(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    """List the images of a folder by the number that is their name.

    Args:
        folder: The folder; it may be missing.
        suffixes: Suffixes of the images, in lower case.

    Returns:
        The path of each image by number; empty without such a folder.

    Raises:
        ConfigError: A name is no number, or a number occurs twice; the message lists the first few and counts them.
    """
    paths: dict[int, Path] = {}
    problems = []
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or name.startswith("."):
            continue
        if not (stem.isascii() and stem.isdigit()):
            problems.append(f"{folder / name}: pictures here are named by their number, like 0{suffix}; rename it")
        elif int(stem) in paths:
            problems.append(f"{folder / name}: the same number as {paths[int(stem)].name}; remove one")
        else:
            paths[int(stem)] = folder / name
    if problems:
        raise ConfigError(join_problems(problems))
    return paths


def list_part_masks(folder: Path, classes: Sequence[str]) -> dict[int, tuple[Path, dict[str, str]]]:
    """List the masks `JJJJJ_NAME.png` in a folder and all folders below it.

    Args:
        folder: The folder.
        classes: Names of the classes.

    Returns:
        number -> (folder, class -> file name).

    Raises:
        ConfigError: A name has no number and class, or a face has masks in two folders; the message lists the first few
            and counts them.
    """
    masks: dict[int, tuple[Path, dict[str, str]]] = {}
    problems = []
    for directory, folders, files in os.walk(folder):
        folders.sort()
        here = Path(directory)
        for name in sorted(files):
            if not name.lower().endswith(".png") or name.startswith("."):
                continue
            match = re.fullmatch(r"([0-9]+)_(\w+)\.png", name, re.IGNORECASE)
            if match is None:
                problems.append(f"{here / name}: expected NUMBER_PART.png, like 00000_skin.png; rename or remove it")
                continue
            number, part = int(match[1]), match[2]
            first, names = masks.setdefault(number, (here, {}))
            if part not in classes:
                problems.append(
                    f"{here / name}: no part is called {part!r}{suggest_name(part, classes)}; parts: "
                    f"{', '.join(classes)}. Rename or remove it"
                )
            elif first != here or part in names:
                problems.append(f"{here / name}: face {number} has masks in {first} already; remove one of them")
            else:
                names[part] = name
    if problems:
        raise ConfigError(join_problems(problems))
    return masks


def _check_paired(images: dict[int, Path], masks: dict[int, Any], where: Path) -> None:
    """Check that there are images, and masks of each image; masks without an image are ignored.

    Raises:
        ConfigError: There are no images, or images without a mask; the message lists the first few and counts them.
    """
    if not images:
        raise ConfigError(f"data.root: {where.parent / IMAGES} has no images in it\n{_LAYOUT}")
    problems = [
        f"{path}: no mask of number {number} in {where}; add it, or remove the image"
        for number, path in sorted(images.items())
        if number not in masks
    ]
    if problems:
        other = "maps" if where.name == PARTS else "parts"
        hint = f"\n{where.parent / (MAPS if other == 'maps' else PARTS)} is read with --set data.masks={other}"
        raise ConfigError(join_problems(problems) + hint)


def _find_attribute_list(root: Path) -> Path | None:
    """Find the official list of attributes, or else the list made from masks; None if there is neither."""
    return next((root / name for name in LISTS if (root / name).is_file()), None)


def _read_labels(root: Path, attributes: Sequence[str], numbers: Sequence[int]) -> Float[Tensor, "n a"]:
    """Read labels, 0 or 1, of the faces of these numbers.

    Raises:
        ConfigError: There is no list, it is malformed, attributes are unknown, or faces have no row.
    """
    if not attributes:
        return torch.zeros(len(numbers), 0)
    path = _find_attribute_list(root)
    if path is None:
        raise ConfigError(
            f"data.attributes: {', '.join(attributes)} would be read from {' or '.join(LISTS)}, and {root} has "
            "neither; add one, or ask for no attributes with --set 'data.attributes=[]'"
        )
    rows = read_attributes(path, attributes)
    row_of = {int(stem): row for row, name in enumerate(rows.names) if (stem := Path(name).stem).isdigit()}
    missing = [f"{path}: no row for image {number}" for number in numbers if number not in row_of]
    if missing:
        raise ConfigError(join_problems(missing))
    return rows.labels[[row_of[number] for number in numbers]]


def _split_numbers(numbers: Sequence[int], config: CelebAMaskHQData) -> tuple[str, dict[Split, list[int]]]:
    """Divide the faces into splits, see `CelebAMaskHQData.split`. Returns the chosen `split`, and rows by split."""
    how: str = config.split
    if how == "auto":
        how = "number" if len({number < _NUMBER_TRAIN for number in numbers}) == 2 else "hash"
    if how == "number":
        held_out = [number >= _NUMBER_TRAIN for number in numbers]
    else:
        held_out = [derive_seed("celebamask_hq", number) / 2**56 < config.test_share for number in numbers]
    members = {split: [i for i, out in enumerate(held_out) if 2 * out == side] for side, split in enumerate(SPLITS)}
    return how, members
