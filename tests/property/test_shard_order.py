"""Laws of the order of faces in shards: pure, each face once an epoch, few shards at a time, far jumps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.data.order import WindowOrder
from zoogan.data.stream import FaceStream
from zoogan.interfaces import Need, Source

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=12)
windows = st.integers(1, 5)
seeds = st.integers(0, 2**40)


class Packed(Source):
    """Faces in shards of these sizes; every third face shows A."""

    attributes = ("A",)
    image_size = 16

    def __init__(self, counts: Sequence[int], window: int) -> None:
        self.shards = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        self.table = (torch.arange(len(self.shards)) % 3 == 0).float()[:, None]
        self.window = window
        self.expected: list[tuple[str, set[int], set[int]]] = []

    def count_faces(self, split: str) -> int:
        return len(self.table)

    def read_labels(self, split: str) -> Tensor:
        return self.table

    def list_shards(self, split: str) -> Tensor:
        return self.shards

    def expect_shards(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        self.expected.append((reader, set(now), set(soon)))

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        return {"image": torch.zeros(len(indices), 3, 1, 1), "attributes": self.table[list(indices)]}


def make_order(counts: Sequence[int], window: int, seed: int) -> WindowOrder:
    shards = Packed(counts, window).shards
    return WindowOrder(torch.arange(len(shards)), shards, window, seed, "draw")


@given(sizes, windows, seeds, st.integers(0, 10**9))
def test_window_order_has_each_face_once_an_epoch(counts: list[int], window: int, seed: int, epoch: int) -> None:
    order, n = make_order(counts, window, seed), sum(counts)
    faces = [order.get_face(k) for k in range(epoch * n, (epoch + 1) * n)]
    assert sorted(faces) == list(range(n))
    shards = order.shards.repeat_interleave(torch.tensor(counts))[faces].tolist()
    opened, position = set(), 0
    while position < n:  # every window is left behind for good
        inside = order.list_shards(*order.locate(epoch * n + position)[:2])
        length = sum(counts[shard] for shard in inside)
        assert len(inside) <= window and set(shards[position : position + length]) == set(inside)
        assert not opened & set(inside)
        opened |= set(inside)
        position += length


@given(sizes, windows, seeds, st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_window_order_is_pure(counts: list[int], window: int, seed: int, ks: list[int]) -> None:
    order = make_order(counts, window, seed)
    fresh = [make_order(counts, window, seed).get_face(k) for k in reversed(ks)][::-1]
    assert [order.get_face(k) for k in ks] == fresh


@given(sizes, windows, seeds, st.sampled_from(["epochs", "balance", "domains", "pairs"]), st.integers(0, 10**9))
def test_samplers_keep_their_laws_in_shards(counts: list[int], window: int, seed: int, sampler: str, far: int) -> None:
    counts = [*counts, 3]  # both values of A
    source, n = Packed(counts, window), sum(counts) + 0

    def make_stream() -> FaceStream:
        need = Need(("image",), sampler="epochs" if sampler == "balance" else sampler)  # type: ignore[arg-type]
        return FaceStream(source, "d", need, seed=seed, balance="A" if sampler == "balance" else None)

    stream, ks = make_stream(), range(far, far + 2 * n)
    faces = [stream.get_index(k) for k in ks]
    assert faces == [make_stream().get_index(k) for k in ks]
    shows = [bool(source.table[face]) for face in faces]
    if sampler == "balance":
        assert shows == [k % 2 == 0 for k in ks]
    elif sampler == "pairs":
        assert all(shows[i] != shows[i + 1] for i in range(far % 2, 2 * n - 1, 2))
    for k in ks[:5]:
        stream.__getitems__([k])
        reader, now, soon = source.expected[-1]
        assert reader == "d" and soon and (sampler != "epochs" or int(source.shards[stream.get_index(k)]) in now)


@given(sizes, seeds)
def test_draws_stay_in_the_window_where_it_has_faces(counts: list[int], seed: int) -> None:
    source = Packed([6, *(max(3, count) for count in counts)], 1)
    stream = FaceStream(source, "d", Need(("image",), sampler="domains"), seed=seed)
    for k in range(len(source.table)):
        (shard,) = stream.orders[0].list_shards(*stream.orders[0].locate(k)[:2])
        assert int(source.shards[stream.get_index(k)]) == shard
