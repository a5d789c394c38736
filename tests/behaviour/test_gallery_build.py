"""gallery/build.py: from finished runs and from photos; what it plans and what the cards say."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import zoogan
from support.celeba_files import write_celeba
from support.gallery import ROOT
from support.runs import NARROW, list_settings
from zoogan.errors import ConfigError

pytestmark = pytest.mark.slow

MODULES = ("card", "pictures", "records")


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import gallery/build.py, which is in no package."""
    monkeypatch.syspath_prepend(str(ROOT))
    spec = importlib.util.spec_from_file_location("gallery_build", ROOT / "build.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["gallery_build"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gallery_build"]
    for name in MODULES:
        sys.modules.pop(name, None)


def build(builder: ModuleType, *options: object) -> None:
    assert builder.build(builder.parse_arguments(list(map(str, options)))) == 0


def test_gallery_is_built_from_finished_runs(builder: ModuleType, sagan_run: Path, tmp_path: Path) -> None:
    shutil.copytree(sagan_run, tmp_path / "runs" / "sagan-001")
    options = ["--only", "sagan", "--from-runs", tmp_path / "runs", "--faces", 0, "--out", tmp_path / "gallery"]
    build(builder, *options)
    run = tmp_path / "gallery" / "sagan"
    card = (run / "README.md").read_text()
    assert "zoo train --model sagan" in card and " --iterations 1" in card and "--set generator.width=4" in card
    assert "Seed 0, 1 iterations" in card and "gallery:sagan" in card and "grey levels" in card
    assert zoogan.load(run).iteration == 1 and (run / "sheet.png").exists()
    assert len(list((tmp_path / "gallery" / "faces").glob("*.png"))) == 12
    assert not (tmp_path / "gallery" / ".draft").exists()


def test_unfinished_run_is_not_taken(builder: ModuleType, sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = sagan_copy / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"iteration": 0}))
    assert builder.find_run("sagan", [sagan_copy]) is None
    assert "not finished (0 of 1 iterations)" in capsys.readouterr().out


def test_gallery_is_built_from_photos(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_celeba(tmp_path / "celeba", (*range(1, 13), 199_999, 200_000, 200_001, 202_599))
    tiny = {"data": {"image_size": 16, "batch": 4, "workers": 0}, "training": {"sample_every": 0}, **NARROW["sagan"]}
    settings = [part for line in list_settings(tiny) for part in ("--set", line)]
    options = ["--data", "celeba", "--root", root, "--out", tmp_path / "mine"]
    build(builder, *options, "--plan")
    plan = capsys.readouterr().out
    assert "semantic-stylegan: left out" in plan and "stargan: zoo train --model stargan --data celeba" in plan
    build(builder, *options, "--only", "sagan", "--iterations", 1, "--faces", 0, *settings)
    card = (tmp_path / "mine" / "sagan" / "README.md").read_text()
    assert "on celeba faces" in card and "license: other" in card and "Made on drawn faces" not in card
    assert str(tmp_path) not in card and "--data celeba --root DIR" in card
    assert not (tmp_path / "mine" / "faces").exists()
    with pytest.raises(ConfigError, match="--out FOLDER"):
        build(builder, "--data", "celeba", "--root", root)
