"""The gallery: trained runs, judges and faces that installed packages bring. Imports no torch.

A package names its folders in the entry-point group `zoogan.gallery`: the name of an entry is what people type after
`gallery:`, its value an import string of the folder's path. Each entry is loaded separately, so that a broken package
disturbs no other.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from zoogan.config import read_yaml
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.paths import expand_path
from zoogan.plugins.isolation import RejectedError, explain_failure

GROUP = "zoogan.gallery"
PREFIX = "gallery:"
DISTRIBUTION = "zoogan-gallery"  # the gallery that this repository ships
INSTALL = "pip install ./gallery in a checkout of zoogan's repository"

Kind = Literal["run", "judge", "faces"]
# The file by which a folder is recognised; a folder with neither holds pictures.
_MARKS: dict[str, Kind] = {"config.yaml": "run", "judge.json": "judge"}


@dataclass(frozen=True)
class GalleryEntry:
    """A folder that an installed package brings.

    Attributes:
        name: What people type after `gallery:`.
        kind: `run`, `judge`, or `faces`: a folder of pictures.
        folder: The folder, which nothing writes into.
        distribution: The package that it came with.
        version: Version of that package.
        method: The method of a run; empty for other kinds.
        source: The source of the faces that a run or judge was trained on; empty for `faces`.
        image_size: Size of these faces in pixels; None for `faces`.
        attributes: Attributes that a run or judge knows.
    """

    name: str
    kind: Kind
    folder: Path
    distribution: str | None = None
    version: str | None = None
    method: str = ""
    source: str = ""
    image_size: int | None = None
    attributes: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """What people type instead of a path: `gallery:NAME`."""
        return f"{PREFIX}{self.name}"


@dataclass(frozen=True)
class GalleryFailure:
    """An entry that is not in use.

    Attributes:
        name: Its name.
        distribution: The package that it came with.
        reason: Why it failed, in one sentence.
        hint: What to do about it.
    """

    name: str
    distribution: str | None
    reason: str
    hint: str

    def as_json(self) -> dict[str, str]:
        """Return the fields that JSON output shows, like those of a plugin that failed."""
        return {"plugin": f"{PREFIX}{self.name}", "where": GROUP, "reason": self.reason, "hint": self.hint}

    def __str__(self) -> str:
        return f"{PREFIX}{self.name} is not in use: {self.reason} (hint: {self.hint})"


@dataclass(frozen=True)
class Gallery:
    """Everything that installed packages bring.

    Attributes:
        entries: The usable entries by name.
        failures: The others.
    """

    entries: dict[str, GalleryEntry] = field(default_factory=dict)
    failures: tuple[GalleryFailure, ...] = ()

    def get(self, name: str) -> GalleryEntry:
        """Return an entry.

        Raises:
            ConfigError: There is none of that name; says whether it is broken, misspelt or not installed.
        """
        if name in self.entries:
            return self.entries[name]
        for failure in self.failures:
            if failure.name == name:
                raise ConfigError(str(failure))
        if not self.entries:
            raise ConfigError(f"{PREFIX}{name}: no gallery is installed: {INSTALL}")
        names = sorted(self.entries)
        hint = suggest_name(name, names)
        installed = any(entry.distribution == DISTRIBUTION for entry in self.entries.values())
        advice = "" if installed or hint else f". More come with {INSTALL}"
        known = f"it has {', '.join(names)}{advice}"
        raise ConfigError(f"{PREFIX}{name}: nothing in the gallery is called {name!r}{hint}; {known}")


@cache
def open_gallery() -> Gallery:
    """Open the gallery of this process; entries are looked for at the first call."""
    entries: dict[str, GalleryEntry] = {}
    failures = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
        try:
            found = read_entry(entry.name, entry.load(), name, version)
            if entry.name in entries:
                other = entries[entry.name].distribution
                raise RejectedError(f"{other} brings an entry of the same name", "uninstall one of the two packages")
            entries[entry.name] = found
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a package may not end the program
            failures.append(GalleryFailure(entry.name, name, *explain_failure(error, name)))
    return Gallery(entries, tuple(failures))


def read_entry(name: str, value: object, distribution: str | None, version: str | None) -> GalleryEntry:
    """Check what an entry point names, and read the facts about it.

    Args:
        name: Name of the entry.
        value: The folder.
        distribution: The package that it came with.
        version: Version of that package.

    Raises:
        RejectedError: The value is no folder.
        ConfigError: The folder's files cannot be read.
    """
    remedy = f"report it to the authors of {distribution}" if distribution else "correct the entry point"
    if not isinstance(value, str | os.PathLike):
        raise RejectedError(f"its entry point names a {type(value).__name__}, expected the path of a folder", remedy)
    folder = Path(value)
    if not folder.is_dir():
        raise RejectedError(f"{folder} is no folder", remedy)
    kind: Kind = next((kind for file, kind in _MARKS.items() if (folder / file).is_file()), "faces")
    origin = (name, kind, folder, distribution, version)
    if kind == "faces":
        return GalleryEntry(*origin)
    if kind == "judge":
        about = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        size = about["build"]["image_size"]
        return GalleryEntry(*origin, "", str(about["source"]), int(size), tuple(about["attributes"]))
    config = read_yaml(folder / "config.yaml")
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    attributes = tuple(facts.get("attributes", ()))
    return GalleryEntry(*origin, config["method"], config["data"]["source"], facts["image_size"], attributes)


def list_gallery() -> list[GalleryEntry]:
    """List the trained runs, judges and folders of faces that installed packages bring, sorted by name."""
    return [entry for _, entry in sorted(open_gallery().entries.items())]


def is_gallery_address(path: str | os.PathLike[str]) -> bool:
    """Return whether a text or path begins with `gallery:`."""
    return os.fspath(path).startswith(PREFIX)


def find_in_gallery(address: str | os.PathLike[str]) -> Path:
    """Find the folder of `gallery:NAME`, or the file of `gallery:NAME/FILE`.

    Args:
        address: The address. It need not be checked before.

    Raises:
        ConfigError: The gallery has no such entry, or the entry no such file.
    """
    name, _, rest = os.fspath(address).removeprefix(PREFIX).replace(os.sep, "/").partition("/")
    folder = open_gallery().get(name).folder
    if not rest:
        return folder
    path = folder / rest.lstrip("/")
    if ".." in path.parts or not path.exists():
        names = [file.name for file in folder.iterdir()]
        raise ConfigError(f"{PREFIX}{name}/{rest}: no such file{suggest_name(rest, names)}")
    return path


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """Return the path that a text means: the folder of `gallery:NAME`, or a path with `~` expanded.

    Args:
        path: What a person typed.

    Raises:
        ConfigError: The gallery has nothing of that name.
    """
    return find_in_gallery(path) if is_gallery_address(path) else expand_path(path)


def name_gallery_entry(path: Path) -> str | None:
    """Return the name of the entry in whose folder a path lies; None for paths outside of the gallery."""
    place = path.resolve()
    for name, entry in open_gallery().entries.items():
        if place.is_relative_to(entry.folder.resolve()):
            return name
    return None


def check_outside_gallery(path: Path, option: str) -> None:
    """Refuse to write into the folder of an installed package.

    Args:
        path: Where something will be written.
        option: What named the path, for the message.

    Raises:
        ConfigError: The path is an address or lies in the gallery; says how to copy the run.
    """
    name = path.as_posix().removeprefix(PREFIX) if is_gallery_address(path) else name_gallery_entry(path)
    if name is not None:
        raise ConfigError(
            f"{option}: nothing is written into the gallery, which belongs to its package. Copy the run and name the "
            f"copy: python -c \"import zoogan; zoogan.export_run('{PREFIX}{name}', 'runs/{name}')\""
        )
