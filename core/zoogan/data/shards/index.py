"""The index of shards: where each face lies, its labels, and the checksum of each shard."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from zoogan.errors import ConfigError
from zoogan.files import hash_file, write_text_atomically
from zoogan.interfaces.source import Split
from zoogan.paths import explain_path, shorten
from zoogan.pictures.photo_files import SUFFIXES

INDEX = "index.json"
FORMAT = "zoogan-shards-1"
MAP_SUFFIX = ".seg.png"
MARKS = {0: "0", 1: "1", None: "-"}  # labels in the index; None = something hides it
BLOCK = 512  # of a tar file; the header of a member stands right before its bytes


@dataclass
class Shard:
    """One tar file.

    Attributes:
        name: Its file name.
        split: The split of its faces.
        bytes: Its size.
        sha256: Its checksum.
        pictures: Offset and size of each picture.
        maps: Offset and size of each label map; empty without any.
        labels: A string a face, a character an attribute: 0, 1, or - where something hides it.
    """

    name: str
    split: Split
    bytes: int = 0
    sha256: str = ""
    pictures: list[tuple[int, int]] = field(default_factory=list)
    maps: list[tuple[int, int]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


@dataclass
class ShardIndex:
    """All shards of a data set, and what the source that they were packed from says of it.

    Attributes:
        attributes: Names of the labels.
        groups: Attributes of which a face shows at most one.
        parts: Names of the values in the label maps.
        transparent: Parts that light shines through.
        mirrored: Parts that swap in a flipped picture.
        crop: Share of the shorter side that the source keeps of a person's photo.
        square: Side of the pictures if they are squares that were cropped already.
        shards: The tar files.
        format: The format's name.
    """

    attributes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] = ()
    parts: tuple[str, ...] = ()
    transparent: tuple[str, ...] = ()
    mirrored: tuple[tuple[str, str], ...] = ()
    crop: float = 1.0
    square: int | None = None
    shards: list[Shard] = field(default_factory=list)
    format: str = FORMAT

    def write(self, folder: Path) -> None:
        """Write the index into the folder of the shards."""
        write_text_atomically(folder / INDEX, json.dumps(asdict(self), separators=(",", ":")) + "\n")


def parse_index(content: str, where: str) -> ShardIndex:
    """Parse an index.

    Args:
        content: The JSON.
        where: The file, for messages.

    Raises:
        ConfigError: It is damaged, or of another format.
    """
    try:
        values: dict[str, Any] = json.loads(content)
        if values.get("format") != FORMAT:
            raise ConfigError(f"{where}: the format is {values.get('format')!r}, expected {FORMAT!r}; pack it again")
        shards = [Shard(**shard) for shard in values.pop("shards")]
        index = ShardIndex(**{key: _freeze(value) for key, value in values.items()}, shards=shards)
        for shard in shards:
            counts = {len(shard.labels), len(shard.pictures), len(shard.maps) or len(shard.pictures)}
            widths = {len(labels) for labels in shard.labels}
            if len(counts) != 1 or widths - {len(index.attributes)} or shard.split not in get_args(Split):
                raise ValueError(f"the entry of {shard.name} does not fit together")
            if Path(shard.name).name != shard.name or not shard.name.endswith(".tar") or explain_path(shard.name):
                raise ValueError(f"{shorten(shard.name)!r} is no name of a file beside the index")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where}: damaged index ({error}); copy it again, or pack the faces again") from error
    return index


def _freeze(value: Any) -> Any:
    """Turn lists into tuples."""
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


def index_shards(folder: Path, *, attributes: tuple[str, ...] | None = None) -> ShardIndex:
    """Make and write the index of tar files that another program wrote: `KEY.jpg` and `KEY.json` for each face.

    A file whose name begins with `valid` or `test` holds that split, and any other `train`. The labels are those values
    in the JSON that are 0, 1, true, false or null (hidden).

    Args:
        folder: The folder of the tar files.
        attributes: Names of the labels; None = all of the first face.

    Returns:
        The index.

    Raises:
        ConfigError: There are no tar files, or faces lack a picture, a JSON file or a label.
    """
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise ConfigError(f"{folder}: no tar files (*.tar) in it")
    index = None if attributes is None else ShardIndex(attributes)
    for path in paths:
        split: Any = next((name for name in ("valid", "test") if path.name.startswith(name)), "train")
        shard = Shard(path.name, split, path.stat().st_size, hash_file(path))
        for key, members, labels in _read_samples(path):
            if index is None:
                index = ShardIndex(tuple(name for name, value in labels.items() if value in (0, 1, None)))
            missing = [name for name in index.attributes if labels.get(name, "") not in (0, 1, None)]
            if missing:
                raise ConfigError(f"{path}, {key}.json: no label 0, 1 or null for {', '.join(missing)}")
            shard.pictures.append(members["picture"])
            shard.maps += [members["map"]] if "map" in members else []
            shard.labels.append("".join(MARKS[labels[name]] for name in index.attributes))
        if len(shard.maps) not in (0, len(shard.pictures)):
            raise ConfigError(f"{path}: only {len(shard.maps)} of {len(shard.pictures)} faces have a {MAP_SUFFIX}")
        if index is not None:
            index.shards.append(shard)
    if index is None:
        raise ConfigError(f"{folder}: no face in its tar files; expected KEY.jpg and KEY.json for each")
    index.write(folder)
    return index


def _read_samples(path: Path) -> Iterator[tuple[str, dict[str, tuple[int, int]], dict[str, Any]]]:
    """Read the samples of a tar file: key, places of picture and map, labels. Members of a sample stand together."""
    samples: dict[str, tuple[dict[str, tuple[int, int]], dict[str, Any]]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key, suffix = f"{folder}/{stem}".lstrip("/"), f".{suffix.lower()}"
                places, labels = samples.setdefault(key, ({}, {}))
                if suffix == MAP_SUFFIX:
                    places["map"] = member.offset_data, member.size
                elif suffix in SUFFIXES:
                    places["picture"] = member.offset_data, member.size
                elif suffix == ".json":
                    content = tar.extractfile(member)
                    labels |= json.loads(content.read()) if content else {}
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ConfigError(f"{path}: damaged, or no tar file of pictures and JSON files ({error})") from error
    for key, (places, labels) in samples.items():
        if "picture" not in places:
            raise ConfigError(f"{path}: {key} has no picture ({', '.join(SUFFIXES)})")
        yield key, places, labels
