"""A folder of images for each domain, the layout of StarGAN v2 and of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.config import DataConfig
from zoogan.data.config import FoldersData
from zoogan.data.sources.attribute_columns import check_balance
from zoogan.data.sources.domain_layout import DomainLayout, find_domain_layout
from zoogan.data.sources.heat_map_files import HEAT_MAPS, check_distinct_masks, get_masks_path, read_masks
from zoogan.data.sources.image_files import PassedOver, list_images, normalize_name, report_passed_over
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Source, Split
from zoogan.names import suggest_name
from zoogan.pictures.decode import read_squares

_EXAMPLE = """expected in the folder (--root): one folder a domain, alone or in train/ and val/
  female/1.jpg ...    male/2.png ...        or        train/female/1.jpg ...    val/female/3.jpg ...
  or trainA/1.jpg ...    trainB/2.jpg ...    testA/3.jpg ...        or        female/train/1.jpg ..."""
MASKS_SIDE = 256  # pixels of the masks in a batch, at any size of the images


class Folders(Source):
    """Role `source`: the domain of an image is its folder. Labels are one-hot over the domains.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: There are no folders, a domain is missing or has no images, `train` has other domains than `val`,
            or images share their heat maps.
    """

    def __init__(self, config: FoldersData, facts: Facts | None = None) -> None:
        root = self.root = config.get_root()
        self.fields = ("image", "attributes", *([HEAT_MAPS] if config.heat_maps else []))
        self.image_size, self.crop = config.image_size, config.crop
        layout = find_domain_layout(root)
        folders = _list_domains(layout)
        _check_domains(config.attributes, folders, layout.place)
        self.attributes = config.attributes or folders
        self.exclusive = self.groups = (self.attributes,)
        check_balance(config.balance, self.attributes)
        counts = PassedOver()
        self.members: dict[Split, list[tuple[Path, int]]] = {"train": [], "valid": [], "test": []}
        for k, name in enumerate(self.attributes):
            train, held_out = layout.train[name], None if layout.held_out is None else layout.held_out[name]
            images = [train / image for image in list_images(train, passed_over=counts)]
            if held_out is not None:
                test = [held_out / image for image in list_images(held_out, passed_over=counts)]
            else:
                test = [path for path in images if _is_held_out(name, path, config.test_share)]
                images = sorted(set(images) - set(test))
            if not images:
                raise ConfigError(f"data.root: {train} has no images to train on; {_EXAMPLE}")
            self.members["train"] += [(path, k) for path in images]
            self.members["test"] += [(path, k) for path in test]
        report_passed_over(root, counts)
        if config.heat_maps:
            check_distinct_masks(root, sorted(path for members in self.members.values() for path, _ in members))
        for members in self.members.values():  # shuffled, so that the first few, as of an evaluation, show every domain
            members.sort(key=lambda member: _hash_order(self.attributes[member[1]], member[0]))

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """List the folders that hold images, in alphabetical order.

        Args:
            config: The settings of the source.

        Raises:
            ConfigError: There are none, or train and val have different ones.
        """
        assert isinstance(config, FoldersData)
        return _list_domains(find_domain_layout(config.get_root()))

    def read_domains(self, split: Split) -> Tensor:
        """Return the domain of each image, an index into `domains`."""
        return torch.tensor([k for _, k in self.members[split]], dtype=torch.int64)

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return len(self.members[split])

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, one-hot over the domains."""
        return F.one_hot(self.read_domains(split), len(self.attributes)).float()

    def list_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the root, and the path of each face's image from there."""
        return self.root, [path.relative_to(self.root).as_posix() for path, _ in self.members[split]]

    def list_side_files(self, split: Split) -> tuple[Path, list[str]]:
        """Return the root, and the path of each image's heat maps from there."""
        if HEAT_MAPS not in self.fields:
            return self.root, []
        paths = [get_masks_path(self.root, path) for path, _ in self.members[split]]
        return self.root, [path.relative_to(self.root).as_posix() for path in paths]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s), the centre square, resized; `attributes` (n, a); with `heat_maps` in the config
            the coarse and the fine mask of the same square, uint8 (n, 2, 256, 256).

        Raises:
            ConfigError: An image or its masks cannot be read.
        """
        paths = [self.members[split][i][0] for i in indices]
        squares, _ = read_squares(paths, self.crop, self.image_size)
        domains = torch.tensor([self.members[split][i][1] for i in indices], dtype=torch.int64)
        labels = F.one_hot(domains, len(self.attributes)).float()
        read = {"image": squares, "attributes": labels}
        if HEAT_MAPS in self.fields:
            masks = [torch.cat(read_masks(get_masks_path(self.root, path)), 1) for path in paths]
            sides = (MASKS_SIDE, MASKS_SIDE)
            resized = torch.cat([F.interpolate(mask, sides, mode="bilinear", antialias=True) for mask in masks])
            read[HEAT_MAPS] = resized.mul(255).round().to(torch.uint8)
        return read


def _list_domains(layout: DomainLayout) -> tuple[str, ...]:
    """List the domains; raise ConfigError if there are none, or different ones for training and held out."""
    if not layout.train:
        raise ConfigError(f"data.root: no folder with images in {layout.place}; {_EXAMPLE}")
    others = set() if layout.held_out is None else set(layout.train) ^ set(layout.held_out)
    if others:
        places = f"{layout.place} and {layout.held_out_place}"
        if layout.place == layout.held_out_place:
            places = f"the folders for training and the held-out folders of {layout.place}"
        raise ConfigError(f"data.root: {places} differ in the folders {', '.join(sorted(others))}")
    return tuple(layout.train)


def _check_domains(domains: Sequence[str], folders: Sequence[str], train: Path) -> None:
    """Check that the domains of the config are folders with images in `train`, each named once."""
    unknown = [name for name in domains if name not in folders]
    if unknown:
        lacks = "no images in the folder" if (train / unknown[0]).is_dir() else "no folder"
        raise ConfigError(
            f"data.attributes: {train} has {lacks} {unknown[0]!r}{suggest_name(unknown[0], folders)}; "
            f"its folders with images: {', '.join(folders)}"
        )
    repeated = sorted({name for name in domains if domains.count(name) > 1})
    if repeated:
        raise ConfigError(f"data.attributes: {repeated[0]!r} is asked for twice")


def _is_held_out(domain: str, path: Path, share: float) -> bool:
    """Return whether an image is in the share that is held out, by a hash of its name."""
    return derive_seed("folders", domain, normalize_name(path.name)) / 2**56 < share


def _hash_order(domain: str, path: Path) -> int:
    """Return the place of an image in the shuffled order, by a hash of its name."""
    return derive_seed("order", domain, normalize_name(path.name))
