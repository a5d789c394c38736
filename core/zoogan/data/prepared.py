"""Prepared faces: decoded, cropped and resized once, in memory-mapped files of the cache folder.

A folder `prepared/<source>-<size>-<hash>` holds the faces of one split: `prepared.json` says what they are, each field
is a file of raw rows (`image.bin`: uint8, 3 x size x size a face), and `rows.bin` has 8 bytes a face: 0 = not there
yet, else 2^32 + the CRC-32 of its rows. A row is written before its entry, and checked against it when a process first
reads it. So what a killed process, a full disk or a power cut leaves is a face that is missing, and it is made again;
several processes may fill one folder at once, because they write the same bytes. The hash in the name covers the files
(paths, sizes, times), every setting that changes a picture, the resampler and the versions of the decoders, so that a
prepared face is bit-equal to one that is decoded anew. The folder may be removed at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import warnings
import zlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.cache import FaceCache, Rows
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.errors import ConfigError
from zoogan.files import get_cache_folder, write_text_atomically
from zoogan.interfaces.source import LOADING_SETTINGS, Source, Split
from zoogan.paths import make_file_name
from zoogan.pictures.photo import describe_resampler

FORMAT = 1
LABELS = ("attributes", "visible")  # fields that a source has without reading pictures
NOT_IN_PICTURES = {*LOADING_SETTINGS, "attributes", "random_crop", "root"}  # settings that change no stored row
INDEX, DESCRIPTION = "rows.bin", "prepared.json"
STORED = np.uint64(1 << 32)
MEGABYTE = 1 << 20


class StoredField(NamedTuple):
    """One row of a field in a file.

    Attributes:
        dtype: Name of numpy's dtype.
        shape: Shape of a row.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


class Room(NamedTuple):
    """Room on a disk, in bytes.

    Attributes:
        needed: Bytes that are still to be written.
        free: Bytes that are free.
    """

    needed: int
    free: int


