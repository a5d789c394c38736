"""Endless streams of faces that do not show how many processes or workers read them."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoogan.config import ConfigError, DataConfig
from zoogan.data.photo import to_range
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source, Split
from zoogan.interfaces.world import World

# A mirrored face looks and tilts to the other side; yaw, pitch, roll.
MIRRORED_POSE = (-1.0, 1.0, -1.0)
# A mirrored face has its left parts on the other side: l_eye <-> r_eye, l_brow <-> r_brow, l_ear <-> r_ear.
MIRRORED_CLASSES = (0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)


@lru_cache(maxsize=8)
def permutation(n: int, seed: int) -> list[int]:
    """0..n-1 in an order that the seed alone decides."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


class FaceStream(Dataset[Sample]):
    """One draw: item k = 0, 1, 2, ... is a pure function of (seed, draw, k), mirroring included.

    Every face comes once an epoch, in an order of that epoch. With `balance`, even items show the attribute
    and odd ones do not, and each of the two classes walks through epochs of its own.

    Args:
        draw: its name, so that two draws of one game see different orders.
        fields: what to read of the source.

    Raises:
        ConfigError: the source has none of these faces, or lacks a field.
    """

    def __init__(
        self,
        source: Source,
        draw: str,
        fields: Sequence[str],
        *,
        seed: int,
        balance: str | None = None,
        flip: bool = False,
        split: Split = "train",
    ) -> None:
        missing = [field for field in fields if field not in source.fields]
        if missing:
            raise ConfigError(
                f"data.source: draw {draw!r} needs {', '.join(missing)}, which this source does not have; "
                f"it has {', '.join(source.fields)}"
            )
        self.source, self.draw, self.fields, self.seed, self.flip, self.split = (
            source,
            draw,
            fields,
            seed,
            flip,
            split,
        )
        if balance is None:
            self.classes = [torch.arange(source.size(split))]
        else:
            shows = source.labels(split)[:, source.attributes.index(balance)] > 0.5
            self.classes = [shows.nonzero().flatten(), (~shows).nonzero().flatten()]
        if not all(map(len, self.classes)):
            raise ConfigError(f"data: draw {draw!r} has no faces to read in the {split} split (balance: {balance})")

    def index_of(self, k: int) -> int:
        """Which face of the split item k is."""
        turn, which = divmod(k, len(self.classes))
        epoch, position = divmod(turn, len(self.classes[which]))
        order = permutation(len(self.classes[which]), seed_of(self.seed, self.draw, "order", which, epoch))
        return int(self.classes[which][order[position]])

    def mirrored(self, k: int) -> bool:
        """Whether item k is flipped left to right."""
        return self.flip and bool(seed_of(self.seed, self.draw, "flip", k) & 1)

    def __getitems__(self, ks: Sequence[int]) -> Sample:
        """The items ks as one batch."""
        read = self.source.read(self.split, [self.index_of(k) for k in ks])
        sample = {field: read[field] for field in self.fields}
        return mirror(sample, torch.tensor([self.mirrored(k) for k in ks])) if self.flip else sample

    def __getitem__(self, k: int) -> Sample:
        return {name: rows[0] for name, rows in self.__getitems__([k]).items()}


def mirror(sample: Sample, which: Tensor) -> Sample:
    """Pictures, segmentations and poses flipped left to right in the rows `which` (n,); labels stay as they are."""
    flipped = dict(sample)
    for name, rows in sample.items():
        if name.startswith("image") or name == "segmentation":
            back = rows.flip(-1)
            if name == "segmentation":
                back = torch.tensor(MIRRORED_CLASSES, dtype=rows.dtype)[back.long()]
            flipped[name] = torch.where(which.view(-1, *[1] * (rows.ndim - 1)), back, rows)
        elif name == "pose":
            flipped[name] = torch.where(which[:, None], rows * rows.new_tensor(MIRRORED_POSE), rows)
    return flipped


class _Draws(Dataset[Any]):
    """All draws of a game, read at the same positions. A user's mistake comes back as a value: raised in a
    worker, its message would be buried in two tracebacks."""

    def __init__(self, streams: Mapping[str, FaceStream]) -> None:
        self.streams = streams

    @torch.no_grad()
    def __getitems__(self, ks: Sequence[int]) -> dict[str, Sample] | ConfigError:
        try:
            return {name: stream.__getitems__(ks) for name, stream in self.streams.items()}
        except ConfigError as error:
            return error


