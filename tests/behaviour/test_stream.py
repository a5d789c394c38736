"""Loaders: what they hand out, to whom, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.drawn import CLASSES
from zoogan.data.loader import Loader, make_loader, move_batch
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.stream import FaceStream, mirror_sample
from zoogan.errors import ConfigError
from zoogan.interfaces import Need, Source, World


class Numbers(Source):
    """Faces that show their own index, on the left half only."""

    fields = ("image", "attributes", "segmentation")
    attributes = ("Odd",)
    parts = CLASSES
    mirrored = (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear"))
    image_size = 4

    def __init__(self, n: int = 20, broken: int = -1) -> None:
        self.n, self.broken = n, broken

    def count_faces(self, split: str) -> int:
        return self.n if split == "train" else 0

    def read_labels(self, split: str) -> Tensor:
        return (torch.arange(self.count_faces(split)) % 2).float()[:, None]

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        if self.broken in indices:
            raise ConfigError("face.jpg: damaged")
        which = torch.tensor(indices)
        image = torch.zeros(len(which), 3, 4, 4, dtype=torch.uint8)
        image[:, :, :, :2] = which.view(-1, 1, 1, 1).to(torch.uint8)
        segmentation = torch.zeros(len(which), 4, 4, dtype=torch.uint8)
        segmentation[:, :, 0] = 4
        return {"image": image, "attributes": self.read_labels(split)[which], "segmentation": segmentation}


def world(rank: int = 0, size: int = 1) -> World:
    here = World()
    here.rank, here.size = rank, size
    return here


def opened(*, start: int = 0, rows: int = 8, of: World | None = None, broken: int = -1, **settings: object) -> Loader:
    config = DataConfig(**{"source": "numbers", "attributes": ("Odd",), "flip": True, **settings})
    needs = {"source": Need(("image", "attributes")), "other": Need(("image",))}
    return make_loader(Numbers(broken=broken), config, needs, 3, of or world(), start, rows)


def taken(batches: Loader, n: int, draw: str = "source") -> Tensor:
    got = torch.cat([next(batches)[draw]["image"] for _ in range(n)])
    batches.close()
    return got


@pytest.mark.slow
def test_loader_ignores_processes_and_workers() -> None:
    joint = taken(opened(rows=8), 6)
    halves = [opened(rows=4, of=world(rank, 2)) for rank in range(2)]
    parts = [next(half)["source"]["image"] for _ in range(6) for half in halves]
    assert torch.equal(torch.cat(parts), joint)
    for half in halves:
        half.close()
    assert torch.equal(taken(opened(rows=8, workers=2), 6), joint)
    resumed = opened(rows=4, of=world(1, 2), start=24, workers=1)
    assert torch.equal(taken(resumed, 1), joint[28:32])


@pytest.mark.parametrize(("side", "rows", "together"), [(4, 8, 32), (4, 40, 40), (256, 2, 8), (1024, 2, 2)])
def test_loader_reads_small_batches_together(side: int, rows: int, together: int) -> None:
    """As many as have 32 faces, or the pixels of 32 faces of 128 px; a batch is never cut."""
    asked: list[int] = []

    class Counted(Numbers):
        image_size = side

        def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
            asked.append(len(indices))
            return super().read(split, indices)

    config = DataConfig(source="numbers", attributes=("Odd",))
    batches = make_loader(Counted(), config, {"source": Need(("image",))}, 3, world(), 0, rows)
    assert len(next(batches)["source"]["image"]) == rows
    batches.close()
    assert set(asked) == {together}


def test_loader_position_counts_consumed_items() -> None:
    first = opened(rows=4, of=world(0, 2), start=100)
    assert first.position == 100
    next(first), next(first)
    time.sleep(0.05)
    assert first.position == 116
    first.close()
    follow_up = opened(rows=4, of=world(0, 2), start=first.position)
    straight = opened(rows=4, of=world(0, 2), start=100)
    assert torch.equal(taken(follow_up, 2), taken(straight, 4)[8:])


def test_needs_have_own_order_and_fields() -> None:
    batches = opened()
    batch = next(batches)
    batches.close()
    assert set(batch) == {"source", "other"} and set(batch["other"]) == {"image"}
    assert not torch.equal(batch["source"]["image"], batch["other"]["image"])


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image_ends_the_stream_by_name(workers: int) -> None:
    batches = opened(broken=7, workers=workers)
    with pytest.raises(ConfigError, match=r"^face\.jpg: damaged$"):
        for _ in range(4):
            next(batches)


def test_closing_the_loader_stops_its_thread() -> None:
    def readers() -> int:
        return sum(thread.name.startswith("zoogan-faces") for thread in threading.enumerate())

    before = readers()
    batches = opened()
    next(batches)
    assert readers() == before + 1
    batches.close()
    assert readers() == before
    with pytest.raises(StopIteration):
        next(batches)


def test_loader_reads_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = Numbers.read
    monkeypatch.setattr(Numbers, "read", lambda *a: reads.append(1) or read(*a))
    batches = opened()
    next(batches)
    deadline = time.time() + 5
    while len(reads) < 4 and time.time() < deadline:  # two draws, two batches
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(reads) == 4
    batches.close()


def test_balanced_loader_alternates_values() -> None:
    batches = opened(balance="Odd", rows=6)
    for _ in range(5):
        assert next(batches)["source"]["attributes"].flatten().tolist() == [1, 0, 1, 0, 1, 0]
    batches.close()


def test_mirror_swaps_left_and_right_parts() -> None:
    sample = Numbers().read("train", [5, 6])
    flipped = mirror_sample(sample, torch.tensor([True, False]), Numbers().mirrored_parts)
    assert flipped["image"][0, 0, 0].tolist() == [0, 0, 5, 5] and flipped["image"][1, 0, 0].tolist() == [
        6,
        6,
        0,
        0,
    ]
    assert flipped["segmentation"][0, 0].tolist() == [0, 0, 0, 5]
    assert flipped["segmentation"][1, 0].tolist() == [4, 0, 0, 0]
    assert torch.equal(flipped["attributes"], sample["attributes"])


def test_flip_mirrors_half_of_the_faces() -> None:
    stream = FaceStream(Numbers(), "source", Need(("image",)), seed=0, flip=True)
    assert 0.45 < sum(stream.is_mirrored(k) for k in range(2000)) / 2000 < 0.55
    assert not any(FaceStream(Numbers(), "source", Need(("image",)), seed=0).is_mirrored(k) for k in range(100))


def test_missing_source_fields_are_reported() -> None:
    with pytest.raises(ConfigError, match=r"the game needs depth \(of 'pair'\), which this source does not have"):
        FaceStream(Numbers(), "pair", Need(("image", "depth")), seed=0)
    with pytest.raises(ConfigError, match="no faces to read in the test split"):
        FaceStream(Numbers(), "source", Need(("image",)), seed=0, split="test")


def test_moved_batch_has_float_images() -> None:
    stream = FaceStream(Numbers(), "source", Need(Numbers.fields), seed=0)
    batch = {"source": stream.__getitems__(range(4))}
    moved = move_batch(batch, "cpu")["source"]
    assert torch.equal(moved["image"], batch["source"]["image"].float() / 127.5 - 1)
    assert moved["segmentation"].dtype == torch.uint8


# ---- faces that cannot be read ----


class Damaged(Numbers):
    """Faces of which some cannot be read."""

    def __init__(self, bad: Sequence[int], n: int = 20) -> None:
        super().__init__(n)
        self.bad = set(bad)

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        for index in self.bad.intersection(indices):
            raise ConfigError(f"face{index}.jpg: damaged")
        return super().read(split, indices)


def opened_damaged(
    bad: Sequence[int], *, of: World | None = None, start: int = 0, rows: int = 8, **settings: Any
) -> Loader:
    config = DataConfig(source="numbers", attributes=("Odd",), on_bad="skip", **{"max_bad": 0.2, **settings})
    needs = {"source": Need(("image", "attributes"))}
    return make_loader(Damaged(bad), config, needs, 3, of or world(), start, rows)


def test_bad_faces_are_replaced_by_the_same_faces() -> None:
    """At any start, and in any number of processes; the other faces are those of a training without bad ones."""
    whole, skipped = (taken(opened_damaged(bad), 6)[:, 0, 0, 0] for bad in ((), (3, 8)))
    replaced = (whole == 3) | (whole == 8)
    assert replaced.any() and torch.equal(whole[~replaced], skipped[~replaced])
    assert not {3, 8} & set(skipped.tolist())
    assert torch.equal(taken(opened_damaged((3, 8), start=24), 3)[:, 0, 0, 0], skipped[24:])
    halves = [opened_damaged((3, 8), of=world(rank, 2), rows=4) for rank in range(2)]
    assert torch.equal(
        torch.cat([next(half)["source"]["image"] for _ in range(6) for half in halves])[:, 0, 0, 0], skipped
    )
    for half in halves:
        half.close()


def test_replacement_shows_the_same_value() -> None:
    batches = opened_damaged((3, 8), balance="Odd")
    rows = torch.cat([next(batches)["source"]["attributes"] for _ in range(6)])
    batches.close()
    assert rows[:, 0].tolist() == [1.0, 0.0] * 24, "even items show the attribute, odd items do not"


def test_bad_faces_are_reported_once_and_limited() -> None:
    batches = opened_damaged((3, 8))
    with pytest.warns(DataWarning) as records:
        for _ in range(12):
            next(batches)
        batches.close()
    told = [str(record.message) for record in records]
    assert sorted(told[:2]) == [
        "skipped face 3 of train: face3.jpg: damaged",
        "skipped face 8 of train: face8.jpg: damaged",
    ]
    assert set(told[2:]) == {"2 of 20 training faces could not be read and were skipped"}
    batches = opened_damaged((3, 8), max_bad=0.05)
    with (
        pytest.warns(DataWarning),
        pytest.raises(ConfigError, match=r"2 of 20 .*more than 5 %:\n.*face\d.jpg(?s:.*)zoo data check"),
    ):
        for _ in range(12):
            next(batches)
    batches = opened_damaged(range(20))
    with pytest.raises(ConfigError, match="none of 100 faces drawn in the place of face"):
        next(batches)


@pytest.mark.slow
def test_workers_report_bad_faces() -> None:
    batches = opened_damaged((3, 8), workers=2)
    with pytest.warns(DataWarning, match=r"skipped face . of train: face.\.jpg: damaged"):
        joint = taken(batches, 6)
    assert torch.equal(joint, taken(opened_damaged((3, 8)), 6))
