"""The gallery: runs that installed packages bring, found by name, opened by every verb and never written to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

import zoogan
from support.gallery import install_gallery
from support.pictures import save_picture
from support.plugins import PluginFolder
from support.runs import tiny_run
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.provenance import save_drawn_picture
from zoogan.plugins.gallery import find_in_gallery, open_gallery


def hash_files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): hash(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def site(plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """A folder of installed packages, beside which this repository's own gallery is not seen."""
    monkeypatch.chdir(tmp_path)
    find = metadata.entry_points

    def find_others(**options: str) -> list[metadata.EntryPoint]:
        return [entry for entry in find(**options) if entry.dist is None or entry.dist.name != "zoogan-gallery"]

    monkeypatch.setattr("zoogan.plugins.gallery.metadata.entry_points", find_others)
    open_gallery.cache_clear()
    yield plugin_folder
    open_gallery.cache_clear()


@pytest.fixture
def gallery(site: PluginFolder, sagan_run: Path, stylegan2_run: Path) -> Path:
    """A gallery with two tiny runs, and a folder of faces; the folder of its module."""
    for name, run in {"glasses": sagan_run, "faces": stylegan2_run}.items():
        shutil.copytree(run, site.path / "runs" / name, ignore=shutil.ignore_patterns("checkpoints"))
    save_drawn_picture(torch.full((3, 40, 36), 99, dtype=torch.uint8), site.path / "pictures" / "01.png")
    body = "from pathlib import Path\nHERE = Path(__file__).parent\n"
    body += "glasses, faces, pictures = HERE / 'runs/glasses', str(HERE / 'runs/faces'), HERE / 'pictures'\n"
    install_gallery(site, "zoogan-two", {name: name for name in ("glasses", "faces", "pictures")}, body)
    return site.path


def test_gallery_is_listed(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry.name: entry for entry in zoogan.list_gallery()}
    glasses = entries["glasses"]
    assert {"glasses", "faces", "pictures"} <= set(entries)
    assert (glasses.method, glasses.source, glasses.image_size, glasses.kind) == ("sagan", "drawn", 32, "run")
    assert entries["pictures"].kind == "faces" and glasses.attributes == ("Eyeglasses",)
    assert main(["list"]) == 0
    assert "gallery:glasses" in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["gallery"]}
    assert rows["faces"]["address"] == "gallery:faces" and rows["faces"]["method"] == "stylegan2"


