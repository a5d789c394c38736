"""The tar files of a data set: in a folder, or fetched whole into the cache folder, with a limit of bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import shlex
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoogan.data.shards.index import BLOCK, INDEX, Shard, ShardIndex, parse_index
from zoogan.errors import ConfigError
from zoogan.files import get_cache_folder, hash_file, replace_file
from zoogan.locks import wait_for_lock
from zoogan.names import join_problems

MAX_OPEN = 128  # files that a process keeps open
READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)
CHUNK = 1 << 20
_fetching = threading.Lock()  # the lock of a file keeps other processes out, not other threads


def _renew_lock() -> None:
    """Give a forked process a lock of its own; a thread of the parent may hold the other."""
    global _fetching
    _fetching = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class ShardFiles:
    """Reads pieces of shards. A shard is checked against its sha256 when a process first opens it.

    Args:
        index: The index.
        folder: The folder of the shards; for a url the folder that they are fetched into.

    Raises:
        ConfigError: Shards are missing or have another size; the message names the first few.
    """

    def __init__(self, index: ShardIndex, folder: Path) -> None:
        self.shards, self.folder = index.shards, folder
        self._open: dict[int, int] = {}
        self._checked: set[int] = set()
        self._process = os.getpid()
        self.check_sizes()

    def check_sizes(self) -> None:
        """Check that all shards are there, by one listing."""
        present = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}
        problems = []
        for shard in self.shards:
            if shard.name not in present:
                problems.append(f"{self.folder / shard.name}: missing (sha256 {shard.sha256}); fetch it again")
            elif present[shard.name] != shard.bytes:
                problems.append(
                    f"{self.folder / shard.name}: {present[shard.name]} bytes, expected {shard.bytes} "
                    f"(sha256 {shard.sha256}); fetch it again"
                )
        if problems:
            raise ConfigError(join_problems(problems))

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files out: each worker process opens its own."""
        return {**self.__dict__, "_open": {}, "_checked": set()}

    def expect(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        """Learn which shards a reader needs now and soon."""

    def locate(self, number: int) -> Path:
        """Return the path of a shard that is there."""
        return self.folder / self.shards[number].name

    def read(self, number: int, offset: int, size: int) -> tuple[str, bytes]:
        """Read a member of a shard: (its name, its bytes).

        Raises:
            ConfigError: The shard is missing or damaged.
        """
        descriptor = self.open(number)
        try:
            content = _read_at(descriptor, offset - BLOCK, size + BLOCK)
        finally:
            self.release(descriptor)
        if len(content) != size + BLOCK:
            raise ConfigError(describe_damage(self.locate(number), self.shards[number], "cut off"))
        return content[:100].split(b"\0", 1)[0].decode(errors="replace"), content[BLOCK:]

    def open(self, number: int) -> int:
        """Open a shard, and check it the first time.

        Raises:
            ConfigError: It is missing or damaged.
        """
        if self._process != os.getpid():  # a fork
            self._open, self._process = {}, os.getpid()
        if number in self._open:
            self._open[number] = self._open.pop(number)  # the most recent one is last
            return self._open[number]
        path, shard = self.locate(number), self.shards[number]
        try:
            if number not in self._checked and (found := hash_file(path)) != shard.sha256:
                raise ConfigError(describe_damage(path, shard, f"sha256 {found}"))
            descriptor = os.open(path, READ_ONLY)
        except FileNotFoundError:
            raise ConfigError(f"{path}: missing (sha256 {shard.sha256}); fetch it again") from None
        self._checked.add(number)
        self._open[number] = descriptor
        if len(self._open) > MAX_OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        return descriptor

    def release(self, descriptor: int) -> None:
        """Take back what `open` returned; it stays open for the next reading."""


def _read_at(descriptor: int, size_offset: int, size: int) -> bytes:
    """Read bytes at a place of a file; processes that were forked share no position."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, size_offset)
    os.lseek(descriptor, size_offset, os.SEEK_SET)  # Windows, which does not fork
    return os.read(descriptor, size)


def describe_damage(path: Path, shard: Shard, found: str) -> str:
    """Describe a shard that is not what the index says."""
    return f"{path}: damaged: {found}, expected sha256 {shard.sha256}; fetch it again, or pack the faces again"


class RemoteShardFiles(ShardFiles):
    """Shards behind a url of fsspec, fetched whole into the cache folder; the least recently read ones make room.

    Args:
        index: The index.
        url: The url of their folder.
        limit: Most bytes that they may take in the cache folder. The shards that are read now are kept in any case.
    """

    def __init__(self, index: ShardIndex, url: str, limit: int) -> None:
        self.url, self.limit = url, limit
        self.names = {shard.name for shard in index.shards}
        self.needed: dict[str, set[str]] = {}
        folder = locate_fetched_shards(url)
        folder.mkdir(parents=True, exist_ok=True)
        self._queue: queue.SimpleQueue[int] | None = None
        super().__init__(index, folder)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the thread out too."""
        return {**super().__getstate__(), "_queue": None}

    def check_sizes(self) -> None:
        """Check nothing: shards are fetched when they are read."""

    def expect(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        """Fetch the shards that are read soon, in a thread, if they fit beside those that are read now."""
        needed = {self.shards[number].name for number in now}
        if needed == self.needed.get(reader):
            return
        self.needed[reader] = needed
        if self._process != os.getpid() or self._queue is None:  # threads do not survive a fork
            self._queue = queue.SimpleQueue()
            threading.Thread(target=self._fetch_ahead, args=(self._queue,), daemon=True).start()
        room = self.limit - sum(self.shards[number].bytes for number in now)
        for number in (*now, *(number for number in soon if number not in now)):
            room -= 0 if number in now else self.shards[number].bytes
            if room >= 0:
                self._queue.put(number)

    def _fetch_ahead(self, numbers: queue.SimpleQueue[int]) -> None:
        """Fetch shards one after the other; whoever reads one reports what went wrong."""
        while True:
            number = numbers.get()
            with contextlib.suppress(Exception):
                self.fetch(number)

    def open(self, number: int) -> int:
        """Open a shard, fetched. It is not kept open, because a removed file takes room as long as it is open.

        Raises:
            ConfigError: It cannot be fetched, or is damaged where it comes from.
        """
        while True:
            path = self.fetch(number)
            try:
                if number in self._checked or hash_file(path) == self.shards[number].sha256:
                    self._checked.add(number)
                    return os.open(path, READ_ONLY)
                path.unlink()  # it became damaged in the cache folder
            except FileNotFoundError:  # another process made room
                continue

    def release(self, descriptor: int) -> None:
        """Close a shard."""
        os.close(descriptor)

    def locate(self, number: int) -> Path:
        """Return the path of a shard, fetched."""
        return self.fetch(number)

    def fetch(self, number: int) -> Path:
        """Fetch a shard unless it is there.

        Raises:
            ConfigError: It cannot be fetched, or is damaged where it comes from.
        """
        shard = self.shards[number]
        path = self.folder / shard.name
        if not _is_whole(path, shard):
            with _fetching, wait_for_lock(self.folder / f".{shard.name}.lock"):
                if not _is_whole(path, shard):
                    self._make_room(shard)
                    fetch_file(f"{self.url}/{shard.name}", path, shard)
        with contextlib.suppress(OSError):
            os.utime(path)
        return path

    def _make_room(self, coming: Shard) -> None:
        """Remove the shards that were not read for the longest time, until another one fits."""
        present = [path for path in self.folder.glob("*.tar") if path.name in self.names]
        files = sorted((stat.st_mtime, stat.st_size, path) for path in present if (stat := _stat(path)) is not None)
        total = sum(size for _, size, _ in files)
        needed = set().union(*self.needed.values())
        for _, size, path in files:
            if total + coming.bytes <= self.limit:
                break
            if path.name not in needed:
                total -= size
                path.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    """Look at a file; None if another process has removed it."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat()
    return None


def _is_whole(path: Path, shard: Shard) -> bool:
    """Return whether a fetched shard is there; its content was checked when it was fetched."""
    stat = _stat(path)
    return stat is not None and stat.st_size == shard.bytes


def locate_fetched_shards(url: str) -> Path:
    """Return the folder that the shards of a url are fetched into."""
    return get_cache_folder() / "shards" / hashlib.sha256(url.encode()).hexdigest()[:16]


def open_url(url: str) -> Any:
    """Open a file of fsspec for reading.

    Raises:
        ConfigError: fsspec is not installed, or does not know this kind of url.
        OSError: It cannot be opened.
    """
    if find_spec("fsspec") is None:
        raise ConfigError("data.url: reading from elsewhere needs fsspec: pip install 'zoogan[remote]'")
    import fsspec

    try:
        return fsspec.open(url, "rb")
    except (ImportError, ValueError) as error:
        raise ConfigError(f"data.url: {url}: {error}") from error


def fetch_file(url: str, path: Path, shard: Shard) -> None:
    """Fetch a shard and check it.

    Raises:
        ConfigError: It cannot be fetched or is damaged.
    """
    digest = hashlib.sha256()
    try:
        with replace_file(path) as draft:
            with open_url(url) as remote, draft.open("wb") as file:
                while chunk := remote.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != shard.sha256:
                raise ConfigError(f"{url}: damaged: sha256 {digest.hexdigest()}, expected {shard.sha256}")
    except FileNotFoundError:
        raise ConfigError(f"{url}: missing (sha256 {shard.sha256})") from None


def open_shards(config: Any) -> tuple[ShardIndex, Callable[[], ShardFiles], str]:
    """Open the index of a source's config.

    Args:
        config: A `ShardsData`.

    Returns:
        (the index, a function that opens the files, where they are for messages).

    Raises:
        ConfigError: There is no index, or it is damaged; or both or neither of root and url are given.
    """
    if config.url is not None:
        if config.root is not None:
            raise ConfigError(f"data.url={config.url}: the shards are at data.root={config.root} already; give one")
        url = config.url.rstrip("/")
        try:
            with open_url(f"{url}/{INDEX}") as file:
                content = file.read().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"data.url: {url}/{INDEX} cannot be read ({error})") from error
        index = parse_index(content, f"{url}/{INDEX}")
        return index, lambda: RemoteShardFiles(index, url, config.cache_mb << 20), url
    root = config.get_root()
    path = root / INDEX
    if not path.is_file():
        raise ConfigError(
            f"data.root: {root} has no {INDEX}; pack faces with zoo data pack, or make the index of tar files that are "
            f"there: zoo data pack {shlex.quote(str(root))} --index"
        )
    index = parse_index(path.read_text(encoding="utf-8"), str(path))
    return index, lambda: ShardFiles(index, root), str(root)
