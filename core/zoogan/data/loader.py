"""Loaders: batches of streams, read ahead and moved to the device, the same for any number of processes and workers."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from zoogan.config import DataConfig
from zoogan.data.bad_faces import BadFaces
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError, DataError
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source
from zoogan.interfaces.world import World
from zoogan.layers.layout import make_layout
from zoogan.pictures.photo import normalize_image
from zoogan.terminal.signals import STOPPING

# Small batches are read together: drawing a face then costs a third.
FACES_AT_ONCE, PIXELS_AT_ONCE = 32, 32 * 128**2


class _Chunk(NamedTuple):
    """Batches that were read together.

    Attributes:
        needs: Sample by need.
        bad: Why faces could not be read, by name; others were read in their place.
    """

    needs: dict[str, Sample]
    bad: dict[str, str]


class _NeedsDataset(Dataset[Any]):
    """The streams of all needs of a game, read at the same positions.

    A ConfigError is returned, not raised: raised in a worker, its message would be buried in two tracebacks.
    """

    def __init__(self, streams: Mapping[str, FaceStream]) -> None:
        self.streams = streams

    @torch.no_grad()
    def __getitems__(self, ks: Sequence[int]) -> _Chunk | ConfigError:
        try:
            needs = {name: stream.__getitems__(ks) for name, stream in self.streams.items()}
            bad = [stream.reader.take_bad() for stream in self.streams.values()]
            return _Chunk(needs, {name: reason for found in bad for name, reason in found.items()})
        except ConfigError as error:
            return error


class _PositionBatches:
    """The positions of this process, without end, in lists of `batches` batches that are read together."""

    def __init__(self, start: int, rows: int, world: World, batches: int) -> None:
        self.first, self.step, self.rows, self.batches = start + world.rank * rows, world.size * rows, rows, batches

    def __iter__(self) -> Iterator[list[int]]:
        firsts = itertools.count(self.first, self.step)
        while True:
            yield [first + row for first in itertools.islice(firsts, self.batches) for row in range(self.rows)]


class Loader(Iterator[dict[str, Sample]]):
    """Batches by need, without end; see `make_loader`.

    Attributes:
        position: Number of items of the joint batches that were handed out.
        parts: Number of parts of the source, the channels of a layout.
        bad: The faces that could not be read.
    """

    def __init__(self, batches: Generator[Any], position: int, step: int, parts: int, bad: BadFaces) -> None:
        self._batches, self.position, self._step, self.parts, self.bad = batches, position, step, parts, bad

    def __next__(self) -> dict[str, Sample]:
        batch = next(self._batches)
        try:
            if isinstance(batch, ConfigError):
                raise batch
            self.bad.report(batch.bad)
        except ConfigError as error:
            self.close()
            raise DataError(str(error)) from error
        self.position += self._step
        return batch.needs

    def close(self) -> None:
        """Stop reading ahead and end the workers."""
        self._batches.close()
        self.bad.report_total()


def make_loader(
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
    """Make the loader of this process. Images stay uint8 on the CPU until `move_batch`.

    Joint batch j begins with item start + j * world.size * rows_per_update; process r reads the r-th slice of it. The
    sequence of items is the same for any number of processes and workers, and continues at any `start`.

    Args:
        source: The source to read.
        config: The settings `balance`, `flip`, `random_crop`, `workers`, `on_bad` and `max_bad` are used.
        needs: The needs of the game, by name.
        seed: Seed of the run.
        world: The processes that train together.
        start: Number of joint items that a resumed run was trained on. The trainer counts them, because the loader
            reads ahead.
        rows_per_update: Rows that this process reads for one update, over all its micro-batches.
        pin: Use page-locked memory, for asynchronous copies to a CUDA device.

    Returns:
        The loader.

    Raises:
        ConfigError: At once if the source cannot serve the needs.
        DataError: While reading, if an image cannot be read, or with `on_bad=skip` too many cannot.
    """
    streams = {
        name: FaceStream(
            source,
            name,
            need,
            seed=seed,
            balance=config.balance,
            flip=config.flip,
            crop=config.random_crop,
            skip=config.on_bad == "skip",
        )
        for name, need in needs.items()
    }
    at_once = min(FACES_AT_ONCE, PIXELS_AT_ONCE // source.image_size**2) // rows_per_update
    positions = _PositionBatches(start, rows_per_update, world, max(1, at_once))
    dataset = _NeedsDataset(streams)
    if config.workers:
        chunks = _read_with_workers(dataset, positions, config.workers, pin)
    else:
        chunks = _read_ahead(dataset, positions, pin)
    bad = BadFaces(source.count_faces("train"), config.max_bad)
    step = world.size * rows_per_update
    return Loader(_split_batches(chunks, rows_per_update), start, step, len(source.parts), bad)


def _split_batches(chunks: Generator[Any], rows: int) -> Generator[Any]:
    """Split chunks, which were read together, into batches of `rows` rows."""
    with contextlib.closing(chunks):
        for chunk in chunks:
            if isinstance(chunk, ConfigError):
                yield chunk
                continue
            n = len(next(iter(next(iter(chunk.needs.values())).values())))
            for first in range(0, n, rows):
                part = slice(first, first + rows)
                needs = {need: {name: x[part] for name, x in sample.items()} for need, sample in chunk.needs.items()}
                yield _Chunk(needs, {} if first else chunk.bad)


def _return_batch(batch: Any) -> Any:
    """Return a batch as it is: the dataset makes whole batches. Workers need a function that they can import."""
    return batch


def _ignore_signals(worker: int) -> None:
    """Make a worker ignore the signals that stop a training; the main process saves and stops the workers."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _read_with_workers(dataset: _NeedsDataset, positions: _PositionBatches, workers: int, pin: bool) -> Generator[Any]:
    """Read batches in order with worker processes, which live until the generator is closed."""
    yield from DataLoader(
        dataset,
        batch_sampler=positions,
        num_workers=workers,
        collate_fn=_return_batch,
        worker_init_fn=_ignore_signals,
        pin_memory=pin,
        # Without it the base seed of the workers would be drawn from the global generator, and so advance it.
        generator=torch.Generator().manual_seed(0),
    )


