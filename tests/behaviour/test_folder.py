"""A folder of anybody's images."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoogan.data.config import FolderData
from zoogan.data.sources.folder import Folder
from zoogan.errors import ConfigError

NAMES = ("a.png", "anna/1.png", "Zoë/größe 2.png", "日本/顔.png", "b.jpg", "c.png")


def paint(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 30, 3), value, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(NAMES):
        paint(tmp_path / name, 20 * i)
    rows = [f"{name},{i % 2},{-1 if i % 3 else 1}" for i, name in enumerate(NAMES)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,Eyeglasses,Smiling", *rows]) + "\n", encoding="utf-8")
    return tmp_path


def opened(root: Path, **settings: Any) -> Folder:
    return Folder(FolderData(**{"root": root, "image_size": 16, "test_share": 0, **settings}))


def test_folder_reads_nested_unicode_names_and_labels(root: Path) -> None:
    source = opened(root, attributes=("Smiling", "Eyeglasses"))
    assert tuple(source.names) == NAMES
    assert source.read_labels("train").tolist() == [[float(i % 3 == 0), float(i % 2)] for i in range(6)]
    batch = source.read("train", [3, 1])
    assert batch["image"].shape == (2, 3, 16, 16)
    assert batch["image"].flatten(1).float().mean(1).tolist() == [60, 20]
    assert torch.equal(batch["attributes"], source.read_labels("train")[[3, 1]])


def test_folder_without_attributes_needs_no_labels(root: Path) -> None:
    (root / "labels.csv").unlink()
    source = opened(root, attributes=())
    assert sorted(source.names) == sorted(NAMES)
    assert source.read_labels("train").shape == (6, 0) and source.read("train", [0])["attributes"].shape == (1, 0)
    with pytest.raises(ConfigError, match=r"no labels\.csv"):
        opened(root)


def test_folder_without_images_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        opened(tmp_path, attributes=())


def test_unicode_normal_forms_match(root: Path) -> None:
    path = root / "labels.csv"
    path.write_text(unicodedata.normalize("NFD", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert len(opened(root).names) == 6


def test_spreadsheet_csv_is_read(root: Path) -> None:
    path = root / "labels.csv"
    text = path.read_text(encoding="utf-8").replace("anna/1", "anna\\1").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    assert tuple(opened(root).names) == NAMES


def test_split_is_stable_when_images_are_added(tmp_path: Path) -> None:
    def sides(n: int) -> dict[str, str]:
        for i in range(n):
            if not (tmp_path / f"{i}.png").exists():
                paint(tmp_path / f"{i}.png", i)
        rows = [f"{i}.png,{i % 2}" for i in range(n)]
        (tmp_path / "labels.csv").write_text("\n".join(["file,Eyeglasses", *rows]))
        source = opened(tmp_path, test_share=0.3)
        return {source.names[i]: split for split in ("train", "test") for i in source.members[split]}

    before, after = sides(40), sides(60)
    assert before.items() <= after.items() and len(after) == 60
    assert 8 <= list(after.values()).count("test") <= 28


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("a.png,0", "a.png,", r"line 2: no value for Eyeglasses"),
        ("a.png,0", "a.png,2", r"line 2: the value '2' for Eyeglasses; 0 \(or -1\) and 1 are known"),
        ("c.png,1", "nobody.png,1", r"(?s)line 7: no image nobody.png.*c.png: no row in labels.csv"),
        ("c.png,1", "a.png,1", r"line 7: a.png was already in line 2"),
        ("a.png,0,1", "a.png,0", r"line 2: 1 values for 2 attributes"),
        ("file,", "name,", r"line 1: the first column must be 'file'"),
        ("file,Eyeglasses", "file,Eyglasses", r"no attribute 'Eyeglasses', did you mean 'Eyglasses'"),
        ("file,Eyeglasses", "file,Mood", r"known attributes: Mood.* are the recipe's, and --set data.attributes=NAME"),
    ],
)
def test_invalid_sources_are_reported(root: Path, old: str, new: str, message: str) -> None:
    path = root / "labels.csv"
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        opened(root)


def test_label_problems_are_counted(root: Path) -> None:
    rows = "".join(f"ghost{i}.png,1,0\n" for i in range(20))
    with (root / "labels.csv").open("a", encoding="utf-8") as file:
        file.write(rows)
    with pytest.raises(ConfigError, match=r"line 8: no image ghost0.png(?s:.*)and 15 more \(20 in all\)"):
        opened(root)


def test_missing_labels_show_an_example(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no labels.csv(?s:.*)file,Eyeglasses,Smiling"):
        opened(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_corrupt_image_is_named_on_reading(root: Path, content: bytes) -> None:
    (root / "anna/1.png").write_bytes(content)
    source = opened(root)
    with pytest.raises(ConfigError, match=r"anna/1.png"):
        source.read("train", [0, 1])
    source.read("train", [0, 2])
