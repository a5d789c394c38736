"""Photos of a run that knows parts: parts, layouts, whole references, backgrounds, and what other runs refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.part_runs import ErrorReader
from support.photo_editors import PARTS, SIZE, ToyPhotoEditor, parse_layout, write_photo_run
from support.pictures import make_pixels, read_pictures, save_picture
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.palette import colour_segmentation
from zoogan.plugins.host import get_zoo
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.vocabulary import read_layout_use

HAIR = slice(0, 6)  # rows of the toy's parts
BACKGROUND = slice(11, 16)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    """A run with the toy editor, which the verbs open instead of its folder."""
    registry = get_zoo().registry
    monkeypatch.setitem(registry.methods, "sagan", registry.methods["sagan"])  # undoes the toy's change
    loaded = write_photo_run(tmp_path / "run", registry)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: loaded)
    return loaded


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [save_picture(tmp_path / "photos" / f"{name}.png", size=(SIZE, SIZE)) for name in ("me", "other")]


@pytest.fixture
def edited(run: LoadedRun, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Run `zoo edit`; gives the pictures that were written."""

    def run_edit(*options: object) -> dict[str, np.ndarray]:
        out = tmp_path / f"edits-{len(list(tmp_path.iterdir()))}"
        assert main(["edit", str(run.path), *map(str, options), "--crop", "--out", str(out), "--device", "cpu"]) == 0
        return read_pictures(out)

    return run_edit


# ---- parts ----


def test_photo_takes_part_of_another_photo(
    edited: Callable[..., dict[str, np.ndarray]], run: LoadedRun, photos: list[Path]
) -> None:
    me, other = (np.asarray(Image.open(path)) for path in photos)
    written = edited(photos[0], "--part", "hair", "--from", photos[1], "--segmentation")
    assert list(written) == ["me-edited.png", "me-segmentation.png"]
    result = written["me-edited.png"]
    assert np.array_equal(result[HAIR], other[HAIR]) and np.array_equal(result[BACKGROUND], me[BACKGROUND])
    layout = parse_layout(torch.zeros(1, 3, SIZE, SIZE)).argmax(1)
    assert np.array_equal(written["me-segmentation.png"], make_pixels(colour_segmentation(layout, len(PARTS))))
    edit = run.edit(photos[0], part="hair", donor=photos[1])
    assert np.array_equal(make_pixels(edit.image), result)
    same = run.edit(photos[0], part=["hair"], only="texture", donor=run.prepare_images(photos[1]))
    assert torch.equal(same.image, edit.image)


def test_photo_takes_part_of_a_seed(
    edited: Callable[..., dict[str, np.ndarray]], run: LoadedRun, photos: list[Path]
) -> None:
    result = edited(photos[0], "--part", "hair", "--from-seed", 7)["me-edited.png"]
    assert np.array_equal(make_pixels(run.edit(photos[0], part="hair", from_seed=7).image), result)
    painted = run.editor.sample([7], layout=parse_layout(torch.zeros(1, 3, SIZE, SIZE)))  # type: ignore[call-arg]
    assert np.array_equal(result[HAIR], make_pixels(painted.image)[HAIR])
    combined = run.edit(photos[0], part="hair", from_seed=7, Eyeglasses=1).image
    assert np.array_equal(make_pixels(combined)[HAIR], result[HAIR])
    assert not np.array_equal(make_pixels(combined), result)


def test_each_face_takes_the_part_of_its_own_donor(run: LoadedRun, photos: list[Path]) -> None:
    both = run.prepare_images(list(photos))
    assert torch.equal(run.edit(both, part="hair", donor=both.flip(0)).image[:, :, HAIR], both.flip(0)[:, :, HAIR])
    with pytest.raises(ConfigError, match="donor: got 3 faces, expected 1, or 2, one for each"):
        run.edit(both, part="hair", donor=both[[0, 0, 1]])


def test_unknown_parts_are_refused_with_suggestion(run: LoadedRun, photos: list[Path], read_error: ErrorReader) -> None:
    options = ("--part", "hairs", "--from-seed", 1, "--attribute", "Male=2")
    error = read_error("edit", run.path, photos[0], *options)
    assert "part hairs: no part of that name, did you mean 'hair'?; known: background, face, hair" in error
    assert "Male: " in error and len(error.strip().splitlines()) == 2
    error = read_error("edit", run.path, photos[0], "--part", "hair", "--only", "shape", "--from-seed", 1)
    assert "part hair: got shape, expected texture, which is all that it has" in error


# ---- references ----


def test_bare_reference_gives_everything(
    edited: Callable[..., dict[str, np.ndarray]], run: LoadedRun, photos: list[Path]
) -> None:
    written = edited(photos[0], "--reference", photos[1])
    assert list(written) == ["me-edited-like-other.png"]
    other = np.asarray(Image.open(photos[1]))
    assert np.array_equal(written["me-edited-like-other.png"][HAIR], other[HAIR])
    assert np.array_equal(
        make_pixels(run.edit(photos[0], reference=photos[1]).image), written["me-edited-like-other.png"]
    )


def test_bare_reference_needs_a_run_that_takes_it(run: LoadedRun, photos: list[Path], read_error: ErrorReader) -> None:
    run.editor.takes_whole_reference = False
    assert "say what to show" in read_error("edit", run.path, photos[0], "--reference", photos[1])


# ---- layouts ----