def _read_ahead(dataset: _NeedsDataset, positions: _PositionBatches, pin: bool) -> Generator[Any]:
    """Read batches in a thread, one ahead, so that drawing or decoding overlaps the training step."""

    def read_batch(ks: list[int]) -> Any:
        batch = dataset.__getitems__(ks)
        if pin and isinstance(batch, _Chunk):
            needs = {need: {name: rows.pin_memory() for name, rows in s.items()} for need, s in batch.needs.items()}
            return batch._replace(needs=needs)
        return batch

    upcoming = iter(positions)
    with ThreadPoolExecutor(1, thread_name_prefix="zoogan-faces") as thread:
        future = thread.submit(read_batch, next(upcoming))
        while True:
            batch = future.result()
            future = thread.submit(read_batch, next(upcoming))
            yield batch


def move_batches(batches: Loader, device: torch.device) -> Generator[dict[str, Sample]]:
    """Move every batch of a loader to the device. Closing the generator closes the loader.

    Args:
        batches: The loader.
        device: Where the batches go.

    Yields:
        Batches, see `move_batch`.
    """
    with contextlib.closing(batches):
        for batch in batches:
            yield move_batch(batch, device, batches.parts)


def move_batch(batch: Mapping[str, Sample], device: torch.device | str, parts: int = 0) -> dict[str, Sample]:
    """Move a batch to the device, convert its images to floats in [-1, 1], and crop them to their boxes.

    The images are copied as bytes, a quarter of the floats. Layouts are copied as segmentations and become one-hot.

    Args:
        batch: Sample by need, as a loader returns it.
        device: Where the batch goes.
        parts: Number of parts of the source, the channels of a layout.

    Returns:
        Sample by need, without the boxes; heat maps in [0, 1].
    """
    ready: dict[str, Sample] = {}
    for need, sample in batch.items():
        moved = {name: rows.to(device, non_blocking=True) for name, rows in sample.items()}
        boxes = {name: moved.pop(name) for name in list(moved) if name.endswith("_box")}
        pictures = {name: normalize_image(rows) for name, rows in moved.items() if name.startswith("image")}
        pictures |= {name: make_layout(rows, parts) for name, rows in moved.items() if name.startswith("layout")}
        pictures |= {"heat_maps": moved["heat_maps"].float() / 255} if "heat_maps" in moved else {}
        for name, rows in pictures.items():
            box = boxes.get("image_box" if name == "heat_maps" else f"{name}_box")
            moved[name] = rows if box is None else crop_boxes(rows, box)
        ready[need] = moved
    return ready


def crop_boxes(image: Float[Tensor, "n c s s"], box: Float[Tensor, "n 4"]) -> Float[Tensor, "n c s s"]:
    """Crop images to boxes and enlarge the crops to the size of the images, bilinear.

    Args:
        image: The images.
        box: Left, top, width and height of each box, as shares of the side.
    """
    left, top, width, height = box.to(image).unbind(1)
    zero = torch.zeros_like(left)
    rows = (width, zero, 2 * left + width - 1, zero, height, 2 * top + height - 1)
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(image.shape), align_corners=False)
    # Clamp to the centres of the outermost pixels: padding_mode="border", which some torch versions lack on MPS.
    last = 1 - 1 / image.shape[3]
    return F.grid_sample(image, grid.clamp(-last, last), padding_mode="zeros", align_corners=False)
