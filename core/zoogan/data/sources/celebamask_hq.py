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

from zoogan.config import ConfigError, DataConfig
from zoogan.data.config import CelebAMaskHQData
from zoogan.data.drawn.kept import BYTES, Kept, Pictures
from zoogan.data.sources.celeba import SPLITS, read_attributes
from zoogan.data.sources.label_maps import check_proportions, nearest, painted, read_mask, read_parts, table_of
from zoogan.data.sources.labels import HAIR_COLOURS, DataWarning, check_balance, check_both_values, exclusive_among
from zoogan.facts import Facts
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems
from zoogan.names import suggest_name as nearest_name
from zoogan.pictures.photo import SUFFIXES, read_quickly, resized, square

IMAGES, MAPS, PARTS = "CelebA-HQ-img", "CelebAMask-HQ-mask", "CelebAMask-HQ-mask-anno"
LISTS = ("CelebAMask-HQ-attribute-anno.txt", "mask_derived_attr.txt")
LAYOUT = f"""CelebAMask-HQ is expected as it is distributed, in one folder (--root):
  {IMAGES}/0.jpg ...                     the images
  {PARTS}/0/00000_skin.png ...  a mask of each part, 255 where it is; or else
  {MAPS}/0.png ...                a label map of all parts, values 0..18
  {LISTS[0]}       optional: the 40 attributes"""
NUMBER_TRAIN = 28_000  # images 0..27999; g_partition.py of CelebAMask-HQ and the LMDB of SemanticStyleGAN
CACHE_BYTES = 1 << 30


class CelebAMaskHQ(Source):
    """Role `source`: faces with a segmentation.

    Image and masks are paired by their number. A part without a mask file is not in the picture.

    Raises:
        ConfigError: files that are missing, misnamed or there twice, images without masks, an unknown attribute, or
            one that has only one value in training.
    """

    fields = ("image", "attributes", "segmentation")

    def __init__(self, config: CelebAMaskHQData, facts: Facts | None = None) -> None:
        self.config, self.root = config, check_layout(config)
        check_balance(config.balance, config.attributes)
        self.image_size, self.crop, self.attributes = config.image_size, config.crop, config.attributes
        self.exclusive, self.groups = exclusive_among(self.attributes, [HAIR_COLOURS]), (tuple(HAIR_COLOURS),)
        kinds = self.label_set = config.label_set
        self.parts, self.transparent, self.mirrored = kinds.names, kinds.transparent, kinds.mirrored
        self.table, self.painting = table_of(kinds), kinds.painting()
        self.images = numbered(self.root / IMAGES, SUFFIXES)
        self.masks = config.masks
        if self.masks == "auto":
            self.masks = "maps" if numbered(self.root / MAPS, (".png",)) else "parts"
        if self.masks == "maps":
            self.maps = numbered(self.root / MAPS, (".png",))
            check_paired(self.images, self.maps, self.root / MAPS)
        else:
            self.mask_files = part_files(self.root / PARTS, kinds.classes)
            check_paired(self.images, self.mask_files, self.root / PARTS)
        self.numbers = sorted(self.images)
        self._labels = read_numbered(self.root, config.attributes, self.numbers)
        self.split, self.members = divide(self.numbers, config)
        check_both_values(self.attributes, self.labels("train"), config.balance, str(self.root))
        if not self.members["test"]:
            warnings.warn(f"data.split={self.split} leaves no test faces in {self.root}", DataWarning, stacklevel=2)
        self._kept: dict[Split, Kept] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the cache: a worker process decodes its own rather than being sent a gigabyte."""
        return {**self.__dict__, "_kept": {}}

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """The names in line 2 of the attribute list; none without a list.

        Raises:
            ConfigError: the images or masks are not there.
        """
        assert isinstance(config, CelebAMaskHQData)
        path = attribute_list(check_layout(config))
        return tuple(path.read_text().splitlines()[1].split()) if path else ()

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        return len(self.members[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1."""
        return self._labels[self.members[split]]

    def files(self, split: Split) -> tuple[Path, list[str]]:
        """The folder of the images, and their names."""
        return self.root / IMAGES, [self.images[self.numbers[i]].name for i in self.members[split]]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """image uint8 (n, 3, s, s): centre square, resized; attributes (n, a); segmentation uint8 (n, s, s), indices
        into `parts`, the same square, nearest pixels.

        Raises:
            ConfigError: an image or a mask cannot be decoded, is of other proportions than its image, or holds
                values that are no class.
        """
        members = self.members[split]
        if split not in self._kept:
            used = sum(kept.bytes for kept in self._kept.values())
            budget = CACHE_BYTES // max(1, self.config.workers) - used  # each worker keeps faces of its own
            whole = BYTES * self.image_size**2 * len(members) <= budget
            # A part of a large set would rarely be asked for, and take its memory all the same.
            self._kept[split] = Kept(len(members), self.image_size, budget if whole else 0)
        where = torch.tensor(indices, dtype=torch.long)
        image, segmentation = self._kept[split].read(
            where, lambda new: self._decoded([self.numbers[members[i]] for i in new])
        )
        return {"image": image, "attributes": self.labels(split)[where], "segmentation": segmentation}

    def _decoded(self, numbers: Sequence[int]) -> Pictures:
        """Image and segmentation of the faces of these numbers, from their files."""
        squares, maps = [], []
        for number in numbers:
            path = self.images[number]
            photo = read_quickly(path)
            maps.append(self._segmented(number, path, *photo.shape[-2:]))
            squares.append(square(photo, self.crop))
        return resized(squares, self.image_size), torch.stack(maps)

    def _segmented(self, number: int, photo: Path, height: int, width: int) -> Tensor:
        """The parts of one face (s, s). Each mask is reduced before it is painted: the same pixels, and fewer."""
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
                layers.append((part, nearest(mask, height, width, self.crop, self.image_size)))
        return painted(layers, self.image_size)


