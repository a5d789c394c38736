"""`zoo sample` and `run.sample` with a run that paints layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from support.part_runs import ErrorReader
from support.photo_editors import PARTS, SIZE, ToyPhotoEditor, parse_layout, write_photo_run
from support.pictures import make_pixels, read_pictures
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import LoadedRun


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    """A run with the toy editor, which the verb opens instead of its folder."""
    registry = get_zoo().registry
    monkeypatch.setitem(registry.methods, "sagan", registry.methods["sagan"])
    loaded = write_photo_run(tmp_path / "run", registry)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: loaded)
    return loaded


@pytest.fixture
def maps(tmp_path: Path) -> list[Path]:
    """A map that is all face, and one that is all hair."""
    paths = [tmp_path / "maps" / name for name in ("face.png", "hair.png")]
    for part, path in enumerate(paths, 1):
        save_layout(torch.full((SIZE, SIZE), part, dtype=torch.uint8), len(PARTS), path)
    return paths


def test_faces_take_given_layouts_in_turn(run: LoadedRun, maps: list[Path], tmp_path: Path) -> None:
    faces = run.sample(20, seed=3, layout=maps)  # in batches of 16, then 4
    assert faces.segmentation is not None
    assert faces.segmentation[:, 0, 0].tolist() == [1, 2] * 10
    for row in (0, 17):
        one = run.sample(seed=3 + row, layout=maps[row % 2]).image
        assert torch.equal(one, faces.image[row : row + 1]), "a face depends on its seed and layout alone"
    out = tmp_path / "faces"
    options = ["--layout", str(maps[0]), "--layout", str(maps[1]), "-n", "3", "--seed", "3", "--out", str(out)]
    assert main(["sample", str(run.path), *options, "--device", "cpu"]) == 0
    written = read_pictures(out)
    assert list(written) == [f"seed-{k}{kind}.png" for k in (3, 4, 5) for kind in ("-layout", "")]
    assert np.array_equal(written["seed-5.png"], make_pixels(faces.image[2:3]))
    assert (written["seed-4-layout.png"] == 2).all()


def test_sample_draws_layouts_of_held_out_faces(
    run: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(3, SIZE, SIZE)
    source = type("Source", (), {"parts": PARTS})()
    registry = get_zoo().registry
    monkeypatch.setattr(registry, "build", lambda role, config: source if role == "source" else pytest.fail(role))
    monkeypatch.setattr("zoogan.workflows.sample.read_sample_faces", lambda given: {"segmentation": pool})
    out = tmp_path / "faces.png"
    assert main(["sample", str(run.path), "-n", "8", "--out", str(out), "--device", "cpu"]) == 0
    assert isinstance(run.editor, ToyPhotoEditor) and run.editor.pool is not None
    assert torch.equal(run.editor.pool.argmax(1), pool.long())
    assert Image.open(out).size[0] > 3 * SIZE
    faces = run.sample(8)
    assert faces.segmentation is not None and faces.segmentation[:, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_source_without_the_run_s_parts_names_layout(run: LoadedRun, read_error: ErrorReader) -> None:
    error = read_error("sample", run.path, "-n", 2)  # the drawn source of the toy's config has other parts
    assert "the run's source has no maps of its parts: give the maps to paint with --layout MAP.png" in error
    with pytest.raises(ConfigError, match="give the layout to paint"):
        run.sample(2)


def test_options_of_latents_are_refused_for_painted_faces(
    run: LoadedRun, maps: list[Path], read_error: ErrorReader
) -> None:
    options = ("--cutoff", 2, "--truncation", 2, "--mix", 3, "-n", 0)
    lines = read_error("sample", run.path, "--layout", maps[0], *options).strip().splitlines()
    assert [line.removeprefix("zoo sample: ").split()[0].rstrip(":") for line in lines] == [
        "--cutoff", "--mix", "-n", "--truncation",
    ]  # fmt: skip


def test_layout_is_refused_by_runs_that_paint_none(run: LoadedRun, maps: list[Path], read_error: ErrorReader) -> None:
    run.editor.paints_layouts = False
    assert "use a run that paints maps" in read_error("sample", run.path, "--layout", maps[0])
    with pytest.raises(ConfigError) as error:
        run.sample(layout=parse_layout(torch.zeros(1, 3, SIZE, SIZE)))
    first, second = str(error.value).splitlines()
    assert "makes no faces of its own" in first and "layout: this run paints no given maps" in second


def test_layout_is_refused_before_a_run_without_parts_is_opened(
    sagan_run: Path, maps: list[Path], read_error: ErrorReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it opened the run"))
    error = read_error("sample", sagan_run, "--layout", maps[0], "--root", "x", "--cut", 3)
    for option in ("--layout: this run", "--root: this run", "--root names a folder", "--cut has no effect"):
        assert option in error
