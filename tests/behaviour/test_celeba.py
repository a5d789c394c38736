"""CelebA from its own files: what is read, how it is split, and what is said when something is wrong."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from support.celeba_files import ATTRIBUTES, NUMBERS, label, write_celeba
from zoogan.data.config import CelebAData
from zoogan.data.sources import celeba
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.sources.celeba import CelebA
from zoogan.errors import ConfigError

PEOPLE = (1, 1, 2, 3, 4, 5, 6, 7, 8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A CelebA of nine random pictures, 89 x 109: half the original size."""
    return write_celeba(tmp_path)


def write_pairs(path: Path, values: Any) -> None:
    path.write_text("".join(f"{number:06}.jpg {value}\n" for number, value in zip(NUMBERS, values)))


def opened(root: Path, **settings: Any) -> CelebA:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return CelebA(CelebAData(**{"root": root, "image_size": 16, **settings}))


def test_labels_follow_requested_order(root: Path) -> None:
    source = opened(root, attributes=("Eyeglasses", "Black_Hair"), split="number")
    assert source.list_files("train")[1] == [f"{n:06}.jpg" for n in NUMBERS[:7]]
    assert source.list_files("test")[1] == ["200001.jpg", "202599.jpg"]
    assert source.read_labels("train").tolist() == [[label(row, 2), label(row, 0)] for row in range(7)]
    assert torch.equal(source.read("test", [1])["attributes"], source.read_labels("test")[1:])


@pytest.mark.parametrize("scale, crop, box", [(1, 178, (0, 20, 178, 198)), (1, 170, (4, 24, 174, 194)),
                                               (2, 178, (0, 10, 89, 99))])  # fmt: skip
