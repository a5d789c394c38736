"""Preparing faces: what `zoo data prepare` and `data.prepare` of a training do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.bad_faces import UNREADABLE
from zoogan.data.cache import Rows
from zoogan.data.prepared import MEGABYTE, PreparedFaces, Room, open_prepared_faces, select_pictures
from zoogan.errors import ConfigError
from zoogan.interfaces.source import Source, Split
from zoogan.locks import wait_for_lock
from zoogan.terminal.messages import Show

AT_ONCE = 32  # faces that are decoded together
EPOCHS = 2  # reads of each face from which it pays to keep it
ROLE = (
    "fields", "extra_fields", "image_size", "attributes", "exclusive", "groups", "parts", "transparent", "mirrored",
    "crop", "window",
)  # fmt: skip
Watch = Callable[[int, int], bool]
"""Called with (faces done, faces in all) now and then; True stops."""


class PreparedSplit(NamedTuple):
    """What `prepare_faces` did for one split.

    Attributes:
        split: The split.
        folder: Folder of the prepared faces.
        faces: Faces of the split.
        made: Faces that were decoded now; the others were there and are whole.
        is_complete: Whether the end was reached; false if it was stopped. With `data.on_bad=skip` faces that cannot be
            read are passed over.
    """

    split: Split
    folder: Path
    faces: int
    made: int
    is_complete: bool


class PreparedSource(Source):
    """A source whose faces of some splits come from prepared files; a face that is not there is decoded and stored.

    Args:
        source: The source.
        stores: Prepared faces by split.
    """

    def __init__(self, source: Source, stores: dict[Split, PreparedFaces]) -> None:
        self.source, self.stores = source, stores
        for name in ROLE:
            setattr(self, name, getattr(source, name))
        self._labels = {split: (source.read_labels(split), source.read_visibility(split)) for split in stores}

    def __getattr__(self, name: str) -> Any:
        """Return what the source has beside its role."""
        if name == "source":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces, see `Source.read`."""
        if split not in self.stores:
            return self.source.read(split, indices)
        rows = torch.tensor(indices, dtype=torch.long)
        labels, visible = self._labels[split]
        read = {"attributes": labels[rows]}
        if visible is not None and "visible" in self.fields:
            read["visible"] = visible[rows]
        made = self.stores[split].read(rows, lambda missing: select_pictures(self.source.read(split, missing)))
        return {name: (read | made)[name] for name in self.fields}

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return self.source.count_faces(split)

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1."""
        return self.source.read_labels(split)

    def read_domains(self, split: Split) -> Int64[Tensor, " n"]:
        """Return the domain of each face, see `Source.read_domains`."""
        return self.source.read_domains(split)

    def read_visibility(self, split: Split) -> Float[Tensor, "n a"] | None:
        """Return which attributes a face can show, see `Source.read_visibility`."""
        return self.source.read_visibility(split)

    def list_files(self, split: Split) -> tuple[Path, Sequence[str]] | None:
        """Return the files of the images, see `Source.list_files`."""
        return self.source.list_files(split)

    def list_side_files(self, split: Split) -> tuple[Path, Sequence[str]] | None:
        """Return the files beside the images, see `Source.list_side_files`."""
        return self.source.list_side_files(split)

    def list_shards(self, split: Split) -> Int64[Tensor, " n"] | None:
        """Return the shard of each face, see `Source.list_shards`."""
        return self.source.list_shards(split)

    def expect_shards(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        """Pass on which shards are read, see `Source.expect_shards`."""
        self.source.expect_shards(reader, now, soon)

    def compute_fingerprint(
        self, split: Split, indices: Sequence[int] | None = None, *, include_origin: bool = True
    ) -> str | None:
        """Hash the source images, see `Source.compute_fingerprint`."""
        return self.source.compute_fingerprint(split, indices, include_origin=include_origin)

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor] | None:
        """Redraw faces, see `Source.redraw`."""
        return self.source.redraw(split, indices, **attributes)


def prepare_faces(
    source: Source,
    config: DataConfig,
    splits: Sequence[Split] = ("train",),
    *,
    watch: Watch = lambda done, faces: False,
    show: Show = print,
) -> list[PreparedSplit]:
    """Decode, crop and resize all faces of some splits into the cache folder, where a training finds them.

    Faces that are there are checked, and made again if they are damaged, so a stopped or killed call goes on where it
    was. One process works on a split at a time; a second one waits, and then finds everything done.

    Args:
        source: The opened source.
        config: Its settings.
        splits: The splits; empty ones are passed over.
        watch: Shows progress; may stop it.
        show: Shows messages.

    Returns:
        What was done for each split.

    Raises:
        ConfigError: A face cannot be read, the disk has too little room, or it is unknown what the pictures depend on.
        OSError: The disk became full after all. What was stored stays.
    """
    results = []
    for split in splits:
        if source.count_faces(split):
            results.append(_prepare_split(source, config, split, watch, show))
            if not results[-1].is_complete:
                break
    return results


def _prepare_split(source: Source, config: DataConfig, split: Split, watch: Watch, show: Show) -> PreparedSplit:
    """Prepare one split, see `prepare_faces`."""
    store = open_prepared_faces(source, config, split)
    if store is None:
        raise ConfigError(
            f"data.prepare: it is not known what the pictures of source {config.source!r} depend on, so that they "
            "cannot be kept; leave it out (data.prepare=never)"
        )
    waiting = f"another process prepares {store.folder}; waiting for it"
    with wait_for_lock(store.folder / ".lock", lambda: show(waiting)):
        check_room(store)
        made, done = 0, 0
        for first in range(0, store.faces, AT_ONCE):
            indices = torch.arange(first, min(store.faces, first + AT_ONCE))
            missing = indices[~store.find(indices)]
            skip = config.on_bad == "skip"
            for faces, rows in _read_pictures(source, split, missing, skip) if len(missing) else ():
                store.write(faces, rows)
                made += len(faces)
            done = first + len(indices)
            if watch(done, store.faces):
                break
        store.sync()
    store.close()
    return PreparedSplit(split, store.folder, store.faces, made, done == store.faces)


def _read_pictures(
    source: Source, split: Split, indices: Int64[Tensor, " n"], skip: bool
) -> Iterator[tuple[Int64[Tensor, " m"], Rows]]:
    """Read faces together; where one of them cannot be read, with `skip`, one by one those that can."""
    try:
        rows = select_pictures(source.read(split, indices.tolist()))
    except UNREADABLE:
        if not skip:
            raise
        if len(indices) > 1:
            for face in indices.split(1):
                yield from _read_pictures(source, split, face, skip)
        return
    yield indices, rows


def check_room(store: PreparedFaces) -> None:
    """Check by arithmetic that the disk has room for the missing faces.

    Raises:
        ConfigError: It has not; the message says how much is needed and free, in MB.
    """
    room = store.measure_room()
    if room.needed > room.free:
        raise ConfigError(
            f"{store.folder}: preparing {store.faces} faces needs {format_megabytes(room.needed)}, and "
            f"{format_megabytes(room.free)} are free; free some, choose another disk with ZOOGAN_CACHE, or decode "
            "faces each time: --set data.prepare=never"
        )


def format_megabytes(size: int) -> str:
    """Write bytes as MB, rounded up."""
    return f"{-(-size // MEGABYTE)} MB"


def use_prepared_faces(
    source: Source, config: DataConfig, reads: int, *, watch: Watch = lambda done, faces: False, show: Show = print
) -> Source:
    """Return the source that a training reads, as `data.prepare` says.

    Args:
        source: The opened source.
        config: Its settings.
        reads: Faces that the training still reads, over all processes.
        watch: Shows the progress of `data.prepare=always`; may stop it.
        show: Shows messages.

    Returns:
        The source itself, or one that keeps its training faces in the cache folder.

    Raises:
        ConfigError: With `always`: see `prepare_faces`.
    """
    if config.prepare == "never":
        return source
    if config.prepare == "always":
        prepare_faces(source, config, watch=watch, show=show)
        store = open_prepared_faces(source, config, "train")
    else:
        store = _open_if_worthwhile(source, config, reads, show)
    return source if store is None else PreparedSource(source, {"train": store})


def _open_if_worthwhile(source: Source, config: DataConfig, reads: int, show: Show) -> PreparedFaces | None:
    """Open the prepared training faces for `data.prepare=auto`; None where decoding each time is the better choice."""
    if source.list_files("train") is None:  # drawn faces have a cache in memory; shards lie there to save room
        return None
    is_long = reads >= EPOCHS * source.count_faces("train")
    try:
        store = open_prepared_faces(source, config, "train", creates=is_long)
        if store is None or store.count() == store.faces:
            return store
    except ConfigError as error:  # a picture that cannot be read is told when its turn comes
        show(f"note: faces are decoded each time: {error}")
        return None
    room: Room = store.measure_room()
    if 2 * room.needed > room.free:
        show(
            f"note: faces are decoded each time: keeping them in {store.folder} needs "
            f"{format_megabytes(room.needed)}, more than half of the {format_megabytes(room.free)} that are free "
            "(data.prepare=always takes them nevertheless)"
        )
        return None
    if is_long and store.is_writable and not store.count():
        show(
            f"note: decoded faces are kept in {store.folder} ({format_megabytes(room.needed)}); "
            "data.prepare=never decodes them each time"
        )
    return store