def check_layout(config: CelebAMaskHQData) -> Path:
    """The root, when images and masks are in it.

    Raises:
        ConfigError: what is missing, and how it should look.
    """
    root = config.folder()
    masks = {"maps": [MAPS], "parts": [PARTS], "auto": [MAPS, PARTS]}[config.masks]
    missing = [IMAGES] if not (root / IMAGES).is_dir() else []
    if not any((root / name).is_dir() for name in masks):
        missing.append(" or ".join(masks))
    if missing:
        below = [path.name for path in root.iterdir() if path.is_dir()]
        hint = nearest_name(missing[0], below)
        raise ConfigError(f"data.root: {root} has no {' and no '.join(missing)}{hint}\n{LAYOUT}")
    return root


def numbered(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    """The pictures of a folder by the number that is their name; empty without such a folder.

    Raises:
        ConfigError: the first few that are no number, or whose number was there before, and how many.
    """
    found: dict[int, Path] = {}
    problems = []
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or name.startswith("."):
            continue
        if not (stem.isascii() and stem.isdigit()):
            problems.append(f"{folder / name}: pictures here are named by their number, like 0{suffix}; rename it")
        elif int(stem) in found:
            problems.append(f"{folder / name}: the same number as {found[int(stem)].name}; remove one")
        else:
            found[int(stem)] = folder / name
    if problems:
        raise ConfigError(join_problems(problems))
    return found


def part_files(folder: Path, classes: Sequence[str]) -> dict[int, tuple[Path, dict[str, str]]]:
    """number -> (folder, class -> file name) of every mask `JJJJJ_NAME.png`, however deep it lies.

    Raises:
        ConfigError: the first few whose name says no number and class, or whose face has masks elsewhere too, and how
            many.
    """
    found: dict[int, tuple[Path, dict[str, str]]] = {}
    problems = []
    for where, folders, files in os.walk(folder):
        folders.sort()
        here = Path(where)
        for name in sorted(files):
            if not name.lower().endswith(".png") or name.startswith("."):
                continue
            match = re.fullmatch(r"([0-9]+)_(\w+)\.png", name, re.IGNORECASE)
            if match is None:
                problems.append(f"{here / name}: expected NUMBER_PART.png, like 00000_skin.png; rename or remove it")
                continue
            number, part = int(match[1]), match[2]
            first, names = found.setdefault(number, (here, {}))
            if part not in classes:
                problems.append(
                    f"{here / name}: no part is called {part!r}{nearest_name(part, classes)}; parts: "
                    f"{', '.join(classes)}. Rename or remove it"
                )
            elif first != here or part in names:
                problems.append(f"{here / name}: face {number} has masks in {first} already; remove one of them")
            else:
                names[part] = name
    if problems:
        raise ConfigError(join_problems(problems))
    return found


def check_paired(images: dict[int, Path], masks: dict[int, Any], where: Path) -> None:
    """That there are images, and masks of every one; masks without an image do no harm.

    Raises:
        ConfigError: the first few images without a mask, and how many.
    """
    if not images:
        raise ConfigError(f"data.root: {where.parent / IMAGES} has no images in it\n{LAYOUT}")
    bare = [
        f"{path}: no mask of number {number} in {where}; add it, or take the image away"
        for number, path in sorted(images.items())
        if number not in masks
    ]
    if bare:
        other = "maps" if where.name == PARTS else "parts"
        hint = f"\n{where.parent / (MAPS if other == 'maps' else PARTS)} is read with --set data.masks={other}"
        raise ConfigError(join_problems(bare) + hint)


def attribute_list(root: Path) -> Path | None:
    """The official list of attributes, or else that made from masks, or none."""
    return next((root / name for name in LISTS if (root / name).is_file()), None)


def read_numbered(root: Path, asked: Sequence[str], numbers: Sequence[int]) -> Float[Tensor, "n a"]:
    """The attributes asked for of the faces of these numbers, 0 or 1.

    Raises:
        ConfigError: no list, a malformed one, unknown attributes, or faces without a row.
    """
    if not asked:
        return torch.zeros(len(numbers), 0)
    path = attribute_list(root)
    if path is None:
        raise ConfigError(
            f"data.attributes: {', '.join(asked)} would be read from {' or '.join(LISTS)}, and {root} has neither; "
            "add one, or ask for no attributes with --set 'data.attributes=[]'"
        )
    rows = read_attributes(path, asked)
    row_of = {int(stem): row for row, name in enumerate(rows.names) if (stem := Path(name).stem).isdigit()}
    missing = [f"{path}: no row for image {number}" for number in numbers if number not in row_of]
    if missing:
        raise ConfigError(join_problems(missing))
    return rows.labels[[row_of[number] for number in numbers]]


def divide(numbers: Sequence[int], config: CelebAMaskHQData) -> tuple[str, dict[Split, list[int]]]:
    """(the split that the config comes to, the rows of each split); see `CelebAMaskHQData.split`."""
    how: str = config.split
    if how == "auto":
        how = "number" if len({number < NUMBER_TRAIN for number in numbers}) == 2 else "hash"
    if how == "number":
        out = [number >= NUMBER_TRAIN for number in numbers]
    else:
        out = [seed_of("celebamask_hq", number) / 2**56 < config.test_share for number in numbers]
    return how, {split: [i for i, o in enumerate(out) if 2 * o == side] for side, split in enumerate(SPLITS)}
