"""Laws of the streams: item k is a pure function of (seed, draw, k)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoogan.data.loader import _PositionBatches
from zoogan.data.stream import FaceStream
from zoogan.interfaces import Need, Source, World


class Labels(Source):
    """Faces of which only the label counts."""

    attributes = ("A",)
    image_size = 16

    def __init__(self, labels: list[int]) -> None:
        self.table = torch.tensor(labels, dtype=torch.float32)[:, None]

    def count_faces(self, split: str) -> int:
        return len(self.table)

    def read_labels(self, split: str) -> Tensor:
        return self.table

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        return {"image": torch.zeros(len(indices), 3, 1, 1), "attributes": self.table[list(indices)]}


labels = st.lists(st.integers(0, 1), min_size=1, max_size=40)
seeds = st.integers(0, 2**40)


@given(labels, seeds, st.integers(0, 3))
def test_epoch_visits_each_face_once(values: list[int], seed: int, epoch: int) -> None:
    stream, n = FaceStream(Labels(values), "d", Need(("image",)), seed=seed), len(values)
    assert sorted(stream.get_index(k) for k in range(epoch * n, (epoch + 1) * n)) == list(range(n))


@given(labels.filter(lambda v: 0 < sum(v) < len(v)), seeds, st.integers(0, 50))
def test_balanced_stream_alternates_classes(values: list[int], seed: int, k: int) -> None:
    stream = FaceStream(Labels(values), "d", Need(("image",)), seed=seed, balance="A")
    assert values[stream.get_index(2 * k)] == 1 and values[stream.get_index(2 * k + 1)] == 0
    positives = [i for i, value in enumerate(values) if value]
    assert sorted(stream.get_index(2 * j) for j in range(len(positives))) == positives


@given(labels, seeds, st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_stream_items_do_not_depend_on_history(values: list[int], seed: int, ks: list[int]) -> None:
    def stream() -> FaceStream:
        return FaceStream(Labels(values), "d", Need(("image",)), seed=seed, flip=True)

    one = stream()
    together = [(one.get_index(k), one.is_mirrored(k)) for k in ks]
    assert together == [(stream().get_index(k), stream().is_mirrored(k)) for k in reversed(ks)][::-1]


@settings(max_examples=50)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 3))
def test_processes_share_positions_in_order(size: int, rows: int, start: int, batches: int, together: int) -> None:
    readers = []
    for rank in range(size):
        world = World()
        world.rank, world.size = rank, size
        readers.append(iter(_PositionBatches(start, rows, world, together)))
    read: list[list[int]] = []
    for _ in range(batches):
        shares = [next(reader) for reader in readers]
        for first in range(0, together * rows, rows):  # the processes' shares of one joint batch
            read += [share[first : first + rows] for share in shares]
    assert [k for share in read for k in share] == list(range(start, start + batches * together * size * rows))


@given(seeds)
def test_order_depends_on_seed_need_and_epoch(seed: int) -> None:
    def order(seed: int, draw: str, first: int = 0) -> list[int]:
        stream = FaceStream(Labels([0] * 40), draw, Need(("image",)), seed=seed)
        return [stream.get_index(k) for k in range(first, first + 40)]

    orders = [order(seed, "a"), order(seed + 1, "a"), order(seed, "b"), order(seed, "a", 40)]
    assert len({tuple(o) for o in orders}) == 4
