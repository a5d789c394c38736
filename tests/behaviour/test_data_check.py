"""`zoo data check` and `zoo data preview`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoogan
from support.pictures import save_picture
from zoogan.cli import main
from zoogan.config import compose_config, parse_sets
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of twelve pictures with labels, two of them in odd modes."""
    root = tmp_path / "my photos"
    for k in range(10):
        save_picture(root / f"{k}.png", size=(80, 90))
    Image.new("CMYK", (80, 80), (9, 9, 9, 9)).save(root / "c.jpg")
    Image.new("I;16", (80, 80), 999).save(root / "deep.png")
    names = sorted(path.name for path in root.iterdir())
    rows = [f"{name},{k % 2},{int(k % 3 == 0)},1" for k, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["file,Smiling,Eyeglasses,Young", *rows]))
    return root


def check(*options: object, capsys: Capture) -> tuple[int, dict]:
    code = main(["data", "check", *map(str, options), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_check_of_a_whole_folder_gives_its_command(root: Path, capsys: Capture) -> None:
    code, report = check(root, capsys=capsys)
    assert code == 0 and not report["problems"] and report["source"] == "folder" and report["pictures"] == 12
    assert report["splits"]["train"] + report["splits"]["test"] == 12 and report["sizes"] == {"64 to 127": 12}
    assert report["modes"] == {"RGB": 10, "CMYK": 1, "I;16": 1}
    assert report["labels"] == {"Smiling": 0.5, "Eyeglasses": round(4 / 12, 4)}
    notes = "\n".join(report["notes"])
    assert "the same value on all training faces, so nothing can be learnt of: Young" in notes
    assert "1 pictures have CMYK colours" in notes and "1 pictures have 16 bits a colour" in notes
    words = shlex.split(report["command"])
    assert words[:4] == ["zoo", "train", "--model", "stargan"] and words[words.index("--root") + 1] == str(root)
    registry = get_zoo().registry
    sets = parse_sets([*(word for option, word in pairwise(words) if option == "--set"), f"data.root={root}"])
    config = compose_config(registry.methods["stargan"], registry, source="folder", sets=sets)
    assert registry.build("source", config.data).attributes == ("Smiling", "Eyeglasses")
    assert f"data.image_size={config.data.image_size}" in words
    _, report = check(root, "--attributes", "Smiling", capsys=capsys)
    assert "--model sagan" in report["command"], "one attribute"


def test_check_lists_every_problem_at_once(root: Path, capsys: Capture) -> None:
    (root / "0.png").write_bytes((root / "0.png").read_bytes()[:900])
    (root / "1.png").write_text("<html>")
    os.mkfifo(root / "2.gif"), (root / "film.mp4").touch(), save_picture(root / ".hidden.png")
    save_picture(root / "new.png", size=(20, 300))
    shutil.copy(root / "3.png", root / "copy.png")
    with (root / "labels.csv").open("a") as file:
        file.write("\nghost.png,1,0,1\n4.png,maybe,0,1\n")
    code, report = check(root, capsys=capsys)
    assert code == 3 and report["command"] is None
    problems, notes = "\n".join(report["problems"]), "\n".join(report["notes"])
    for words in ("0.png: damaged", "1.png: a web page", "no image ghost.png", "new.png: no row", "4.png was already"):
        assert words in problems
    for words in ("1 of 12 pictures are smaller than 64", "1 of 12 pictures are far from square", "3.png = copy.png"):
        assert words in notes
    assert report["passed_over"] == {"pipes, sockets or devices": 1, "files .mp4": 1, "hidden files": 1}
    assert main(["data", "check", str(root)]) == 3
    out = capsys.readouterr().out
    assert "\nproblems: " in out and "\npassed over: 1 files .mp4, 1 hidden files" in out and "train on it" not in out


def test_check_recognises_domains_and_leaks(tmp_path: Path) -> None:
    for k, name in enumerate(("trainA/1", "trainA/2", "trainB/3", "testA/4", "testB/5")):
        save_picture(tmp_path / f"{name}.png", 20 * k, (64, 64))
    shutil.copy(tmp_path / "trainA/1.png", tmp_path / "testA/again.png")
    report = zoogan.check_data(tmp_path)
    assert (report.source, report.splits) == ("folders", {"train": 3, "valid": 0, "test": 3})
    assert report.labels == {"A": round(4 / 6, 4), "B": round(2 / 6, 4)}
    assert "1 pictures are trained on and held out at once, such as testA/again.png = trainA/1.png" in report.notes
    command = f"zoo train --model stargan-v2 --data folders --root {shlex.quote(str(tmp_path))} --set data.image_size="
    assert str(report.command).startswith(command)


def test_check_of_other_layouts_and_mistakes(tmp_path: Path, capsys: Capture) -> None:
    save_picture(tmp_path / "plain/a.png", size=(64, 64)), save_picture(tmp_path / "plain/b.png", size=(64, 64))
    code, report = check(tmp_path / "plain", "--set", "data.test_share=0", capsys=capsys)
    assert code == 0 and report["source"] == "folder" and report["layout"] == "images without labels"
    assert "--model stylegan2 --data folder" in report["command"] and "data.test_share=0" in report["command"]
    (tmp_path / "empty").mkdir()
    code, report = check(tmp_path / "empty", capsys=capsys)
    assert code == 3 and "no images in it" in report["problems"][0]
    (tmp_path / "hq" / "CelebA-HQ-img").mkdir(parents=True)
    code, report = check(tmp_path / "hq", capsys=capsys)
    assert code == 3 and len(report["problems"]) == 1, "the lines of advice below it are no problems"
    assert "is expected as it is distributed" in report["problems"][0]
    for options, words in (
        ([tmp_path / "no"], "no such folder"),
        ([tmp_path, "--data", "foldr"], "did you mean 'folder'"),
    ):
        code = main(["data", "check", *map(str, options)])
        output = capsys.readouterr()
        assert code in (2, 3) and words in output.out + output.err


def test_preview_shows_pictures_and_parts(root: Path, capsys: Capture) -> None:
    out = root.parent / "sheet.png"
    preview = ["data", "preview", str(root), "--model", "sagan", "--out", str(out), "--faces", "3", "--set"]
    assert main([*preview, "data.attributes=[Smilling]"]) == 2
    assert "did you mean 'Smiling'" in capsys.readouterr().err and not out.exists()
    assert main([*preview, "data.attributes=[Smiling]"]) == 0
    assert "rows, from the top: image\n" in capsys.readouterr().out
    assert np.asarray(Image.open(out)).shape[1] == 4 + 3 * (128 + 4)
    options: dict[str, Any] = {"data": "drawn", "recipe": "drawn-32", "faces": 2}
    with pytest.raises(ConfigError, match=r"sheet\.png: exists already"):
        zoogan.preview_data(None, out, "semantic-stylegan", **options)
    drawn = zoogan.preview_data(None, out, "semantic-stylegan", overwrite=True, **options)
    assert [row.split(": ")[1] for row in drawn.rows] == ["image", "segmentation"] and out.is_file()
    assert main(["data", "preview", "--faces", "0"]) == 2