def test_broken_gallery_disturbs_no_other(
    gallery: Path, site: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    install_gallery(site, "zoogan-broken", {"broken": "run"}, "import a_missing_module\n")
    install_gallery(site, "zoogan-exit", {"leaving": "run"}, "raise SystemExit(3)\n")
    install_gallery(site, "zoogan-odd", {"number": "run", "gone": "gone"}, "run, gone = 3, '/no/such/folder'\n")
    install_gallery(site, "zoogan-again", {"glasses": "run"}, "run = __file__.rpartition('/')[0]\n")
    failures = {failure.name: failure for failure in open_gallery().failures}
    assert set(failures) == {"broken", "leaving", "number", "gone", "glasses"}
    assert "a_missing_module" in failures["broken"].reason and "int" in failures["number"].reason
    assert "an entry of the same name" in failures["glasses"].reason
    with pytest.raises(ConfigError, match=r"gallery:broken is not in use.*a_missing_module"):
        find_in_gallery("gallery:broken")
    assert find_in_gallery("gallery:faces") == gallery / "runs" / "faces"
    main(["list"])
    assert "gallery:leaving is not in use" in capsys.readouterr().out


def test_unknown_gallery_run_is_suggested(gallery: Path) -> None:
    with pytest.raises(ConfigError, match="called 'glases', did you mean 'glasses'"):
        zoogan.load("gallery:glases")
    with pytest.raises(ConfigError, match=r"pip install \./gallery"):
        zoogan.load("gallery:sagan-256")
    with pytest.raises(ConfigError, match=r"gallery:pictures/02\.png: no such file, did you mean '01\.png'"):
        find_in_gallery("gallery:pictures/02.png")
    with pytest.raises(ConfigError, match="no such file"):
        find_in_gallery("gallery:pictures/../runs")


def test_missing_gallery_says_what_to_install(site: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoogan.plugins.gallery.metadata.entry_points", lambda group: ())
    with pytest.raises(ConfigError, match=r"gallery:sagan: no gallery is installed: pip install ./gallery"):
        zoogan.load("gallery:sagan")


def test_verbs_take_gallery_runs_and_write_elsewhere(
    gallery: Path, site: PluginFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], temporary_cache: None
) -> None:
    before = hash_files(site.path / "runs")
    edit = ["edit", "gallery:glasses", "--attribute", "Eyeglasses=1"]
    assert main([*edit, "gallery:pictures/01.png"]) == 0
    assert "drawn" not in capsys.readouterr().err, "a drawn face is what the run knows"
    assert main([*edit, str(save_picture(tmp_path / "me.png")), str(save_picture(tmp_path / "her.png"))]) == 0
    notes = capsys.readouterr().err
    assert notes.count("drawn faces only") == 1 and "zoo import sagan" in notes and "--data celeba" in notes
    edited = zoogan.load("gallery:glasses").edit("gallery:pictures/01.png", Eyeglasses=1)
    assert len(edited.image) == 1 and main(["show", "gallery:glasses"]) == 0
    assert main(["sample", "gallery:faces", "-n", "2"]) == 0
    assert main(["invert", "gallery:faces", "gallery:pictures/01.png", "--iterations", "1"]) == 0
    assert main(["evaluate", "gallery:glasses", "--faces", "4", "--metrics", "edit_error"]) == 0
    capsys.readouterr()
    assert list((tmp_path / "edits").glob("01*.png")) and (tmp_path / "inversions" / "01-latent.safetensors").exists()
    assert (tmp_path / "reports" / "glasses" / "report" / "report.html").exists()
    refused = {
        "direction": ["direction", "gallery:faces", "--attribute", "Smiling"],
        "train --resume": ["train", "--out", "gallery:glasses", "--resume"],
        "train": ["train", "--model", "sagan", "--out", str(site.path / "runs" / "glasses" / "more")],
        "evaluate": ["evaluate", "gallery:glasses", "--out", str(site.path / "runs" / "glasses" / "report")],
    }
    for name, command in refused.items():
        assert main(command) == 2, name
        assert "zoogan.export_run('gallery:" in capsys.readouterr().err, name
    after = {name: value for name, value in hash_files(site.path / "runs").items() if "__pycache__" not in name}
    assert after == before


def test_training_starts_from_a_gallery_run(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gallery / "runs" / "faces" / "model" / "discriminator.safetensors").unlink()
    assert main(["sample", "gallery:faces", "-n", "1"]) == 0, "no editor reads the discriminator"
    assert tiny_run("stylegan2", tmp_path / "more", "--from", "gallery:faces", iterations=1) == 0
    assert "no trained discriminator: it starts afresh" in capsys.readouterr().out
    model = gallery / "runs" / "glasses" / "model"
    (model / "discriminator.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"discriminator\.safetensors is missing, and no whole checkpoint.*copy"):
        zoogan.load("gallery:glasses")
    content = json.loads((model / "config.json").read_text())
    content["networks"].remove("discriminator")
    (model / "config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"shared without discriminator.*editing with sagan needs it.*export_run"):
        zoogan.load("gallery:glasses")


def test_gallery_needs_no_torch(gallery: Path) -> None:
    """`zoo list` and completion look into the gallery; test_cli_static checks that no verb's help imports torch."""
    code = "import sys, zoogan; names = {e.name for e in zoogan.list_gallery()}; print(names, 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "'glasses'" in result.stdout and result.stdout.endswith(" False\n"), result
