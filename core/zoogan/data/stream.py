"""Draws: endless, resumable streams of faces.

Item k of a draw is a pure function of (seed, draw, k), mirror image included. State is one integer, the joint items
consumed; worker count and world size do not show.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from zoogan.config import ConfigError, DataConfig
from zoogan.interfaces import Need, Source, World
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.game import Sample
from zoogan.registry import nearest

AHEAD = 2  # batches read ahead of the training


class FaceStream(Dataset[Sample]):
    """The training faces of a source, by item number k = 0, 1, 2, ...

    Each epoch visits every face once, in an order of its own. With `balance`, even items show the attribute and odd
    ones do not, each kind walking through its own epochs.
    """

    def __init__(self, source: Source, config: DataConfig, fields: tuple[str, ...], seed: int, draw: str) -> None:
        self.source, self.fields, self.seed, self.draw, self.flip = source, fields, seed, draw, config.flip
        everything = torch.arange(source.size("train"))
        self.pools = [everything]
        if config.balance is not None:
            if config.balance not in source.attributes:
                hint = nearest(config.balance, source.attributes)
                raise ConfigError(f"data.balance: {config.balance!r} is none of data.attributes{hint}")
            shown = source.labels("train")[:, source.attributes.index(config.balance)] > 0
            self.pools = [everything[shown], everything[~shown]]
        for pool in self.pools:
            if not len(pool):
                raise ConfigError(f"data: no training faces{' of one kind of ' + config.balance if config.balance else ''}")
        self._order = lru_cache(maxsize=2 * len(self.pools))(self._shuffled)

    def _shuffled(self, pool: int, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.draw, "order", pool, epoch))
        return self.pools[pool][torch.randperm(len(self.pools[pool]), generator=generator)]

    def index_of(self, k: int) -> int:
        """The face that item k shows."""
        pool, turn = k % len(self.pools), k // len(self.pools)
        epoch, place = divmod(turn, len(self.pools[pool]))
        return int(self._order(pool, epoch)[place])

    def mirrored(self, k: int) -> bool:
        """Whether item k is mirrored."""
        return self.flip and seed_of(self.seed, self.draw, "flip", k) % 2 == 1

    def __getitem__(self, k: int) -> Sample:
        return {field: rows[0] for field, rows in self.__getitems__([k]).items()}

    def __getitems__(self, ks: Sequence[int]) -> Sample:
        """Items `ks`, read in one go: uint8 images and what else the game needs, one row an item."""
        sample = self.source.read("train", [self.index_of(k) for k in ks])
        sample = {field: sample[field] for field in self.fields}
        if self.flip:
            flips = torch.tensor([self.mirrored(k) for k in ks])
            image = sample["image"]
            sample["image"] = torch.where(flips[:, None, None, None], image.flip(-1), image)
        return sample


class Positions(Sampler[list[int]]):
    """The item numbers of one process's batches, from a joint position on, without end."""

    def __init__(self, start: int, rows: int, world: World) -> None:
        self.start, self.rows, self.rank, self.size = start, rows, world.rank, world.size

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start + self.rank * self.rows
        while True:
            yield list(range(position, position + self.rows))
            position += self.rows * self.size


def as_they_are(sample: Sample) -> Sample:
    """Batches come collated from `FaceStream.__getitems__`."""
    return sample


def batches(
    source: Source, config: DataConfig, needs: Mapping[str, Need], *, seed: int, world: World, start: int, rows: int
) -> Generator[dict[str, Sample], None, None]:
    """Batches of this process for every draw in `needs`, `rows` items each, from joint item `start` on.

    Images are uint8. With workers they are read by processes, else by a thread a few batches ahead.
    """
    lanes: list[tuple[str, Iterator[Sample]]] = []
    for draw, need in needs.items():
        stream = FaceStream(source, config, need.fields, seed, draw)
        positions = Positions(start, rows, world)
        if config.workers:
            loader = DataLoader(
                stream, batch_sampler=positions, num_workers=config.workers, collate_fn=as_they_are,
                pin_memory=torch.cuda.is_available(), generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
            lanes.append((draw, iter(loader)))
        else:
            lanes.append((draw, (stream.__getitems__(ks) for ks in positions)))

    def read() -> dict[str, Sample]:
        return {draw: next(lane) for draw, lane in lanes}

    yield from read_ahead(read)


def read_ahead(read: Callable[[], dict[str, Sample]]) -> Generator[dict[str, Sample], None, None]:
    """What `read` returns, call by call, made in a thread a few calls ahead. Its exceptions arrive in their turn."""
    ready: queue.Queue[dict[str, Sample] | BaseException] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            item: dict[str, Sample] | BaseException
            try:
                item = read()
            except BaseException as error:
                item = error
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return

    thread = threading.Thread(target=work, name="faces", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def to_device(sample: Sample, device: torch.device) -> Sample:
    """A sample on the device, its images as floats in [-1, 1]."""
    moved = {field: rows.to(device, non_blocking=True) for field, rows in sample.items()}
    moved["image"] = moved["image"].float() / 127.5 - 1
    return moved
