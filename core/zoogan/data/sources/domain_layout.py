"""Where the domains of a folder lie: the usual layouts of splits and domains in folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoogan.data.sources.heat_map_files import HEAT_MAPS
from zoogan.data.sources.image_files import list_images

TRAIN = ("train", "training")
HELD_OUT = ("val", "valid", "validation", "test", "testing")
# trainA, test_cat, valDogs: what follows is a letter of CycleGAN, or begins with a capital or a separator.
_JOINED = re.compile(r"(train|val|valid|test)(?:[_-](.+)|([A-Z0-9].*))", re.DOTALL)


@dataclass(frozen=True)
class DomainLayout:
    """The folders of the domains.

    Attributes:
        pattern: The layout, such as `train/<domain>`.
        train: Folder of each domain with the images for training, in alphabetical order of the domains.
        held_out: The same for the images that are held out; None = they are a share of `train`.
        place: What holds the folders for training, for messages.
        held_out_place: What holds the folders that are held out, for messages.
    """

    pattern: str
    train: Mapping[str, Path]
    held_out: Mapping[str, Path] | None
    place: Path
    held_out_place: Path | None = None


def find_domain_layout(root: Path) -> DomainLayout:
    """Find the domains: folders with images, without hidden folders and heat maps.

    Layouts are `train/<domain>`, `train<domain>` (CycleGAN's trainA), `<domain>/train` and `<domain>`; names of splits
    may begin with a capital.
    """
    folders = _list_folders(root)
    by_name = {path.name.lower(): path for path in folders}
    outer = [next((by_name[name] for name in names if name in by_name), None) for names in (TRAIN, HELD_OUT)]
    if outer[0] is not None:
        held_out = None if outer[1] is None else _find_filled(outer[1])
        return DomainLayout(f"{outer[0].name}/<domain>", _find_filled(outer[0]), held_out, outer[0], outer[1])
    joined = {split: _find_joined(folders, split) for split in ("train", "val", "valid", "test")}
    if joined["train"]:
        held = next((joined[split] for split in ("val", "valid", "test") if joined[split]), None)
        return DomainLayout("train<domain>", joined["train"], held, root, root)
    filled = _find_filled(root)
    inner = {name: _find_split(path, TRAIN) for name, path in filled.items()}
    if filled and all(inner.values()):
        train = {name: path for name, path in inner.items() if path is not None}
        tests = {name: _find_split(path, HELD_OUT) for name, path in filled.items()}
        held = {name: path for name, path in tests.items() if path is not None}
        return DomainLayout("<domain>/train", train, held or None, root, root)
    return DomainLayout("<domain>", filled, None, root)


def _list_folders(root: Path) -> Sequence[Path]:
    """List the folders directly below `root`, without hidden folders and heat maps."""
    below = sorted(path for path in root.iterdir() if path.is_dir())
    return [path for path in below if not path.name.startswith(".") and path.name != HEAT_MAPS]


def _find_filled(root: Path) -> dict[str, Path]:
    """Find the folders directly below `root` that hold images, by name."""
    return {path.name: path for path in _list_folders(root) if next(list_images(path), None) is not None}


def _find_joined(folders: Sequence[Path], split: str) -> dict[str, Path]:
    """Find the folders whose name is a split and a domain, by domain."""
    matches = [(_JOINED.fullmatch(path.name[0].lower() + path.name[1:]), path) for path in folders]
    found = {match[2] or match[3]: path for match, path in matches if match is not None and match[1] == split}
    return {name: path for name, path in sorted(found.items()) if next(list_images(path), None) is not None}


def _find_split(folder: Path, names: Sequence[str]) -> Path | None:
    """Find the folder of a split directly below a folder."""
    below = {path.name.lower(): path for path in _list_folders(folder)}
    return next((below[name] for name in names if name in below), None)
