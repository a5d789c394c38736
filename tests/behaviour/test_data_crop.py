"""`zoo data crop`: squares under the same names, resumed where it stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoogan
from support.pictures import save_picture
from zoogan.cli import main
from zoogan.pictures.box import Box
from zoogan.workflows.faces import find_cascade

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "deep/b.jpg", "deep/c.webp"):
        save_picture(tmp_path / "root" / name, size=(40, 60))
    (tmp_path / "root/labels.csv").write_text("file,Smiling\na.png,1\n")
    return tmp_path / "root"


def crop(root: Path, *options: str) -> int:
    out = [] if "--out" in options else ["--out", str(root.parent / "out")]
    return main(["data", "crop", str(root), *out, *options])


def test_crop_keeps_names_and_goes_on(root: Path, capsys: Capture) -> None:
    out = root.parent / "out"
    (root / "deep/d.png").write_bytes(b"no picture")
    assert crop(root, "--json") == 3, "one picture is damaged"
    result = json.loads(capsys.readouterr().out)
    assert result["written"] == 3 and result["kept"] == 0 and "d.png: not a picture" in result["problems"][0]
    whole, square = (np.asarray(Image.open(folder / "a.png")) for folder in (root, out))
    assert (
        np.array_equal(square, whole[10:50]) and (out / "labels.csv").read_text() == (root / "labels.csv").read_text()
    )
    assert {path.name for path in (out / "deep").iterdir()} == {"b.jpg", "c.webp"}
    (out / "a.png").unlink()
    (root / "deep/d.png").unlink()
    assert crop(root) == 0
    assert "1 squares written, 2 were there already" in capsys.readouterr().out


def test_crop_with_a_box_and_size(root: Path, capsys: Capture) -> None:
    assert crop(root, "--box", "4,8,20,20", "--size", "10") == 0
    assert Image.open(root.parent / "out/deep/b.jpg").size == (10, 10)
    assert crop(root) == 2
    assert "squares made with other settings; name another folder, or add --overwrite" in capsys.readouterr().err
    assert crop(root, "--overwrite") == 0
    assert "3 squares written\n" in capsys.readouterr().out
    assert Image.open(root.parent / "out/deep/b.jpg").size == (40, 40)
    assert crop(root, "--overwrite", "--box", "30,50,20,20") == 3
    assert "reaches to 50,70, but the photo is 40 x 60" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "1,2"], "expected four whole numbers"),
        (["--box", "1,2,9,9", "--face"], "--box and --face both say where the square is"),
        (["--faceless", "skip"], "--faceless has no effect without --face"),
        (["--faceless", "none"], "expected centre or skip"),
        (["--size", "0"], "--size.*should be greater than or equal to 1"),
        (["--out", "ROOT/inside"], "lies in .*root, whose pictures it would join"),
        (["--out", "ROOT"], "lies in .*root, whose pictures it would join"),
        (["--out", "ROOT/.."], "holds files that `zoo data crop` did not write"),
    ],
)
def test_crop_mistakes_write_nothing(root: Path, options: list[str], message: str, capsys: Capture) -> None:
    assert crop(root, *(option.replace("ROOT", str(root)) for option in options)) == 2
    assert re.search(message, capsys.readouterr().err) and not (root.parent / "out").exists()


@pytest.mark.skipif(find_cascade() is None, reason="the extra `face` is not installed")
def test_crop_without_a_face_takes_the_centre_or_skips(root: Path) -> None:
    centred = zoogan.crop_data(root, root.parent / "one", face=True)
    assert centred.written == 3 and sorted(centred.faceless) == ["a.png", "deep/b.jpg", "deep/c.webp"]
    skipped = zoogan.crop_data(root, root.parent / "two", face=True, faceless="skip")
    assert skipped.written == 0 and len(skipped.faceless) == 3


def test_crop_refuses_squares_of_one_name(root: Path) -> None:
    save_picture(root / "a.avif")
    with pytest.raises(zoogan.ConfigError, match="its square would replace that of"):
        zoogan.crop_data(root, root.parent / "out", box=Box(0, 0, 8, 8))
