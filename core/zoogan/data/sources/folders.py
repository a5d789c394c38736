"""A folder of images for each domain, the layout of StarGAN v2 and of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.config import ConfigError, DataConfig
from zoogan.data.config import FoldersData
from zoogan.data.sources.folder import images_under, spelled
from zoogan.data.sources.heat_map_files import FOLDER as HEAT_MAPS
from zoogan.data.sources.heat_map_files import check_apart, masks_path, read_masks
from zoogan.data.sources.labels import check_balance
from zoogan.facts import Facts
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Source, Split
from zoogan.names import suggest_name
from zoogan.pictures.photo import read_quickly, resized, square

EXAMPLE = """expected in the folder (--root): one folder a domain, alone or in train/ and val/
  female/1.jpg ...    male/2.png ...        or        train/female/1.jpg ...    val/female/3.jpg ..."""
TRAIN, HELD_OUT = ("train",), ("val", "valid", "test")
MASKS_SIDE = 256  # of the masks in a batch, whatever the size of the images


class Folders(Source):
    """Role `source`: the domain of an image is the folder it lies in. Labels are one-hot over the domains.

    Raises:
        ConfigError: no folders, a domain that is not there or has no images, other domains in `train` than in `val`, or
            images that share their heat maps.
    """

    def __init__(self, config: FoldersData, facts: Facts | None = None) -> None:
        root = self.root = config.folder()
        self.fields = ("image", "attributes", *([HEAT_MAPS] if config.heat_maps else []))
        self.image_size, self.crop = config.image_size, config.crop
        train, held_out = parts_of(root)
        known = self.known_attributes(config)
        unknown = [name for name in config.attributes if name not in known]
        if unknown:
            lacks = "no images in the folder" if (train / unknown[0]).is_dir() else "no folder"
            raise ConfigError(
                f"data.attributes: {train} has {lacks} {unknown[0]!r}{suggest_name(unknown[0], known)}; "
                f"its folders with images: {', '.join(known)}"
            )
        twice = sorted({name for name in config.attributes if config.attributes.count(name) > 1})
        if twice:
            raise ConfigError(f"data.attributes: {twice[0]!r} is asked for twice")
        self.attributes = config.attributes or known
        self.exclusive = self.groups = (self.attributes,)
        check_balance(config.balance, self.attributes)
        self.members: dict[Split, list[tuple[Path, int]]] = {"train": [], "valid": [], "test": []}
        for k, name in enumerate(self.attributes):
            images = [train / name / image for image in images_under(train / name)]
            if held_out is not None:
                kept = [held_out / name / image for image in images_under(held_out / name)]
            else:
                share = config.test_share
                kept = [path for path in images if seed_of("folders", name, spelled(path.name)) / 2**56 < share]
                images = sorted(set(images) - set(kept))
            if not images:
                raise ConfigError(f"data.root: {train / name} has no images to train on; {EXAMPLE}")
            self.members["train"] += [(path, k) for path in images]
            self.members["test"] += [(path, k) for path in kept]
        if config.heat_maps:
            check_apart(root, sorted(path for members in self.members.values() for path, _ in members))
        for members in self.members.values():  # whoever takes the first few, as an evaluation does, gets every domain
            members.sort(key=lambda member: seed_of("order", self.attributes[member[1]], spelled(member[0].name)))

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """The folders that hold images, in alphabetical order.

        Raises:
            ConfigError: there are none, or train and val have different ones.
        """
        assert isinstance(config, FoldersData)
        train, held_out = parts_of(config.folder())
        names = folders_in(train)
        if not names:
            raise ConfigError(f"data.root: no folder with images in {train}; {EXAMPLE}")
        if held_out is not None and folders_in(held_out) != names:
            others = sorted(set(names) ^ set(folders_in(held_out)))
            raise ConfigError(f"data.root: {train} and {held_out} differ in the folders {', '.join(others)}")
        return names

    def domain(self, split: Split) -> Tensor:
        """The folder of each image, by index."""
        return torch.tensor([k for _, k in self.members[split]], dtype=torch.int64)

    def size(self, split: Split) -> int:
        """How many faces the split has."""
        return len(self.members[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """One-hot over the domains."""
        return torch.nn.functional.one_hot(self.domain(split), len(self.attributes)).float()

    def files(self, split: Split) -> tuple[Path, list[str]]:
        """The root, and each face's picture by its path from there."""
        return self.root, [path.relative_to(self.root).as_posix() for path, _ in self.members[split]]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """image uint8 (n, 3, s, s): centre square, resized; attributes (n, a); if asked for, the masks of the
        same square, uint8 (n, 2, 256, 256), coarse and fine.

        Raises:
            ConfigError: an image or its masks cannot be read.
        """
        paths = [self.members[split][i][0] for i in indices]
        squares = [square(read_quickly(path), self.crop) for path in paths]
        shown = torch.tensor([self.members[split][i][1] for i in indices], dtype=torch.int64)
        labels = F.one_hot(shown, len(self.attributes)).float()
        read = {"image": resized(squares, self.image_size), "attributes": labels}
        if HEAT_MAPS in self.fields:
            masks = [torch.cat(read_masks(masks_path(self.root, path)), 1) for path in paths]
            sides = (MASKS_SIDE, MASKS_SIDE)
            whole = torch.cat([F.interpolate(mask, sides, mode="bilinear", antialias=True) for mask in masks])
            read[HEAT_MAPS] = whole.mul(255).round().to(torch.uint8)
        return read


def folders_in(root: Path) -> tuple[str, ...]:
    """The folders directly below `root` that hold images; files, hidden folders and heat maps are passed over."""
    below = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return tuple(path.name for path in below if path.name != HEAT_MAPS and next(images_under(path), None) is not None)


def parts_of(root: Path) -> tuple[Path, Path | None]:
    """Where the domains' folders for training lie, and those held out, if they are apart."""
    train = next((root / name for name in TRAIN if (root / name).is_dir()), None)
    if train is None:
        return root, None
    return train, next((root / name for name in HELD_OUT if (root / name).is_dir()), None)
