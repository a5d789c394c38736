"""The drawn faces as a source."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from zoogan.data import cache
from zoogan.data.config import DrawnData
from zoogan.data.drawn import ATTRIBUTES
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.stream import mirror_sample
from zoogan.errors import ConfigError

NAMES = ("Eyeglasses", "Blond_Hair", "Bald", "Wearing_Hat")


def opened(**settings: Any) -> DrawnSource:
    return DrawnSource(DrawnData(**{"image_size": 16, "faces": 60, "held_out": 20, "attributes": NAMES, **settings}))


def test_drawn_face_is_equal_however_it_is_read() -> None:
    source, fresh = opened(), opened()
    batch = source.read("train", [5, 0, 5, 9])
    again = source.read("train", [9, 3, 5])  # two of them kept, one new
    expected = fresh.read("train", [9, 3, 5])
    for name in DrawnSource.fields:
        assert torch.equal(again[name], expected[name]), name
        assert torch.equal(batch[name][0], batch[name][2]) and torch.equal(batch[name][3], expected[name][0]), name


def test_cache_avoids_redrawing_within_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE_BYTES", 10 * 4 * 16 * 16)
    source = opened()
    drawn: list[int] = []
    draw = source.faces.draw
    monkeypatch.setattr(source.faces, "draw", lambda numbers: drawn.extend(numbers) or draw(numbers))
    first, second = source.read("train", range(14)), source.read("train", range(14))
    assert drawn == [*range(14), 10, 11, 12, 13] and len(source._caches["train"].is_filled) == 10
    assert torch.equal(first["image"], second["image"])
    assert source.read("test", [0])["image"].shape == (1, 3, 16, 16)


def test_splits_are_disjoint() -> None:
    source = opened()
    images = [source.read(split, range(20))["image"].flatten(1) for split in ("train", "valid", "test")]
    everything = torch.cat(images)
    assert len(torch.unique(everything, dim=0)) == 60


def test_labels_agree_with_read_samples() -> None:
    source, turned = opened(), opened(attributes=NAMES[::-1])
    assert torch.equal(source.read_labels("train"), source.read("train", range(60))["attributes"])
    assert torch.equal(source.read_labels("train"), turned.read_labels("train").flip(1))
    hat, hair = source.read_labels("train")[:, 3], source.read_labels("train")[:, 1]
    assert not (hat * hair).any() and not source.read("train", range(60))["visible"][hat == 1, 1].any()


def test_redraw_changes_only_the_requested_attribute() -> None:
    source = opened()
    own = source.read_labels("test")[:, 0]
    redrawn = source.redraw("test", range(20), Eyeglasses=1.0)
    same = (redrawn["image"] == source.read("test", range(20))["image"]).flatten(1).all(1)
    assert set(redrawn) == set(source.fields) and torch.equal(redrawn["pose"], source.read("test", range(20))["pose"])
    assert torch.equal(same, own == 1)


def test_exclusive_groups_follow_chosen_attributes() -> None:
    assert opened().exclusive == (("Blond_Hair", "Bald"),)


def test_cache_is_not_pickled_to_workers() -> None:
    source = opened()
    source.read("train", range(60))
    copy = pickle.loads(pickle.dumps(source))
    assert copy._caches == {} and torch.equal(copy.read("train", [3])["image"], source.read("train", [3])["image"])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attributes": ("Eyeglases",)}, r"did you mean 'Eyeglasses'"),
        ({"probabilities": {"Mael": 0.3}}, r"data: .*Mael"),
        ({"probabilities": {"Male": 3}}, r"data: .*Male"),
        ({"probabilities": {"Eyeglasses": 0.0}}, r"Eyeglasses is 0 on all 60 training faces"),
    ],
)
def test_invalid_sources_are_reported(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(**settings)


def test_index_outside_split_is_refused() -> None:
    with pytest.raises(IndexError, match="face 20 of test, which has 20"):
        opened().read("test", [20])


def test_pose_is_true_and_mirrors() -> None:
    source = opened()
    sample = source.read("test", range(20))
    assert torch.equal(sample["pose"], source.faces.draw(range(2_000_000, 2_000_020)).pose)
    assert torch.equal(source.read("test", [3, 1])["pose"], sample["pose"][[3, 1]])
    turned = mirror_sample({"pose": sample["pose"]}, torch.arange(20) < 10)["pose"]
    assert torch.equal(turned[:10], sample["pose"][:10] * torch.tensor([-1.0, 1.0, -1.0]))
    assert torch.equal(turned[10:], sample["pose"][10:])


def test_known_attributes_need_no_opened_source() -> None:
    assert DrawnSource.list_attributes(DrawnData()) == ATTRIBUTES
