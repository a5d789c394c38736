"""The gallery that this repository ships: complete, small, without traces of the machine that made it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import zoogan
from support.gallery import ROOT, install_shipped_gallery, read_shipped_entries
from support.plugins import PluginFolder
from zoogan.pictures.provenance import is_drawn_picture
from zoogan.plugins.gallery import GalleryEntry, open_gallery

PACKAGE = ROOT / "zoogan_gallery"
RUNS = sorted(path.parent.name for path in (PACKAGE / "runs").glob("*/config.yaml"))
FOLDERS = sorted(name for name in ("judge", "faces") if (PACKAGE / name).is_dir())
FILES = ("README.md", "config.yaml", "model/config.json", "facts.json", "sheet.png", "report/report.html")
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|opt|work|tmp|Users)/")


@pytest.fixture
def entries(plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, GalleryEntry]]:
    install_shipped_gallery(plugin_folder, monkeypatch)
    yield {entry.name: entry for entry in zoogan.list_gallery()}
    open_gallery.cache_clear()


def test_shipped_entries_are_the_folders(entries: dict[str, GalleryEntry]) -> None:
    assert RUNS and set(read_shipped_entries()) == {*RUNS, *FOLDERS}
    assert not [failure for failure in open_gallery().failures if failure.distribution == "zoogan-gallery"]
    for name in RUNS:
        assert entries[name].folder == PACKAGE / "runs" / name and entries[name].source == "drawn"
    assert "faces" in FOLDERS and all(entries[name].kind == name for name in FOLDERS)


@pytest.mark.parametrize("name", RUNS)
def test_shipped_run_is_complete(name: str) -> None:
    folder = PACKAGE / "runs" / name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Made on drawn faces, for drawn faces" in card and f"gallery:{name}" in card
    assert "zoo train --model" in card and "Seed " in card and "iterations" in card and " min" in card
    (level,) = re.findall(r"changes a picture by ([\d.e-]+) of 255 grey levels", card)
    assert 0 < float(level) < 1, "float16 instead of float32"
    report = json.loads((folder / "report" / "report.json").read_text())
    assert report["values"] and (folder / "report" / "report.html").stat().st_size > 10_000
    with Image.open(folder / "sheet.png") as sheet:
        assert min(sheet.size) > 200
    for path in folder.rglob("*"):
        if path.suffix in (".md", ".json", ".yaml", ".html"):
            assert not MACHINE.search(path.read_text(encoding="utf-8")), path
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("name", RUNS)
def test_shipped_run_edits_a_drawn_face(name: str, entries: dict[str, GalleryEntry]) -> None:
    run = zoogan.load(f"gallery:{name}")
    if run.editor.can_sample:
        assert run.editor.attributes or run.editor.parts, "it comes with directions"
        images = run.sample(1)
        attribute = run.editor.attributes[0]
    else:
        images, attribute = entries["faces"].folder / "01.png", "Eyeglasses"
    words = {attribute: 1} if attribute in run.editor.attributes else {"domain": run.facts.domains[0]}
    edited = run.edit(images, **words).image
    before = images.image if run.editor.can_sample else run.prepare_images(images)
    assert float((edited - before).abs().mean()) * 127.5 > 0.5


def test_shipped_files_are_small_and_drawn() -> None:
    stored = {path.read_bytes() for path in PACKAGE.rglob("*.safetensors")}  # git stores equal files once
    weights = sum(map(len, stored))
    faces = sorted((PACKAGE / "faces").glob("*.png"))
    assert weights < 16_000_000 and len(faces) == 12 and all(map(is_drawn_picture, faces))
    assert all(Image.open(face).size == (256, 256) for face in faces)


def test_gallery_wheel_builds(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"zoogan_gallery/runs/{name}/{file}" for name in RUNS for file in FILES} <= names
    assert {"zoogan_gallery/faces/12.png", "zoogan_gallery/__init__.py"} <= names
    (entries,) = [name for name in names if name.endswith("entry_points.txt")]
    assert f"{RUNS[0]} = zoogan_gallery:" in zipfile.ZipFile(wheel).read(entries).decode()
