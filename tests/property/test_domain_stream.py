"""Laws of sampling by domains, of second faces and of random crops: all pure functions of (seed, draw, k)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from zoogan.config import DataConfig
from zoogan.data.loader import Loader, crop_boxes, make_loader, move_batch
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError
from zoogan.interfaces import Need, Source, World
from zoogan.testing.strategies import make_faces

pytestmark = pytest.mark.without_onednn

SIZE = 16
WHOLE = [0.0, 0.0, 1.0, 1.0]
REFERENCE = Need(("image", "image2", "domain"), "domains")
SOURCE = Need(("image", "domain"), "domains")


class Kinds(Source):
    """Faces of several kinds, that show their own number from their third column on; kind -1 is of none."""

    image_size = SIZE
    attributes = ("a", "b", "c")
    exclusive = (attributes,)

    def __init__(self, kinds: Sequence[int]) -> None:
        self.kinds = torch.tensor(kinds)

    def count_faces(self, split: str) -> int:
        return len(self.kinds)

    def read_labels(self, split: str) -> Tensor:
        shown = functional.one_hot(self.kinds.clamp(min=0), 3).float()
        return shown * (self.kinds >= 0)[:, None]

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        image = torch.zeros(len(indices), 3, SIZE, SIZE, dtype=torch.uint8)
        image[..., 2:] = torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1)
        return {"image": image, "attributes": self.read_labels(split)[list(indices)]}


def complete(kinds: list[int]) -> bool:
    return {0, 1, 2} <= set(kinds)


kinds = st.lists(st.integers(-1, 2), min_size=3, max_size=30).filter(complete)
seeds = st.integers(0, 2**40)
items = st.lists(st.integers(0, 10**6), min_size=1, max_size=6)


def stream(kinds: Sequence[int], draw: str = "reference", seed: int = 0, crop: float = 0.5) -> FaceStream:
    return FaceStream(Kinds(kinds), draw, REFERENCE, seed=seed, flip=True, crop=crop)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


# ---- which faces ----


@given(kinds, seeds, items)
def test_stream_items_do_not_depend_on_history(values: list[int], seed: int, ks: list[int]) -> None:
    together = stream(values, seed=seed).__getitems__(ks)
    for row, k in reversed(list(enumerate(ks))):
        alone = stream(values, seed=seed).__getitems__([k])
        assert same({name: rows[row : row + 1] for name, rows in together.items()}, alone)


@given(kinds, seeds, items)
def test_pair_items_share_their_domain(values: list[int], seed: int, ks: list[int]) -> None:
    found = stream(values, seed=seed)
    sample = found.__getitems__(ks)
    for k, domain, one, other in zip(ks, sample["domain"].tolist(), sample["image"], sample["image2"]):
        assert domain == values[found.get_index(k)] == values[found.get_second_index(k)] >= 0
        assert int(one.max()) == found.get_index(k) and int(other.max()) == found.get_second_index(k)


def test_domain_sampler_is_uniform_over_domains_and_faces() -> None:
    values = [0] * 90 + [1] * 9 + [2] + [-1] * 20
    found = stream(values)
    count = Counter(found.get_index(k) for k in range(6000))
    domains = Counter(values[i] for i in count.elements())
    assert set(domains) == {0, 1, 2}
    assert all(abs(n / 6000 - 1 / 3) < 0.025 for n in domains.values()), domains
    assert all(abs(count[i] / 6000 - 1 / 27) < 0.012 for i in range(90, 99)), "one domain's faces alike"
    assert len([i for i in count if i < 90]) == 90, "every face of a large domain comes"


def test_source_and_reference_streams_are_independent() -> None:
    values = [0] * 30 + [1] * 20 + [2] * 10
    source, reference = FaceStream(Kinds(values), "source", SOURCE, seed=0), stream(values)
    pairs = Counter((values[source.get_index(k)], values[reference.get_index(k)]) for k in range(3000))
    assert len(pairs) == 9 and all(abs(n / 3000 - 1 / 9) < 0.03 for n in pairs.values()), pairs
    assert [source.get_index(k) for k in range(50)] != [reference.get_index(k) for k in range(50)]


@pytest.mark.slow
def test_pairs_differ_as_often_as_chance() -> None:
    found = stream([0, 1, 1, 2, 2, 2, 2])
    alike = [found.get_index(k) == found.get_second_index(k) for k in range(3000)]
    assert abs(sum(alike) / 3000 - (1 + 1 / 2 + 1 / 4) / 3) < 0.04


@given(seeds)
def test_stream_order_depends_on_seed_and_need(seed: int) -> None:
    values = [0, 1, 2] * 10
    orders = [
        tuple(found.get_index(k) for k in range(30))
        for found in (stream(values, seed=seed), stream(values, seed=seed + 1), stream(values, "other", seed))
    ]
    assert len(set(orders)) == 3


def test_empty_domain_is_reported_by_name() -> None:
    with pytest.raises(ConfigError, match=r"the train split has no faces of the domain a, c$"):
        stream([1, 1, -1])
    with pytest.raises(ConfigError, match="reads all domains equally often; set it to null"):
        FaceStream(Kinds([0, 1, 2]), "source", SOURCE, seed=0, balance="a")


# ---- processes ----


def opened(rows: int, rank: int = 0, size: int = 1, start: int = 0, workers: int = 0) -> Loader:
    config = DataConfig(source="kinds", attributes=("a", "b", "c"), flip=True, random_crop=0.5, workers=workers)
    world = World()
    world.rank, world.size = rank, size
    needs = {"source": SOURCE, "reference": REFERENCE}
    return make_loader(Kinds([0] * 20 + [1] * 5 + [2, -1]), config, needs, 3, world, start, rows)


def taken(batches: Loader, n: int) -> list[dict[str, dict[str, Tensor]]]:
    got = [next(batches) for _ in range(n)]
    batches.close()
    return got


def joined(batches: list[dict[str, dict[str, Tensor]]]) -> dict[str, Tensor]:
    first = batches[0]
    return {
        f"{draw} {name}": torch.cat([batch[draw][name] for batch in batches])
        for draw, sample in first.items()
        for name in sample
    }


@pytest.mark.slow
def test_stream_ignores_processes_workers_and_resume() -> None:
    whole = taken(opened(8), 4)
    assert {"source image_box", "reference image_box", "reference image2_box"} <= set(joined(whole))
    halves = [taken(opened(4, rank, 2), 4) for rank in range(2)]
    assert same(joined([half[j] for j in range(4) for half in halves]), joined(whole))
    assert same(joined(taken(opened(8, start=16, workers=1), 2)), joined(whole[2:]))
    assert same(joined(taken(opened(4, 1, 2, start=16), 1)), {n: rows[20:24] for n, rows in joined(whole).items()})


# ---- flips and crops ----


@pytest.mark.slow
def test_pair_faces_are_augmented_independently() -> None:
    found, n = stream([0, 1, 2]), 3000
    flips = Counter((found.is_mirrored(k), found.is_mirrored(k, "image2")) for k in range(n))
    assert all(abs(flips[one, other] / n - 0.25) < 0.03 for one in (True, False) for other in (True, False)), flips
    cuts = Counter(tuple(found.draw_box(k, p).tolist() != WHOLE for p in ("image", "image2")) for k in range(n))
    assert all(abs(cuts[one, other] / n - 0.25) < 0.03 for one in (True, False) for other in (True, False)), cuts
    both = [k for k in range(n) if all(found.draw_box(k, p).tolist() != WHOLE for p in ("image", "image2"))]
    assert all(not torch.equal(found.draw_box(k, "image"), found.draw_box(k, "image2")) for k in both)
    sample = found.__getitems__(range(50))
    for picture in ("image", "image2"):  # number 0 is black, flipped or not
        flipped = [k for k in range(50) if sample[picture][k].max() and sample[picture][k, 0, 0, 0]]
        assert flipped == [k for k in range(50) if found.is_mirrored(k, picture) and sample[picture][k].max()]


@given(seeds, st.integers(0, 10**6))
def test_random_crop_lies_inside_and_keeps_most(seed: int, k: int) -> None:
    left, top, width, height = stream([0, 1, 2], seed=seed, crop=1.0).draw_box(k, "image").tolist()
    assert min(left, top) >= 0 and left + width <= 1 + 1e-6 and top + height <= 1 + 1e-6
    assert 0.8 - 1e-6 <= width * height <= 1 + 1e-6
    assert 1 / 1.1 - 1e-6 <= width / height <= 1.1 + 1e-6


def test_random_crops_cover_sizes_ratios_and_positions() -> None:
    found = stream([0, 1, 2], crop=1.0)
    boxes = torch.stack([found.draw_box(k, "image") for k in range(2000)])
    left, top, width, height = boxes.unbind(1)
    area, ratio = width * height, width / height
    assert area.min() < 0.81 and area.max() > 0.98 and abs(float(area.mean()) - 0.9) < 0.01
    assert ratio.min() < 0.915 and ratio.max() > 1.09 and abs(float(ratio.log().mean())) < 0.005
    for start, length in ((left, width), (top, height)):
        place = start / (1 - length).clamp(min=1e-6)
        assert abs(float(place[length < 0.999].mean()) - 0.5) < 0.02


def test_no_random_crop_yields_no_boxes() -> None:
    assert not any(name.endswith("_box") for name in stream([0, 1, 2], crop=0.0).__getitems__([0, 1]))


@given(seeds)
def test_full_box_returns_the_image(seed: int) -> None:
    image = make_faces(seed % 1000, 2, SIZE)
    torch.testing.assert_close(crop_boxes(image, torch.tensor([WHOLE, WHOLE])), image, rtol=0, atol=1e-5)


@given(seeds, st.integers(0, 3), st.integers(0, 3), st.integers(13, SIZE), st.integers(13, SIZE))
def test_integer_box_equals_enlarged_crop(seed: int, x: int, y: int, width: int, height: int) -> None:
    x, y = min(x, SIZE - width), min(y, SIZE - height)
    image = make_faces(seed % 1000, 1, SIZE)
    box = torch.tensor([[x, y, width, height]]) / SIZE
    part = image[..., y : y + height, x : x + width]
    wanted = functional.interpolate(part, (SIZE, SIZE), mode="bilinear", align_corners=False)
    # At the rim the part alone repeats its last pixels, and the box looks half a pixel beyond them.
    torch.testing.assert_close(crop_boxes(image, box)[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=0, atol=1e-5)


@given(
    seeds, st.sampled_from([7, 16, 32, 33]), st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)
)
def test_crop_at_border_repeats_edge_pixels(
    seed: int, side: int, width: float, height: float, x: float, y: float
) -> None:
    """As grid_sample's own padding does, which is not on every device."""
    image, x, y = make_faces(seed % 1000, 1, side) + 2, x * (1 - width), y * (1 - height)  # far from the zeros outside
    where = torch.tensor([[[width, 0.0, 2 * x + width - 1], [0.0, height, 2 * y + height - 1]]])
    grid = functional.affine_grid(where, list(image.shape), align_corners=False)
    wanted = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    cut = crop_boxes(image, torch.tensor([[x, y, width, height]]))
    torch.testing.assert_close(cut, wanted, rtol=0, atol=2e-5)


def test_move_batch_crops_each_row_by_its_box() -> None:
    batch = {"reference": stream([0, 1, 2] * 20, crop=0.7).__getitems__(range(8))}
    moved = move_batch(batch, "cpu")["reference"]
    assert set(moved) == {"image", "image2", "domain"}
    for picture in ("image", "image2"):
        for row in range(8):
            alone = {name: rows[row : row + 1] for name, rows in batch["reference"].items()}
            torch.testing.assert_close(
                move_batch({"d": alone}, "cpu")["d"][picture][0], moved[picture][row], rtol=0, atol=1e-6
            )