class PreparedFaces(FaceCache):
    """The prepared faces of one split, see the module.

    Args:
        folder: Their folder. It is made, and files that were cut off are made whole again, with their faces missing.
        fields: The stored fields.
        faces: Number of faces in the split.

    Raises:
        OSError: The folder cannot be made or read.

    Attributes:
        is_writable: Whether faces can be added. A shared folder may be for reading only.
    """

    def __init__(self, folder: Path, fields: Mapping[str, StoredField], faces: int) -> None:
        self.folder, self.fields, self.faces = folder, dict(fields), faces
        self.is_writable = os.access(folder, os.W_OK)
        self.is_checked = torch.zeros(faces, dtype=torch.bool)
        self.has_warned = False
        self._open: tuple[int, dict[str, Any], dict[str, int]] | None = None  # process, maps and descriptors
        for name, size in self._list_sizes().items():
            path = folder / name
            if not path.exists() or path.stat().st_size != size:
                with path.open("ab") as file:
                    file.truncate(size)  # holes take no room, and have no entry in the index

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files out: each worker process opens its own."""
        return {**self.__dict__, "_open": None}

    def _list_sizes(self) -> dict[str, int]:
        """List the bytes of each file."""
        return {INDEX: 8 * self.faces} | {f"{name}.bin": self.faces * f.bytes for name, f in self.fields.items()}

    def _open_files(self) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the maps by field, and the descriptors for writing by file; opened once in each process."""
        if self._open is None or self._open[0] != os.getpid():
            index = np.memmap(self.folder / INDEX, np.uint64, "r", shape=(self.faces,))
            maps: dict[str, Any] = {INDEX: index}
            for name, field in self.fields.items():
                shape = (self.faces, *field.shape)
                maps[name] = np.memmap(self.folder / f"{name}.bin", np.dtype(field.dtype), "r", shape=shape)
            names = self._list_sizes() if self.is_writable else ()
            self._open = os.getpid(), maps, {name: os.open(self.folder / name, os.O_WRONLY) for name in names}
        return self._open[1:]

    def close(self) -> None:
        """Close the files."""
        if self._open is not None and self._open[0] == os.getpid():
            for descriptor in self._open[2].values():
                os.close(descriptor)
        self._open = None

    def measure_room(self) -> Room:
        """Measure how many bytes the missing faces need, and how many are free."""
        stats = [(self.folder / name).stat() for name in self._list_sizes()]
        taken = sum(getattr(stat, "st_blocks", 0) * 512 for stat in stats)
        return Room(max(0, sum(self._list_sizes().values()) - taken), shutil.disk_usage(self.folder).free)

    def count(self) -> int:
        """Count the stored faces."""
        return int(np.count_nonzero(self._open_files()[0][INDEX]))

    def find(self, indices: Int64[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Return which faces are stored. Faces that this process sees for the first time are checked."""
        maps = self._open_files()[0]
        entries = maps[INDEX][indices.numpy()]
        found = torch.from_numpy(entries != 0)
        for k in (found & ~self.is_checked[indices]).nonzero().flatten().tolist():
            row = int(indices[k])
            if int(entries[k]) == compute_entry([maps[name][row] for name in self.fields]):
                self.is_checked[row] = True
            else:
                found[k] = False
                self._warn(f"{self.folder}: the prepared face {row} is damaged; it is made again")
        return found

    def load(self, indices: Int64[Tensor, " n"]) -> Rows:
        """Return copies of stored faces, in this order."""
        maps = self._open_files()[0]
        return {name: torch.from_numpy(maps[name][indices.numpy()]) for name in self.fields}

    def store(self, indices: Int64[Tensor, " n"], rows: Rows) -> None:
        """Store faces. Where the disk is full no more are stored, which is told once."""
        if not self.is_writable:
            return
        try:
            self.write(indices, rows)
        except OSError as error:
            self.is_writable = False
            reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
            self._warn(f"{self.folder}: {reason}; the training goes on, and decodes what is not prepared each time")

    def write(self, indices: Int64[Tensor, " n"], rows: Rows) -> None:
        """Write faces.

        Raises:
            OSError: The disk is full or fails.
        """
        descriptors = self._open_files()[1]
        arrays = {name: np.ascontiguousarray(rows[name].numpy()) for name in self.fields}
        for k, row in enumerate(indices.tolist()):
            for name, field in self.fields.items():
                _write_at(descriptors[f"{name}.bin"], arrays[name][k].tobytes(), row * field.bytes)
            entry = compute_entry([array[k] for array in arrays.values()])
            _write_at(descriptors[INDEX], np.uint64(entry).tobytes(), 8 * row)
            self.is_checked[row] = True

    def sync(self) -> None:
        """Make the stored faces durable."""
        for descriptor in self._open_files()[1].values():
            os.fsync(descriptor)

    def _warn(self, message: str) -> None:
        """Warn once."""
        if not self.has_warned:
            warnings.warn(message, DataWarning, stacklevel=2)
        self.has_warned = True


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write bytes at a place of a file, all of them; processes that were forked share no position."""
    if not hasattr(os, "pwrite"):  # Windows, which does not fork
        os.lseek(descriptor, offset, os.SEEK_SET)
        os.write(descriptor, content)
        return
    view = memoryview(content)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def compute_entry(rows: Sequence[Any]) -> int:
    """Compute the entry of one face in the index from its rows, in the order of the fields."""
    checksum = 0
    for row in rows:
        checksum = zlib.crc32(row.tobytes(), checksum)
    return int(STORED) + checksum


def describe_faces(source: Source, config: DataConfig, split: Split) -> dict[str, Any] | None:
    """Describe everything that decides the pictures of a split; None if something is unknown.

    Args:
        source: The opened source.
        config: Its settings.
        split: The split.
    """
    files, side_files = source.list_files(split), source.list_side_files(split)
    fingerprint = source.compute_fingerprint(split)
    if fingerprint is None or (files is not None and side_files is None):
        return None
    root, paths = side_files or (Path(), ())
    states = [os.stat(root / path) for path in paths]
    beside = [str(root.resolve()), list(paths), [[state.st_size, state.st_mtime_ns] for state in states]]
    return {
        "format": FORMAT,
        "source": config.source,
        "root": None if config.root is None else str(config.root.expanduser().resolve()),
        "split": split,
        "faces": source.count_faces(split),
        "pictures": fingerprint,
        "side_files": hashlib.sha256(json.dumps(beside).encode()).hexdigest(),
        "settings": config.model_dump(mode="json", exclude=NOT_IN_PICTURES),
        "resampler": describe_resampler(),
        "decoders": {name: version(name) for name in ("torch", "torchvision", "pillow", "numpy")},
    }


def locate_prepared_faces(description: Mapping[str, Any]) -> Path:
    """Return the folder of the prepared faces of a description, whether it exists or not."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
    size = description["settings"]["image_size"]
    return get_cache_folder() / "prepared" / f"{make_file_name(description['source'])}-{size}-{digest}"


def open_prepared_faces(
    source: Source, config: DataConfig, split: Split, *, creates: bool = True
) -> PreparedFaces | None:
    """Open the prepared faces of a split, or begin an empty store of them.

    Args:
        source: The opened source.
        config: Its settings.
        split: The split.
        creates: Whether to make a folder where there is none.

    Returns:
        The store; None if it is unknown what the pictures depend on, or there is none and `creates` is false.

    Raises:
        ConfigError: The first face cannot be read, or the cache folder cannot be written.
    """
    if not source.count_faces(split) or (description := describe_faces(source, config, split)) is None:
        return None
    folder = locate_prepared_faces(description)
    path = folder / DESCRIPTION
    fields = _read_fields(path)
    try:
        if fields is None:
            if not creates:
                return None
            fields = _find_fields(source, split)
            stored = {name: field._asdict() for name, field in fields.items()}
            write_text_atomically(path, json.dumps(description | {"fields": stored}, indent=2) + "\n")
        return PreparedFaces(folder, fields, source.count_faces(split))
    except OSError as error:
        raise ConfigError(
            f"{folder}: prepared faces cannot be kept there ({error.strerror or error}); choose another cache folder "
            "with ZOOGAN_CACHE, or decode faces each time: --set data.prepare=never"
        ) from error


def _read_fields(path: Path) -> dict[str, StoredField] | None:
    """Read the fields in a description; None if it is missing or damaged, and then it is written anew."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))["fields"]
        return {name: StoredField(field["dtype"], tuple(field["shape"])) for name, field in fields.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _find_fields(source: Source, split: Split) -> dict[str, StoredField]:
    """Find dtype and shape of the fields to store, which are those of the first face."""
    rows = select_pictures(source.read(split, [0]))
    return {name: StoredField(str(row.numpy().dtype), tuple(row.shape[1:])) for name, row in rows.items()}


def select_pictures(rows: Mapping[str, Tensor]) -> Rows:
    """Select the fields that come from files: all but labels, which are not stored."""
    return {name: row for name, row in rows.items() if name not in LABELS}
