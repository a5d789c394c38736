"""Endless streams of faces that do not show how many processes or workers read them."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from zoogan.config import ConfigError, DataConfig
from zoogan.data.photo import to_range
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source, Split
from zoogan.interfaces.world import World

# A mirrored face looks and tilts to the other side; yaw, pitch, roll.
MIRRORED_POSE = (-1.0, 1.0, -1.0)

# Read together, small batches cost a drawn face a third of what they do one by one.
FACES_AT_ONCE, PIXELS_AT_ONCE = 32, 32 * 128**2


@lru_cache(maxsize=8)
def permutation(n: int, seed: int) -> list[int]:
    """0..n-1 in an order that the seed alone decides."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


class FaceStream(Dataset[Sample]):
    """One draw: item k = 0, 1, 2, ... is a pure function of (seed, draw, k), augmentation included.

    Sampler `epochs`: every face comes once an epoch, in an order of that epoch. With `balance`, even items show the
    attribute and odd ones do not, and each of the two classes walks through epochs of its own. Sampler `domains`: a
    domain, each as often as the others, then one of its faces, both drawn anew for each item.

    `image2` is another face of the same domain, drawn and augmented by itself. What of a picture is kept by a random
    crop lies beside it in `<picture>_box`, and `to_device` cuts it out there.

    Args:
        draw: its name, so that two draws of one game see different orders.
        need: what to read of the source, and how to sample.
        crop: share of the pictures of which a random part is kept.

    Raises:
        ConfigError: the source has none of these faces, or lacks a field or domains.
    """

    def __init__(
        self,
        source: Source,
        draw: str,
        need: Need,
        *,
        seed: int,
        balance: str | None = None,
        flip: bool = False,
        crop: float = 0.0,
        split: Split = "train",
    ) -> None:
        fields = [field for field in need.fields if field not in ("domain", "image2")]
        missing = [field for field in fields if field not in source.fields]
        if "image2" in need.fields and need.sampler != "domains":
            raise ValueError(f"draw {draw!r}: image2 is another face of the same domain: sample by domains")
        if crop and "segmentation" in fields:
            raise ConfigError("data.random_crop cuts pictures only; segmentation does not follow: set it to 0")
        if missing:
            advice = (
                "; say where its maps of parts are (data.label_maps=FOLDER, for a folder), or, where the game allows "
                "it, judge images alone (judge_segmentation=false, weights.mask=0)"
                if "segmentation" in missing
                else ""
            )
            raise ConfigError(
                f"data.source: draw {draw!r} needs {', '.join(missing)}, which this source does not have; "
                f"it has {', '.join(source.fields)}{advice}"
            )
        self.source, self.draw, self.need, self.fields = source, draw, need, fields
        self.mirrored_parts = source.mirrored_parts
        self.seed, self.flip, self.crop, self.split = seed, flip, crop, split
        self.domain = self._domains() if "domain" in need.fields or need.sampler == "domains" else None
        if need.sampler == "domains":
            if balance is not None:
                raise ConfigError(f"data.balance: draw {draw!r} shows all domains equally often: set it to null")
            assert self.domain is not None
            self.classes = [(self.domain == k).nonzero().flatten() for k in range(len(source.domains))]
        elif balance is None:
            self.classes = [torch.arange(source.size(split))]
        else:
            shows = source.labels(split)[:, source.attributes.index(balance)] > 0.5
            self.classes = [shows.nonzero().flatten(), (~shows).nonzero().flatten()]
        empty = [k for k, members in enumerate(self.classes) if not len(members)]
        if empty and need.sampler == "domains":
            names = ", ".join(source.domains[k] for k in empty)
            raise ConfigError(f"data: the {split} split has no faces of the domain {names}")
        if empty:
            raise ConfigError(f"data: draw {draw!r} has no faces to read in the {split} split (balance: {balance})")

    def _domains(self) -> Int64[Tensor, " faces"]:
        """The domain of every face.

        Raises:
            ConfigError: the source's attributes make none.
        """
        if not self.source.domains:
            raise ConfigError(
                f"data.attributes: draw {self.draw!r} needs domains, of which every face shows one: name one attribute "
                f"(without and with it), or several that exclude each other such as hair colours; "
                f"got {', '.join(self.source.attributes)}"
            )
        return self.source.domain(self.split)

    def index_of(self, k: int) -> int:
        """Which face of the split item k is."""
        if self.need.sampler == "domains":
            members = self.classes[seed_of(self.seed, self.draw, "domain", k) % len(self.classes)]
            return int(members[seed_of(self.seed, self.draw, "face", k) % len(members)])
        turn, which = divmod(k, len(self.classes))
        epoch, position = divmod(turn, len(self.classes[which]))
        order = permutation(len(self.classes[which]), seed_of(self.seed, self.draw, "order", which, epoch))
        return int(self.classes[which][order[position]])

    def second_of(self, k: int) -> int:
        """Which face of the split is item k's `image2`: one of the same domain."""
        assert self.domain is not None
        members = self.classes[int(self.domain[self.index_of(k)])]
        return int(members[seed_of(self.seed, self.draw, "second", k) % len(members)])

    def mirrored(self, k: int, picture: str = "image") -> bool:
        """Whether a picture of item k is flipped left to right."""
        what = "flip" if picture == "image" else f"flip {picture}"
        return self.flip and bool(seed_of(self.seed, self.draw, what, k) & 1)

    def __getitems__(self, ks: Sequence[int]) -> Sample:
        """The items ks as one batch."""
        indices = [self.index_of(k) for k in ks]
        read = self.source.read(self.split, indices) if self.fields else {}
        sample = self.augmented({field: read[field] for field in self.fields}, ks, "image")
        if "domain" in self.need.fields:
            assert self.domain is not None
            sample["domain"] = self.domain[indices]
        if "image2" in self.need.fields:
            second = self.source.read(self.split, [self.second_of(k) for k in ks])["image"]
            sample |= self.augmented({"image2": second}, ks, "image2")
        return sample

    def augmented(self, sample: Sample, ks: Sequence[int], picture: str) -> Sample:
        """A sample mirrored, with the box of its random crop."""
        if self.flip:
            which = torch.tensor([self.mirrored(k, picture) for k in ks])
            sample = mirror(sample, which, self.mirrored_parts)
        if self.crop and picture in sample:
            sample[f"{picture}_box"] = torch.stack([self.box_of(k, picture) for k in ks])
        return sample

    def box_of(self, k: int, picture: str) -> Float[Tensor, "4"]:
        """Left, top, width and height of what is kept of item k's picture, as shares of its side.

        Of a share `crop` of the items .8 to 1 of the area is kept, at a ratio of .9 to 1.1 (StarGAN v2's augmentation);
        of the others everything.
        """
        draw = torch.Generator().manual_seed(seed_of(self.seed, self.draw, "crop", picture, k))
        cut, area, ratio, left, top = torch.rand(5, generator=draw).tolist()
        if cut >= self.crop:
            return torch.tensor([0.0, 0.0, 1.0, 1.0])
        side, stretch = math.sqrt(0.8 + 0.2 * area), math.exp((math.log(0.9) + ratio * math.log(1.1 / 0.9)) / 2)
        width, height = min(1.0, side * stretch), min(1.0, side / stretch)
        return torch.tensor([left * (1 - width), top * (1 - height), width, height])

    def __getitem__(self, k: int) -> Sample:
        return {name: rows[0] for name, rows in self.__getitems__([k]).items()}


def mirror(sample: Sample, which: Bool[Tensor, " n"], parts: Sequence[int] = ()) -> Sample:
    """Pictures, heat maps, segmentations and poses flipped left to right in the rows `which`; labels stay.

    parts: what each part is on the other side, as `Source.mirrored_parts` says; empty = itself.
    """
    flipped = dict(sample)
    for name, rows in sample.items():
        if name.startswith("image") or name in ("segmentation", "heat_maps"):
            back = rows.flip(-1)
            if name == "segmentation" and parts:
                back = torch.tensor(parts, dtype=rows.dtype)[back.long()]
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