class _Positions:
    """The positions of this process, one list a batch, without end."""

    def __init__(self, start: int, rows: int, world: World) -> None:
        self.first, self.step, self.rows = start + world.rank * rows, world.size * rows, rows

    def __iter__(self) -> Iterator[list[int]]:
        first = self.first
        while True:
            yield list(range(first, first + self.rows))
            first += self.step


class Loader(Iterator[dict[str, Sample]]):
    """Batches by draw, without end; see `loader`. `position` counts the joint items that were handed out."""

    def __init__(self, batches: Generator[Any], position: int, step: int) -> None:
        self._batches, self.position, self._step = batches, position, step

    def __next__(self) -> dict[str, Sample]:
        batch = next(self._batches)
        if isinstance(batch, ConfigError):
            self.close()
            raise batch
        self.position += self._step
        return batch

    def close(self) -> None:
        """Stop reading ahead and let the workers go."""
        self._batches.close()


def loader(
    source: Source,
    config: DataConfig,
    needs: Mapping[str, Need],
    seed: int,
    world: World,
    start: int,
    rows_per_update: int,
    *,
    pin: bool = False,
) -> Loader:
    """The batches of this process, by draw, pictures still uint8 on the CPU (see `to_device`).

    Joint batch j holds the items start + j * world.size * rows_per_update and on; process r takes the r-th
    part of them. The sequence of items is the same for any number of processes and workers, and goes on at
    any `start`.

    Args:
        start: joint items consumed so far, `Loader.position` of the run that is resumed.
        rows_per_update: rows that this process reads for one update, over all its micro-batches.
        pin: page-locked memory, for copies to a CUDA device that do not wait.

    Raises:
        ConfigError: now, when the source cannot serve the needs; on reading, a picture that cannot be read.
    """
    streams = {
        name: FaceStream(source, name, need.fields, seed=seed, balance=config.balance, flip=config.flip)
        for name, need in needs.items()
    }
    positions = _Positions(start, rows_per_update, world)
    read = _Draws(streams)
    batches = _from_workers(read, positions, config.workers, pin) if config.workers else _ahead(read, positions, pin)
    return Loader(batches, start, world.size * rows_per_update)


def _same(batch: Any) -> Any:
    return batch


def _deaf(worker: int) -> None:
    """Workers leave signals to the training, which finishes its iteration, saves, and then lets them go."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _from_workers(read: _Draws, positions: _Positions, workers: int, pin: bool) -> Generator[Any]:
    """Batches in order from worker processes, which live until the generator is closed."""
    yield from DataLoader(
        read,
        batch_sampler=positions,
        num_workers=workers,
        collate_fn=_same,
        worker_init_fn=_deaf,
        pin_memory=pin,
        # The workers' base seed would otherwise be drawn from, and so move, the global generator.
        generator=torch.Generator().manual_seed(0),
    )


def _ahead(read: _Draws, positions: _Positions, pin: bool) -> Generator[Any]:
    """Batches read by a thread, one ahead, so that drawing or decoding overlaps the training step."""

    def work(ks: list[int]) -> Any:
        batch = read.__getitems__(ks)
        if pin and isinstance(batch, dict):
            return {d: {name: rows.pin_memory() for name, rows in sample.items()} for d, sample in batch.items()}
        return batch

    wanted = iter(positions)
    with ThreadPoolExecutor(1, thread_name_prefix="zoogan-faces") as thread:
        ahead = thread.submit(work, next(wanted))
        while True:
            batch = ahead.result()
            ahead = thread.submit(work, next(wanted))
            yield batch


def to_device(batch: Mapping[str, Sample], device: torch.device | str) -> dict[str, Sample]:
    """A batch on the device, its pictures as floats in [-1, 1]. The copy is made as bytes, a quarter of the
    floats."""
    moved = {
        d: {name: rows.to(device, non_blocking=True) for name, rows in sample.items()} for d, sample in batch.items()
    }
    return {
        d: {name: to_range(rows) if name.startswith("image") else rows for name, rows in sample.items()}
        for d, sample in moved.items()
    }