def test_layout_may_be_given(
    edited: Callable[..., dict[str, np.ndarray]], run: LoadedRun, photos: list[Path], tmp_path: Path
) -> None:
    only_hair, only_face = (torch.full((SIZE, SIZE), part, dtype=torch.uint8) for part in (2, 1))
    paths = [tmp_path / "maps" / name for name in ("hair.png", "face.png")]
    for path, layout in zip(paths, (only_hair, only_face)):
        save_layout(layout, len(PARTS), path)
    layouts = ("--layout", paths[0], "--layout", paths[1])
    written = edited(*photos, *layouts, "--own", "Male=1", "--part", "hair", "--from", photos[1])
    assert np.array_equal(written["me-edited.png"], np.asarray(Image.open(photos[1]))), "all of it is hair"
    assert isinstance(run.editor, ToyPhotoEditor) and run.editor.own is not None
    assert run.editor.own[0].isnan().tolist() == [True, False] and float(run.editor.own[0, 1]) == 1
    edit = run.edit(photos[0], layout=paths[1], own={"Male": 1}, Eyeglasses=1)
    assert np.array_equal(make_pixels(edit.image), edited(
        photos[0], "--layout", paths[1], "--attribute", "Eyeglasses=1"
    )["me-edited.png"])  # fmt: skip
    assert edit.segmentation is not None and (edit.segmentation == 1).all()
    again = run.edit(edit, Eyeglasses=0).segmentation
    assert again is not None and torch.equal(again, edit.segmentation), "an edit brings its layout"


def test_config_tells_use_of_layouts_before_opening(
    run: LoadedRun, photos: list[Path], read_error: ErrorReader, monkeypatch: pytest.MonkeyPatch, sagan_run: Path
) -> None:
    assert run.path is not None and read_layout_use(run.path, get_zoo().registry) == "optional"
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it opened the run"))
    layouts = ("--layout", "a.png", "--layout", "b.png", "--own", "Mail=1,Eyeglasses=3,x")
    error = read_error("edit", run.path, photos[0], *layouts, "--attribute", "Mal=1", "--part", "hair", "--root", "x")
    for reason in (
        "1 photos and 2 maps", "--own x: expected NAME=0", "does not know Mail, did you mean 'Male'?",
        "--own Eyeglasses=3: expected 0 or 1", "does not know Mal, did you mean 'Male'?", "--part hair: name the face",
        "--root x: only --grid",
    ):  # fmt: skip
        assert reason in error
    assert len(error.strip().splitlines()) == 7
    assert "no photo given" in read_error("edit", run.path, "--layout", "a.png", "--attribute", "Male=1")


def test_layout_of_a_photo_needs_the_photo(run: LoadedRun) -> None:
    with pytest.raises(ConfigError, match="images: this run reads the photo of a face beside its map"):
        run.edit(layout=torch.zeros(SIZE, SIZE, dtype=torch.uint8), Eyeglasses=1)
    run.editor.needs_layout = True
    with pytest.raises(ConfigError, match="layout: this run edits the map"):
        run.edit(torch.zeros(1, 3, SIZE, SIZE), Eyeglasses=1)


def test_grid_shows_photos_with_given_labels(run: LoadedRun, photos: list[Path], tmp_path: Path) -> None:
    out, layout = tmp_path / "grid.png", tmp_path / "map.png"
    save_layout(torch.zeros(SIZE, SIZE, dtype=torch.uint8), len(PARTS), layout)
    options = ["--grid", "--layout", str(layout), "--own", "Male=1,Eyeglasses=0", "--out", str(out)]
    run.editor.predict_labels = lambda image: torch.zeros(len(image), 2)  # type: ignore[method-assign]
    assert main(["edit", str(run.path), str(photos[0]), *options, "--device", "cpu"]) == 0
    assert Image.open(out).size[0] > SIZE


# ---- backgrounds, drives ----


def test_background_is_kept_where_asked(
    edited: Callable[..., dict[str, np.ndarray]], photos: list[Path], run: LoadedRun
) -> None:
    me, other = (np.asarray(Image.open(path)) for path in photos)
    kept = edited(photos[0], "--reference", photos[1], "--keep-background")["me-edited-like-other.png"]
    assert np.array_equal(kept[BACKGROUND], me[BACKGROUND]) and np.array_equal(kept[HAIR], other[HAIR])
    changed = run.edit(photos[0], reference=photos[1]).image
    assert not np.array_equal(make_pixels(changed)[BACKGROUND], me[BACKGROUND])


def test_one_photo_is_driven_by_several_frames(run: LoadedRun, photos: list[Path]) -> None:
    frames = torch.linspace(-1, 1, 3)[:, None, None, None].expand(-1, 3, SIZE, SIZE)
    image = run.edit(photos[0], drive=frames).image
    own = run.prepare_images(photos[0])
    torch.testing.assert_close(image[:, :, HAIR], ((own + frames) / 2)[:, :, HAIR])
    with pytest.raises(ConfigError, match="drive: got 3 faces, expected 1, or 2"):
        run.edit(own.expand(2, -1, -1, -1), drive=frames)


# ---- runs that take none of it ----


def test_whole_photo_runs_refuse_everything_at_once(
    sagan_run: Path, photos: list[Path], read_error: ErrorReader
) -> None:
    loaded, image = zoogan.load(sagan_run), torch.zeros(1, 3, 32, 32)
    with pytest.raises(ConfigError) as error:
        loaded.edit(image, layout=image, own={}, donor=image, drive=image, keep_background=True, Eyeglasses=1)
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["layout", "own", "donor", "drive", "keep_background"]
    with pytest.raises(ConfigError, match="part: this run takes no parts"):
        loaded.edit(image, part="hair", from_seed=7)
    options = ("--part", "hair", "--from-seed", 1, "--segmentation", "--reference", photos[1], "--keep-background")
    lines = read_error("edit", sagan_run, photos[0], *options).strip().splitlines()
    flags = [flag for line in lines for flag in options if str(flag).startswith("--") and f"{flag}: this run" in line]
    assert flags == ["--part", "--segmentation", "--reference", "--keep-background"] and len(lines) == 4
