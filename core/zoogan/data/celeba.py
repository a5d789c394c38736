"""CelebA in its official layout, or a smaller copy of the same shape."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file

from zoogan.config import ConfigError
from zoogan.data.config import CelebAData
from zoogan.data.photo import centre_square, read_photo
from zoogan.facts import Facts
from zoogan.interfaces import Source
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import Split
from zoogan.registry import nearest

WIDTH = 178  # of the official aligned pictures
TRAIN_NUMBERS = 200_000  # SaGAN trains on files 1..200,000
SHUFFLE_TEST = 2_000  # StarGAN holds out 2,000 of the shuffled list
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
PARTITIONS: tuple[Split, ...] = ("train", "valid", "test")
RARE = 0.01


class CelebA(Source):
    """Aligned pictures and 40 attributes (Liu et al. 2015).

    Reads `img_align_celeba/` and `list_attr_celeba.txt`, and `identity_CelebA.txt` and `list_eval_partition.txt` where
    they are. Names come from the list, never from counting.

    Raises:
        ConfigError: missing or malformed files, unknown attributes, an attribute of which training shows only one value.
    """

    def __init__(self, config: CelebAData, facts: Facts | None = None) -> None:
        assert config.root is not None
        self.config, self.root = config, config.root
        self.image_size, self.attributes = config.image_size, config.attributes
        self.crop = config.crop / WIDTH
        hair = tuple(name for name in config.attributes if name in HAIR_COLOURS)
        self.exclusive = (hair,) if len(hair) > 1 else ()
        self.pictures = self._folder("img_align_celeba")
        self.names, self._labels = read_attributes(self._file("list_attr_celeba.txt"), config.attributes)
        self.splits = self._split()
        check_values(self.labels("train"), self.attributes)

    def _folder(self, name: str) -> Path:
        if not (self.root / name).is_dir():
            raise ConfigError(f"{self.root}: no folder {name}; --root is the folder that holds {name}/ and list_attr_celeba.txt")
        return self.root / name

    def _file(self, name: str) -> Path:
        if not (self.root / name).is_file():
            raise ConfigError(f"{self.root}: no file {name}; put CelebA's own {name} there")
        return self.root / name

    # ---- splits ----

    def _split(self) -> dict[Split, list[int]]:
        """Row numbers by split, as configured."""
        people = self.root / "identity_CelebA.txt"
        partition = self.root / "list_eval_partition.txt"
        how = self.config.split
        if how == "auto":
            if partition.exists() and (not people.exists() or self._keeps_people_apart()):
                how = "partition"
            else:
                how = "identity" if people.exists() else "number"
        rows = range(len(self.names))
        if how == "partition":
            values = self._column("list_eval_partition.txt")
            bad = [name for name in self.names if values[name] not in (0, 1, 2)]
            if bad:
                raise ConfigError(f"{partition}: values are 0, 1 or 2, but {bad[0]} has {values[bad[0]]}")
            return {split: [i for i in rows if values[self.names[i]] == k] for k, split in enumerate(PARTITIONS)}
        if how == "identity":
            values = self._column("identity_CelebA.txt")
            test = [seed_of("identity", values[name]) % 5 == 0 for name in self.names]
        elif how == "number":
            test = [int(Path(name).stem) > TRAIN_NUMBERS for name in self.names]
        else:
            order = list(rows)
            random.Random(1234).shuffle(order)
            held_out = set(order[:SHUFFLE_TEST])
            test = [i in held_out for i in rows]
        return {"train": [i for i in rows if not test[i]], "valid": [], "test": [i for i in rows if test[i]]}

    def _column(self, name: str) -> dict[str, int]:
        """A file of `picture number` lines; every listed picture must be in it."""
        path = self._file(name)
        values: dict[str, int] = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2 or not parts[1].lstrip("-").isdigit():
                raise ConfigError(f"{path}:{number}: expected `picture number`, got {line!r}")
            values[parts[0]] = int(parts[1])
        missing = [picture for picture in self.names if picture not in values]
        if missing:
            raise ConfigError(f"{path}: says nothing of {len(missing)} pictures of the list, first {missing[0]}")
        return values

    def _keeps_people_apart(self) -> bool:
        people, partition = self._column("identity_CelebA.txt"), self._column("list_eval_partition.txt")
        seen: dict[int, int] = {}
        return all(seen.setdefault(people[name], partition[name]) == partition[name] for name in self.names)

    # ---- reading ----

    def size(self, split: Split) -> int:
        """How many pictures the split has."""
        return len(self.splits[split])

    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """The chosen attributes, 0 or 1."""
        return self._labels[torch.tensor(self.splits[split], dtype=torch.long)]

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Decode, crop the centre square, resize.

        Raises:
            ConfigError: a picture that is missing or broken.
        """
        rows = [self.splits[split][i] for i in indices]
        images = [self._picture(self.pictures / self.names[row]) for row in rows]
        return {"image": torch.stack(images), "attributes": self._labels[torch.tensor(rows)]}

    def _picture(self, path: Path) -> Tensor:
        picture = decode(path)
        return centre_square(picture, round(self.config.crop * picture.shape[2] / WIDTH), self.image_size)


def decode(path: Path) -> Tensor:
    """A picture as uint8 (3, h, w); torchvision's decoder (twice the speed of Pillow), Pillow for what it cannot read."""
    try:
        return decode_image(read_file(str(path)), mode=ImageReadMode.RGB)
    except RuntimeError:
        return read_photo(path)


def read_attributes(path: Path, wanted: Sequence[str]) -> tuple[list[str], Float[Tensor, "n a"]]:
    """Picture names and the wanted columns of a list_attr file, as 0.0 and 1.0.

    Raises:
        ConfigError: unknown attributes (all at once), a wrong count, or a malformed line with its number.
    """
    lines = path.read_text().splitlines()
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise ConfigError(f"{path}:1: expected the number of pictures, got {lines[0] if lines else 'an empty file'!r}")
    known = lines[1].split()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        said = "\n".join(f"data.attributes: {path.name} has no {name!r}{nearest(name, known)}" for name in unknown)
        raise ConfigError(f"{said}\nknown: {', '.join(known)}")
    columns = [1 + known.index(name) for name in wanted]
    names, rows = [], []
    for number, line in enumerate(lines[2:], 3):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 1 + len(known) or any(parts[c] not in ("1", "-1") for c in columns):
            raise ConfigError(f"{path}:{number}: expected a picture and {len(known)} values 1 or -1, got {line[:60]!r}")
        names.append(parts[0])
        rows.append([float(parts[c] == "1") for c in columns])
    if len(names) != int(lines[0]):
        raise ConfigError(f"{path}:1: promises {lines[0].strip()} pictures, but {len(names)} lines follow")
    return names, torch.tensor(rows)


def check_values(labels: Float[Tensor, "n a"], attributes: Sequence[str]) -> None:
    """Training must show both values of every attribute; says which are rare.

    Raises:
        ConfigError: naming every attribute with one value only.
    """
    shares = labels.mean(0).tolist() if len(labels) else [0.0] * len(attributes)
    single = [f"{name} ({share:.0%} positive)" for name, share in zip(attributes, shares) if share in (0.0, 1.0)]
    if single:
        raise ConfigError(f"data: training shows only one value of {', '.join(single)}; nothing can be learnt of it")
    for name, share in zip(attributes, shares):
        if min(share, 1 - share) < RARE:
            warnings.warn(f"{name}: {share:.2%} of the training faces show it; try --set data.balance={name}", stacklevel=2)
