"""Batches of streams, read ahead and brought to the device. Nobody sees how many processes or workers read them."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from zoogan.config import ConfigError, DataConfig
from zoogan.data.stream import FaceStream
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source
from zoogan.interfaces.world import World
from zoogan.pictures.photo import to_range

# Read together, small batches cost a drawn face a third of what they do one by one.
FACES_AT_ONCE, PIXELS_AT_ONCE = 32, 32 * 128**2


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
    """The positions of this process, without end: lists of `batches` batches that are read together."""

    def __init__(self, start: int, rows: int, world: World, batches: int) -> None:
        self.first, self.step, self.rows, self.batches = start + world.rank * rows, world.size * rows, rows, batches

    def __iter__(self) -> Iterator[list[int]]:
        firsts = itertools.count(self.first, self.step)
        while True:
            yield [first + row for first in itertools.islice(firsts, self.batches) for row in range(self.rows)]


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
        start: joint items that the run to be resumed was trained on. Its trainer counts them: a loader may have
            handed out more.
        rows_per_update: rows that this process reads for one update, over all its micro-batches.
        pin: page-locked memory, for copies to a CUDA device that do not wait.

    Raises:
        ConfigError: now, when the source cannot serve the needs; on reading, a picture that cannot be read.
    """
    streams = {
        name: FaceStream(
            source, name, need, seed=seed, balance=config.balance, flip=config.flip, crop=config.random_crop
        )
        for name, need in needs.items()
    }
    at_once = min(FACES_AT_ONCE, PIXELS_AT_ONCE // source.image_size**2) // rows_per_update
    positions = _Positions(start, rows_per_update, world, max(1, at_once))
    read = _Draws(streams)
    several = _from_workers(read, positions, config.workers, pin) if config.workers else _ahead(read, positions, pin)
    return Loader(_one_by_one(several, rows_per_update), start, world.size * rows_per_update)


def _one_by_one(several: Generator[Any], rows: int) -> Generator[Any]:
    """The batches of what was read together."""
    with contextlib.closing(several):
        for read in several:
            if isinstance(read, ConfigError):
                yield read
                continue
            n = len(next(iter(next(iter(read.values())).values())))
            for first in range(0, n, rows):
                yield {d: {name: x[first : first + rows] for name, x in sample.items()} for d, sample in read.items()}


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


def on_device(batches: Loader, device: torch.device) -> Generator[dict[str, Sample]]:
    """Batches on the device; closes their reading when it is closed."""
    with contextlib.closing(batches):
        for batch in batches:
            yield to_device(batch, device)


def to_device(batch: Mapping[str, Sample], device: torch.device | str) -> dict[str, Sample]:
    """A batch on the device, its pictures as floats in [-1, 1], cropped as their boxes say. The copy is made as bytes,
    a quarter of the floats."""
    ready: dict[str, Sample] = {}
    for d, sample in batch.items():
        moved = {name: rows.to(device, non_blocking=True) for name, rows in sample.items()}
        boxes = {name: moved.pop(name) for name in list(moved) if name.endswith("_box")}
        pictures = {name: to_range(rows) for name, rows in moved.items() if name.startswith("image")}
        pictures |= {"heat_maps": moved["heat_maps"].float() / 255} if "heat_maps" in moved else {}
        of = {name: boxes.get(f"{'image' if name == 'heat_maps' else name}_box") for name in pictures}
        ready[d] = moved | {
            name: rows if (box := of[name]) is None else cut_out(rows, box) for name, rows in pictures.items()
        }
    return ready


def cut_out(image: Float[Tensor, "n c s s"], box: Float[Tensor, "n 4"]) -> Float[Tensor, "n c s s"]:
    """The parts of pictures that lie in boxes (left, top, width, height, shares of the side), enlarged to the whole."""
    left, top, width, height = box.to(image).unbind(1)
    none = torch.zeros_like(left)
    rows = (width, none, 2 * left + width - 1, none, height, 2 * top + height - 1)
    where = functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(image.shape), align_corners=False)
    # Kept within the middles of the outermost pixels, as padding_mode="border" does, which not every torch has on MPS.
    last = 1 - 1 / image.shape[3]
    return functional.grid_sample(image, where.clamp(-last, last), padding_mode="zeros", align_corners=False)