def test_crop_keeps_the_centre_square(root: Path, scale: int, crop: int, box: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (218 // scale, 178 // scale, 3), dtype=np.uint8)
    path = root / "img_align_celeba" / "000003.jpg"
    Image.fromarray(picture).save(path, format="png")  # without loss; the content counts, not the suffix
    x0, y0, x1, y1 = box
    source = opened(root, crop=crop, image_size=x1 - x0, split="number")
    expected = torch.from_numpy(picture[y0:y1, x0:x1]).permute(2, 0, 1)
    assert torch.equal(source.read("train", [0])["image"][0], expected)
    assert source.crop == pytest.approx(crop / 178)


def test_batch_equals_single_reads(root: Path) -> None:
    source = opened(root)
    batch = source.read("train", [4, 0, 4])["image"]
    assert batch.shape == (3, 3, 16, 16) and batch.dtype == torch.uint8
    assert torch.equal(batch, torch.cat([source.read("train", [i])["image"] for i in (4, 0, 4)]))


def test_split_by_partition(root: Path) -> None:
    write_pairs(root / "list_eval_partition.txt", [0, 0, 0, 0, 0, 0, 1, 2, 2])
    source = opened(root, split="partition")
    assert [source.count_faces(split) for split in ("train", "valid", "test")] == [6, 1, 2]


def test_identity_split_separates_people(root: Path) -> None:
    write_pairs(root / "identity_CelebA.txt", PEOPLE)
    people = dict(zip((f"{n:06}.jpg" for n in NUMBERS), PEOPLE))
    source = opened(root, split="identity")
    sides = [{people[name] for name in source.list_files(split)[1]} for split in ("train", "test")]
    assert sides[0].isdisjoint(sides[1]) and len(sides[0] | sides[1]) == 8
    shares = [celeba._is_held_out(person) for person in range(10_177)]
    assert sum(shares) / len(shares) == pytest.approx(0.2, abs=0.02)


def test_shuffled_split_equals_stargan(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeba, "SHUFFLE_TEST", 3)
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()[2:]
    random.seed(1234)
    random.shuffle(lines)
    source = opened(root, split="shuffle")
    assert set(source.list_files("test")[1]) == {line.split()[0] for line in lines[:3]}


@pytest.mark.parametrize(
    "people, parts, expected",
    [
        (None, None, "number"),
        (None, [0] * 7 + [2] * 2, "partition"),
        (PEOPLE, None, "identity"),
        (PEOPLE, [0] * 7 + [2] * 2, "partition"),
        (PEOPLE, [0, 2] + [0] * 7, "identity"),  # person 1 is on both sides
    ],
)
def test_auto_split_uses_best_available_files(root: Path, people: Any, parts: Any, expected: str) -> None:
    if people:
        write_pairs(root / "identity_CelebA.txt", people)
    if parts:
        write_pairs(root / "list_eval_partition.txt", parts)
    assert opened(root).split == expected


def edit(root: Path, old: str, new: str) -> None:
    path = root / "list_attr_celeba.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    "spoil, settings, message",
    [
        (lambda r: (r / "list_attr_celeba.txt").unlink(), {}, r"no list_attr_celeba.txt\n.*expected as"),
        (lambda r: edit(r, "9\n", "202599\n"), {}, r"line 1 says 202599 rows, but there are 9"),
        (lambda r: edit(r, "9\n", ""), {}, r"line 1: expected the number of rows"),
        (lambda r: edit(r, "000007.jpg  1", "000007.jpg  7"), {"attributes": ("Black_Hair",)},
         r"line 4: the value '7' is neither 1 nor -1"),
        (lambda r: edit(r, "000007.jpg  1", "000007.jpg"), {}, r"line 4: 3 values for 4 attributes"),
        (lambda r: (r / "img_align_celeba/000012.jpg").unlink(), {}, r"000012.jpg: listed, but there is no"),
        (lambda r: None, {"attributes": ("Eyeglases", "Mael")}, r"(?s)mean 'Eyeglasses'.*mean 'Male'.*known"),
        (lambda r: None, {"attributes": ("Male", "Male")}, r"'Male' is asked for twice"),
        (lambda r: None, {"balance": "Male"}, r"data.balance: 'Male' is not among data.attributes"),
        (lambda r: None, {"root": None}, r"data.root: source 'celeba' reads files; .*--root DIR"),
        (lambda r: None, {"root": "/nowhere"}, r"/nowhere is not there; say where .*--root DIR"),
        (lambda r: None, {"split": "identity"}, r"data.split=identity needs .*identity_CelebA.txt"),
        (lambda r: write_pairs(r / "list_eval_partition.txt", [0] * 8), {"split": "partition"},
         r"no line for 202599.jpg"),
        (lambda r: write_pairs(r / "list_eval_partition.txt", [0] * 8 + [3]), {"split": "partition"},
         r"202599.jpg is in part 3"),
        (lambda r: write_pairs(r / "list_eval_partition.txt", [0] * 8 + ["x"]), {"split": "partition"},
         r"line 9: expected a file name and a number"),
        (lambda r: write_pairs(r / "list_eval_partition.txt", [0, 0] + [2] * 7), {"attributes": ("Male",)},
         r"Male is 0 on all 2 training faces"),
    ],
)  # fmt: skip
def test_invalid_sources_are_reported(root: Path, spoil: Any, settings: dict[str, Any], message: str) -> None:
    opened(root)
    spoil(root)
    with pytest.raises(ConfigError, match=message):
        opened(**{"root": root, **settings})


def test_missing_images_are_counted(root: Path) -> None:
    for path in (root / "img_align_celeba").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"and 4 more \(9 in all\)\n.*none of the images") as caught:
        opened(root)
    assert str(caught.value).count("listed, but") == 5


def test_damaged_image_is_named(root: Path) -> None:
    path = root / "img_align_celeba" / "000003.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ConfigError, match=r"000003.jpg: damaged"):
        opened(root, split="number").read("train", [0])


def test_rare_attribute_warns_unless_balanced(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    rows = [f"{n:06}.jpg {1 if n == 5 else -1}" for n in range(1, 301)]
    for n in range(1, 301):
        (tmp_path / "img_align_celeba" / f"{n:06}.jpg").touch()
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["300", "Bald", *rows]))
    write = "".join(f"{n:06}.jpg {0 if n < 290 else 2}\n" for n in range(1, 301))
    (tmp_path / "list_eval_partition.txt").write_text(write)
    config = CelebAData(root=tmp_path, attributes=("Bald",))
    with pytest.warns(DataWarning, match=r"Bald is 1 on only 0.35 % .*data.balance=Bald"):
        CelebA(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        CelebA(config.model_copy(update={"balance": "Bald"}))


def test_hair_colours_exclude_each_other(root: Path) -> None:
    assert opened(root, attributes=ATTRIBUTES).exclusive == (("Black_Hair", "Blond_Hair"),)
    assert opened(root, attributes=("Black_Hair", "Male")).exclusive == ()
