"""Laws of pairs of attributes and of layouts: the condition, the sampler, and how layouts are made and mirrored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.conditions import PairsCondition, PairsConfig
from zoogan.conditions.pairs import make_pairs
from zoogan.config import DataConfig
from zoogan.data.loader import Loader, make_loader, move_batch
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Need, Source, World
from zoogan.layers import make_layout
from zoogan.testing.strategies import make_labels, seeds
from zoogan.testing.tensors import make_segmentation

ATTRIBUTES = ("Male", "Eyeglasses", "Bald", "Bangs", "Wearing_Hat")
FACTS = Facts(image_size=32, attributes=ATTRIBUTES)

# ---- the condition ----


def make_condition(facts: Facts = FACTS, **settings: Any) -> PairsCondition:
    return PairsCondition(PairsConfig(**settings), facts)


@given(seed=seeds, n=st.integers(1, 4), attributes=st.integers(1, 6))
def test_pairs_have_one_of_each_two(seed: int, n: int, attributes: int) -> None:
    labels = make_labels(seed, n, attributes)
    pairs = make_pairs(labels)
    assert pairs.shape == (n, 2 * attributes) and torch.equal(pairs[:, 1::2], labels)
    assert torch.equal(pairs[:, ::2] + pairs[:, 1::2], torch.ones(n, attributes))
    facts = Facts(image_size=32, attributes=tuple("abcdef"[:attributes]))
    assert torch.equal(make_condition(facts).get_domains({"attributes": labels}), pairs)


def request_of(**words: float) -> Tensor:
    return torch.tensor([[words.get(name, torch.nan) for name in ATTRIBUTES]])


def shown(row: Tensor) -> set[str]:
    return {name for name, value in zip(ATTRIBUTES, row[0].tolist(), strict=True) if value}


def test_a_hat_clears_what_it_hides() -> None:
    condition = make_condition()
    own = torch.tensor([[1.0, 0, 1, 1, 0]])  # a bald man with bangs
    assert shown(condition.apply_request(own, request_of(Wearing_Hat=1))) == {"Male", "Wearing_Hat"}
    with_hat = torch.tensor([[1.0, 0, 0, 1, 1]])  # a label that is older than the hat stays
    assert shown(condition.apply_request(with_hat, request_of(Eyeglasses=1))) == {
        "Male", "Eyeglasses", "Bangs", "Wearing_Hat",
    }  # fmt: skip
    free = make_condition(clears={})
    assert shown(free.apply_request(own, request_of(Wearing_Hat=1))) == {"Male", "Bald", "Bangs", "Wearing_Hat"}


def test_a_new_attribute_clears_its_rivals() -> None:
    condition = make_condition(exclusive=[("Bald", "Bangs")])
    own = torch.tensor([[0.0, 1, 0, 1, 0]])
    assert shown(condition.apply_request(own, request_of(Bald=1))) == {"Eyeglasses", "Bald"}
    assert shown(condition.apply_request(own, request_of(Bald=0))) == {"Eyeglasses", "Bangs"}


@given(seed=seeds, asked=st.dictionaries(st.sampled_from(ATTRIBUTES), st.sampled_from([0.0, 1.0])))
def test_requests_set_what_they_name_and_repeat_without_effect(seed: int, asked: dict[str, float]) -> None:
    if asked.get("Wearing_Hat") == 1.0:
        asked = {name: value for name, value in asked.items() if name not in ("Bald", "Bangs") or not value}
    condition, own, requested = make_condition(), make_labels(seed, 1, len(ATTRIBUTES)), request_of(**asked)
    target = condition.apply_request(own, requested)
    assert torch.equal(condition.apply_request(target, requested), target)
    hides = asked.get("Wearing_Hat") == 1.0 and not own[0, 4]
    for k, name in enumerate(ATTRIBUTES):
        expected = asked.get(name, float(own[0, k]))
        assert float(target[0, k]) == (0.0 if hides and name in ("Bald", "Bangs") else expected), name
    assert torch.equal(condition.apply_request(own, torch.full_like(own, torch.nan)), own)


def test_words_of_a_request() -> None:
    condition = make_condition()
    request = condition.parse({"Eyeglasses": "1", "Male": "off", "Bangs": 0})
    assert request.attributes == {"Eyeglasses": 1.0, "Male": 0.0, "Bangs": 0.0}
    with pytest.raises(ValueError, match=r"Male: a face shows it or not: expected 0 or 1, got '0.5'") as error:
        condition.parse({"Male": "0.5", "Wearing_Hat": 1, "Bangs": 1, "Bald": "yes"})
    assert "Wearing_Hat hides Bangs and Bald; set one of them" in str(error.value)
    with pytest.raises(ValueError, match=r"Eyeglases.*Eyeglasses"):
        condition.parse({"Eyeglases": 1})
    with pytest.raises(ConfigError, match="condition 'pairs' needs attributes"):
        make_condition(Facts(image_size=32))


# ---- the sampler ----


class Labelled(Source):
    """Faces whose layout shows their own number as a part."""

    fields = ("image", "attributes", "segmentation")
    image_size = 4

    def __init__(self, labels: Tensor) -> None:
        self.labels, self.attributes = labels, tuple("abcdef"[: labels.shape[1]])
        self.parts = tuple(f"part {k}" for k in range(len(labels)))

    def count_faces(self, split: str) -> int:
        return len(self.labels)

    def read_labels(self, split: str) -> Tensor:
        return self.labels

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        number = torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 4, 4)
        image = torch.zeros(len(indices), 3, 4, 4, dtype=torch.uint8)
        return {"image": image, "attributes": self.labels[list(indices)], "segmentation": number}


RARE = torch.tensor([[0.0, 0]] * 17 + [[1.0, 0]] * 2 + [[0.0, 1.0]])
PAIRS = Need(("layout", "attributes"), "pairs")


def stream(labels: Tensor = RARE, seed: int = 0, name: str = "source") -> FaceStream:
    return FaceStream(Labelled(labels), name, PAIRS, seed=seed)


@given(seeds)
def test_values_of_all_attributes_come_equally_often(seed: int) -> None:
    """Each turn of 2a items has every value once, and every face of a value comes."""
    found = stream(seed=seed)
    classes = [set((RARE[:, k // 2] == k % 2).nonzero().flatten().tolist()) for k in range(4)]
    for turn in range(25):
        faces = [found.get_index(4 * turn + k) for k in range(4)]
        # Some order of the four values explains the four faces.
        assert any(
            all(face in members for face, members in zip(faces, order, strict=True)) for order in permutations(classes)
        )
    drawn = Counter(found.get_index(k) for k in range(400))
    assert drawn[19] >= 100, "the only face with b comes each turn"
    places = Counter(k % 4 for k in range(400) if found.get_index(k) == 19)
    assert min(places[k] for k in range(4)) > 10, "each turn has an order of its own"
    assert drawn[17] + drawn[18] >= 100 and min(drawn[17], drawn[18]) > 20


@given(seed=seeds, ks=st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_pairs_items_are_pure_functions_of_their_number(seed: int, ks: list[int]) -> None:
    whole = stream(seed=seed).__getitems__(ks)
    fresh = stream(seed=seed)
    for k, layout in zip(reversed(ks), reversed(whole["layout"]), strict=True):
        assert torch.equal(fresh.__getitems__([k])["layout"][0], layout)


def test_sources_and_references_are_not_aligned() -> None:
    source, reference = stream(), stream(name="reference")
    labels = [[RARE[found.get_index(k)] for k in range(400)] for found in (source, reference)]
    alike = sum(torch.equal(one, other) for one, other in zip(*labels, strict=True)) / 400
    share = Counter(tuple(row.tolist()) for row in labels[0])
    by_chance = sum((count / 400) ** 2 for count in share.values())
    assert abs(alike - by_chance) < 0.12
    orders = {tuple(stream(seed=seed).get_index(k) for k in range(40)) for seed in range(4)}
    assert len(orders) == 4


def test_a_missing_value_is_reported_by_name() -> None:
    with pytest.raises(ConfigError, match=r"no face with b=1; leave that attribute out of data\.attributes"):
        stream(RARE[:19])
    with pytest.raises(ConfigError, match="reads the values of all attributes equally often; set it to null"):
        FaceStream(Labelled(RARE), "source", PAIRS, seed=0, balance="a")


def opened(rows: int, rank: int = 0, size: int = 1, start: int = 0, workers: int = 0) -> Loader:
    config = DataConfig(source="labelled", attributes=("a", "b"), flip=True, workers=workers)
    world = World()
    world.rank, world.size = rank, size
    needs = {"source": PAIRS, "reference": Need(("attributes",), "pairs")}
    return make_loader(Labelled(RARE), config, needs, 3, world, start, rows)


def taken(loader: Loader, n: int) -> Tensor:
    rows = [next(loader)["source"]["layout"] for _ in range(n)]
    loader.close()
    return torch.cat(rows)


@pytest.mark.slow
def test_pairs_ignore_processes_workers_and_resume() -> None:
    whole = taken(opened(8), 3)
    halves = [taken(opened(4, rank, 2), 3).split(4) for rank in range(2)]
    assert torch.equal(torch.cat([half[j] for j in range(3) for half in halves]), whole)
    assert torch.equal(taken(opened(8, workers=2), 3), whole)
    assert torch.equal(taken(opened(8, start=16), 1), whole[16:])


# ---- layouts ----


@given(seed=seeds, n=st.integers(1, 3), size=st.sampled_from([4, 16]), parts=st.integers(1, 19))
def test_layouts_are_the_segmentation(seed: int, n: int, size: int, parts: int) -> None:
    segmentation = make_segmentation(seed, n, size, parts)
    moved = move_batch({"source": {"layout": segmentation, "layout2": segmentation.flip(0)}}, "cpu", parts)["source"]
    for name, expected in (("layout", segmentation), ("layout2", segmentation.flip(0))):
        assert moved[name].shape == (n, parts, size, size) and moved[name].dtype == torch.float32
        assert torch.equal(moved[name].argmax(1), expected.long())
        assert torch.equal(moved[name].sum(1), torch.ones(n, size, size))
    assert make_layout(segmentation, parts, torch.float64).dtype == torch.float64


class Sided(Labelled):
    """A left eye on the picture's left half, and a nose on its right."""

    parts = ("background", "l_eye", "r_eye", "nose")
    mirrored = (("l_eye", "r_eye"),)

    def __init__(self) -> None:
        self.labels, self.attributes = torch.tensor([[0.0], [1.0]]), ("a",)

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        segmentation = torch.tensor([1, 1, 3, 3], dtype=torch.uint8).expand(len(indices), 4, 4)
        return {"attributes": self.labels[list(indices)], "segmentation": segmentation}


def test_mirrored_layouts_swap_left_and_right() -> None:
    found = FaceStream(Sided(), "source", Need(("layout",), "pairs"), seed=0, flip=True)
    sample = found.__getitems__(range(40))["layout"]
    for k in range(40):
        expected = [3, 3, 2, 2] if found.is_mirrored(k) else [1, 1, 3, 3]
        assert sample[k, 0].tolist() == expected, k
    assert 10 < sum(found.is_mirrored(k) for k in range(40)) < 30


def test_random_crops_of_layouts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.random_crop cuts pictures only"):
        FaceStream(Sided(), "source", Need(("layout",), "pairs"), seed=0, crop=0.5)
