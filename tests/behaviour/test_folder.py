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
from zoogan.data.sources.attribute_columns import DataWarning
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
        ("a.png,0", "a.png,2", r"line 2: the value '2' for Eyeglasses; 0 \(or -1, no, false\) and 1"),
        ("c.png,1", "nobody.png,1", r"(?s)line 7: no image nobody.png.*c.png: no row in labels.csv"),
        ("c.png,1", "a.png,1", r"line 7: a.png was already in line 2"),
        ("a.png,0,1", "a.png,0", r"line 2: 1 values for 2 attributes"),
        ("file,", "name,", r"line 1: the first column must be 'file'"),
        ("file,Eyeglasses", "file,Eyglasses", r"no attribute 'Eyeglasses', did you mean 'Eyglasses'"),
        ("file,Eyeglasses,Smiling", "file,Smiling,Smiling", r"line 1: the column 'Smiling' is there twice"),
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


# ---- labels as people have them ----


@pytest.mark.parametrize(
    ("header", "row", "encoding"),
    [
        ("image_id,Eyeglasses,Smiling", "{},{:.1f},{:.1f}", "utf-8"),
        ("filename;Eyeglasses;Smiling", "{};{};{}", "utf-8-sig"),
        ("path\tEyeglasses\tSmiling", "{}\t{}\t{}", "utf-16"),
        ("file,Eyeglasses,Smiling,", "{},{},{},", "utf-16-le"),
        (",file,Eyeglasses,Smiling", "7,{},{},{}", "utf-8"),
        (" File , Eyeglasses , Smiling ", ' "{}" , {} , {} ', "utf-8"),
    ],
)
@pytest.mark.parametrize("words", [("False", "True"), ("no", "YES"), ("-1", "1"), (0, 1)])
def test_labels_of_any_dialect_are_read(root: Path, header: str, row: str, encoding: str, words: Any) -> None:
    if ":.1f" in row:
        words = (0, 1)
    rows = [row.format(name, words[i % 2], words[i % 3 == 0]) for i, name in enumerate(NAMES)]
    (root / "labels.csv").write_bytes("\r\n".join([header, *rows, "", ""]).encode(encoding))
    source = opened(root, attributes=("Smiling", "Eyeglasses"))
    assert tuple(source.names) == NAMES
    assert source.read_labels("train").tolist() == [[float(i % 3 == 0), float(i % 2)] for i in range(6)]


def test_latin_labels_are_read_with_a_warning(root: Path) -> None:
    (root / "größe.png").write_bytes((root / "a.png").read_bytes())
    text = (root / "labels.csv").read_text(encoding="utf-8").replace("日本/顔.png", "größe.png")
    (root / "日本/顔.png").unlink()
    (root / "labels.csv").write_bytes(text.encode("cp1252"))
    with pytest.warns(DataWarning, match="labels.csv: not UTF-8; read as Windows-1252"):
        assert "größe.png" in opened(root).names
    (root / "labels.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(1, 200)))
    with pytest.raises(ConfigError, match=r"labels\.csv: not a text file"):
        opened(root)


def test_names_without_suffix_find_their_image(root: Path) -> None:
    path = root / "labels.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(".png", "").replace(".jpg", ""), encoding="utf-8")
    assert tuple(opened(root).names) == NAMES


def test_unmatched_rows_and_images_can_be_skipped(root: Path) -> None:
    paint(root / "new.png", 9)
    with (root / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("ghost.png,1,0\n")
    with pytest.raises(ConfigError, match=r"(?s)no image ghost.png.*new.png: no row.*--set data.unmatched=skip"):
        opened(root)
    with pytest.warns(
        DataWarning, match=r"1 images without a row in labels.csv, 1 rows of labels.csv without an image"
    ):
        assert tuple(opened(root, unmatched="skip").names) == NAMES
