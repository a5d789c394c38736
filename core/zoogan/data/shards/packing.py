"""Packing the faces of a source into shards: tar files of pictures and their labels, shuffled, with an index."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.shards.index import MAP_SUFFIX, MARKS, Shard, ShardIndex
from zoogan.errors import ConfigError
from zoogan.files import hash_file, replace_folder
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Source, Split

OVERHEAD = 3 * 1024  # bytes of a face beside its picture: headers, labels, padding
Watch = Callable[[int, int], object]
"""Called with (faces done, faces in all)."""


@dataclass(frozen=True)
class PackedFaces:
    """What `pack_faces` wrote.

    Attributes:
        folder: The folder of the shards.
        faces: Number of faces by split.
        shards: Number of tar files.
        bytes: Their size.
        square: Side of the pictures if they are squares that were cropped; None = the files as they were.
    """

    folder: Path
    faces: dict[str, int]
    shards: int
    bytes: int
    square: int | None


def pack_faces(
    source: Source,
    config: DataConfig,
    out: Path,
    *,
    shard_mb: int = 64,
    seed: int = 0,
    squares: bool = False,
    watch: Watch = lambda done, faces: None,
) -> PackedFaces:
    """Pack all faces of a source into shards, in an order that the seed decides. All or nothing is written.

    A face is `00000001.jpg` and `00000001.json`, and with label maps `00000001.seg.png`, as webdataset reads them. The
    picture is the file as it was. It is a PNG of the cropped square at the size of the source instead where `squares`
    asks for it, where the source has a segmentation (whose values are then the numbers of the parts), or has no files.
    Either way the source `shards` reads the same pixels, labels and splits from them; the order of a training differs.

    Args:
        source: The opened source.
        config: Its settings.
        out: The folder to write; it must not exist, or be empty.
        shard_mb: Size of a shard from which the next one begins, in MB.
        seed: Decides the order.
        squares: Pack cropped squares even where the files could be packed.
        watch: Shows progress.

    Raises:
        ConfigError: The folder is in use, the disk has too little room, or a picture cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: is not empty; choose a folder that is not there yet")
    if shard_mb < 1:
        raise ConfigError(f"--shard-mb {shard_mb}: expected 1 or more")
    splits: list[Split] = [split for split in get_args(Split) if source.count_faces(split)]
    squares = squares or "segmentation" in source.fields or source.list_files(splits[0]) is None
    check_room(source, splits, out, squares)
    index = ShardIndex(
        attributes=tuple(source.attributes), groups=tuple(map(tuple, source.groups)), parts=tuple(source.parts),
        transparent=tuple(source.transparent), mirrored=tuple(source.mirrored), crop=source.crop,
        square=source.image_size if squares else None,
    )  # fmt: skip
    total, done = sum(map(source.count_faces, splits)), 0
    with replace_folder(out) as draft:
        for split in splits:
            generator = torch.Generator().manual_seed(derive_seed("pack", seed, split))
            order = torch.randperm(source.count_faces(split), generator=generator).tolist()
            writer = ShardWriter(draft, split, shard_mb << 20, index)
            for members, marks in make_samples(source, split, order, squares):
                writer.add(members, marks)
                done += 1
                watch(done, total)
            writer.close()
        index.write(draft)
    sizes = [shard.bytes for shard in index.shards]
    return PackedFaces(out, {s: source.count_faces(s) for s in splits}, len(sizes), sum(sizes), index.square)


def check_room(source: Source, splits: list[Split], out: Path, squares: bool) -> None:
    """Check by arithmetic that the disk has room for the shards.

    Raises:
        ConfigError: It has not; the message says how much is needed and free, in MB.
    """
    faces = sum(map(source.count_faces, splits))
    needed = faces * OVERHEAD
    if squares:
        needed += faces * source.image_size**2 * (4 if "segmentation" in source.fields else 3)
    else:
        for root, paths in filter(None, map(source.list_files, splits)):
            needed += sum(os.stat(root / path).st_size for path in paths)
    folder = next(place for place in (out.absolute(), *out.absolute().parents) if place.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"--out {out}: packing {faces} faces needs about {needed >> 20} MB, and {free >> 20} MB are free; free "
            "some, or choose another disk"
        )


def make_samples(
    source: Source, split: Split, order: list[int], squares: bool
) -> Iterator[tuple[dict[str, bytes], str]]:
    """Make the members of each face by suffix, and its labels in the index, in this order."""
    labels, visible = source.read_labels(split), source.read_visibility(split)
    files = source.list_files(split)
    for face in order:
        hidden = torch.zeros(len(labels[face])) if visible is None else visible[face] < 0.5
        values = [None if h else int(label) for label, h in zip(labels[face].tolist(), hidden.tolist())]
        facts: dict[str, Any] = dict(zip(source.attributes, values))
        facts["__name__"] = f"{split}/{face}" if files is None else files[1][face]
        if squares:
            read = source.read(split, [face])
            members = {".png": encode_png(read["image"][0].permute(1, 2, 0))}
            if "segmentation" in read:
                members[MAP_SUFFIX] = encode_png(read["segmentation"][0])
        else:
            assert files is not None
            path = files[0] / files[1][face]
            try:
                members = {path.suffix.lower(): path.read_bytes()}
            except OSError as error:
                raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
        members[".json"] = json.dumps(facts, ensure_ascii=False).encode()
        yield members, "".join(MARKS[value] for value in values)


def encode_png(pixels: Tensor) -> bytes:
    """Encode bytes (h, w) or (h, w, 3) as a PNG."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(file, format="PNG")
    return file.getvalue()


class ShardWriter:
    """Writes the shards of one split, and their entries in the index.

    Args:
        folder: Where they go.
        split: The split.
        limit: Bytes from which the next shard begins.
        index: The index.
    """

    def __init__(self, folder: Path, split: Split, limit: int, index: ShardIndex) -> None:
        self.folder, self.split, self.limit, self.index = folder, split, limit, index
        self.tar: tarfile.TarFile | None = None
        self.count = self.faces = 0

    def add(self, members: dict[str, bytes], marks: str) -> None:
        """Write one face."""
        if self.tar is None:
            self.shard = Shard(f"{self.split}-{self.count:06d}.tar", self.split)
            path = self.folder / self.shard.name
            self.tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - `close` ends it
            self.count += 1
        for suffix, content in members.items():
            info = tarfile.TarInfo(f"{self.faces:08d}{suffix}")  # without times and owners: equal faces, equal files
            info.size = len(content)
            self.tar.addfile(info, io.BytesIO(content))
            place = self.tar.offset - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(content)
            if suffix == MAP_SUFFIX:
                self.shard.maps.append(place)
            elif suffix != ".json":
                self.shard.pictures.append(place)
        self.shard.labels.append(marks)
        self.faces += 1
        if self.tar.offset >= self.limit:
            self.close()

    def close(self) -> None:
        """End the present shard, if one was begun."""
        if self.tar is not None:
            self.tar.close()
            path = self.folder / self.shard.name
            self.shard.bytes, self.shard.sha256 = path.stat().st_size, hash_file(path)
            self.index.shards.append(self.shard)
        self.tar = None
