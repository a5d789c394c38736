"""Photos that come back whole: sizes, formats, folders, boxes, found faces, and what an interruption leaves."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import zoogan
from support.part_runs import ErrorReader
from support.photo_editors import PARTS, SIZE, ToyPhotoEditor, write_photo_run
from support.pictures import save_picture
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures import Box, read_photo, read_whole_photo, save_whole_photo
from zoogan.plugins.host import get_zoo
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows import edit_in_photo, edit_photos, faces, photos

WISH = ("--attribute", "Eyeglasses=1", "--device", "cpu")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    """A run with the toy editor, which the verb opens instead of its folder, in an empty working folder."""
    registry = get_zoo().registry
    monkeypatch.setitem(registry.methods, "sagan", registry.methods["sagan"])
    loaded = write_photo_run(tmp_path / "run", registry)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: loaded)
    monkeypatch.setattr(faces, "find_cascade", lambda: None)
    monkeypatch.chdir(tmp_path)
    return loaded


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of ten photos, beside files that are none."""
    folder = tmp_path / "album"
    for number in range(10):
        save_picture(folder / f"{number}.{'jpg' if number % 2 else 'png'}", size=(24, 20))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder


def read_pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


class StopAfter:
    """A stop request that comes with a batch."""

    def __init__(self, editor: Any, batches: int) -> None:
        self.editor, self.batches = editor, batches

    @property
    def received(self) -> int | None:
        return signal.SIGINT if len(self.editor.batches) >= self.batches else None


# ---- one photo ----


def test_photo_comes_back_whole_and_under_its_name(
    run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = save_picture(tmp_path / "me.jpg", size=(90, 60))
    assert main(["edit", str(run.path), str(photo), *WISH]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == ["edits/me.png"] and "far from square" in output.err
    before, after = read_photo(photo), read_photo(tmp_path / "edits/me.png")
    assert after.shape == before.shape
    changed = (after != before).any(0)
    assert changed[:, 15:75].float().mean() > 0.2 and not changed[:, :15].any() and not changed[:, 75:].any()
    assert torch.equal(after, edit_in_photo(run, photo, Eyeglasses=1).photo)
    assert main(["edit", str(run.path), str(photo), *WISH]) == 0
    assert capsys.readouterr().out.splitlines() == ["edits/me-2.png"], "nothing is replaced"


def test_strength_zero_gives_the_photo_back(sagan_run: Path, tmp_path: Path) -> None:
    photo, out = save_picture(tmp_path / "me.png", size=(70, 90)), tmp_path / "me.bmp"
    loaded = zoogan.load(sagan_run, device="cpu")
    result = edit_photos(loaded, [photo], {"Eyeglasses": 1}, strength=0.0, out=out)
    assert result.paths == [out] and np.array_equal(read_pixels(out), read_pixels(photo))
    whole = edit_in_photo(loaded, photo, Eyeglasses=1)
    assert whole.edit.mask is not None and whole.boxes == (Box(0, 10, 70, 70),)
    assert not torch.equal(whole.photo, read_photo(photo))


@pytest.mark.parametrize("turn", range(1, 9))
def test_edit_is_upright_for_every_orientation(run: LoadedRun, tmp_path: Path, turn: int) -> None:
    """Profile and date stay, and no program turns the edit again."""
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[0x0112], exif[0x0132] = turn, "2026:11:30 12:00:00"
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.open(save_picture(tmp_path / "stored.png", size=(30, 20))).save(photo, exif=exif, icc_profile=profile)
    assert main(["edit", str(run.path), str(photo), "--box", "4,5,12,12", "--out", str(out), *WISH]) == 0
    upright = read_photo(photo)
    assert upright.shape == ((3, 20, 30) if turn < 5 else (3, 30, 20))
    with Image.open(out) as picture:
        kept = picture.getexif()
        assert 0x0112 not in kept and kept[0x0132] == exif[0x0132] and picture.info["icc_profile"] == profile
    changed = (read_photo(out) != upright).any(0)
    assert changed[5:17, 4:16].any()
    changed[5:17, 4:16] = False
    assert not changed.any()


def test_transparency_stays(run: LoadedRun, tmp_path: Path) -> None:
    photo, out = tmp_path / "me.png", tmp_path / "out.png"
    layers = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    Image.fromarray(layers).save(photo)
    whole = read_whole_photo(photo)
    save_whole_photo(whole, whole.pixels, out)
    assert np.array_equal(read_pixels(out), layers), "also the colours below"
    assert main(["edit", str(run.path), str(photo), "--out", str(tmp_path / "edits"), *WISH]) == 0
    edited = read_pixels(tmp_path / "edits/me.png")
    assert np.array_equal(edited[..., 3], layers[..., 3]) and (edited[..., :3] != layers[..., :3]).any()


def test_formats_that_lose_nothing_stay(run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("a.bmp", "b.tif", "c.webp", "d.jpg", "e.png")
    photos = [save_picture(tmp_path / "in" / name, size=(SIZE, SIZE)) for name in names]
    Image.fromarray(np.full((20, 20), 40000, dtype=np.uint16)).save(tmp_path / "in/f.png")
    assert main(["edit", str(run.path), *map(str, photos), str(tmp_path / "in/f.png"), *WISH]) == 0
    written = ["a.bmp", "b.tif", "c.png", "d.png", "e.png", "f.png"]
    assert sorted(path.name for path in (tmp_path / "edits").iterdir()) == written
    output = capsys.readouterr()
    assert output.err.count("f.png: it has 16 bits a pixel, of which its edit keeps 8") == 1
    single = tmp_path / "single.jpg"
    assert main(["edit", str(run.path), str(photos[0]), "--out", str(single), *WISH]) == 0
    assert Image.open(single).format == "JPEG"


@pytest.mark.slow
def test_large_photo_stays_large(run: LoadedRun, tmp_path: Path) -> None:
    """4000 x 3000 in and out, and pixels outside the box are bit-equal."""
    photo, out = tmp_path / "large.png", tmp_path / "out.png"
    row, column = np.arange(3000, dtype=np.uint16)[:, None], np.arange(4000, dtype=np.uint16)
    pixels = np.stack([(row + 0 * column) % 251, (column + 0 * row) % 253, (row + column) % 241], -1).astype(np.uint8)
    Image.fromarray(pixels).save(photo, compress_level=1)
    assert main(["edit", str(run.path), str(photo), "--box", "100,200,1500,1600", "--out", str(out), *WISH]) == 0
    edited = read_pixels(out)
    assert edited.shape == (3000, 4000, 3)
    changed = (edited != pixels).any(-1)
    assert changed[200:1800, 50:1650].mean() > 0.2
    changed[200:1800, 50:1650] = False
    assert not changed.any()


# ---- boxes and faces ----


def test_each_box_is_edited(run: LoadedRun, tmp_path: Path) -> None:
    photo = save_picture(tmp_path / "us.png", 90, size=(100, 50))
    boxes = ["--box", "5,5,30,30", "--box", "60,10,20,30"]
    assert main(["edit", str(run.path), str(photo), *boxes, *WISH]) == 0
    changed = (read_pixels(tmp_path / "edits/us.png") != 90).any(-1)
    assert changed[5:35, 5:35].any() and changed[10:40, 55:85].any()
    changed[5:35, 5:35], changed[10:40, 55:85] = False, False
    assert not changed.any()
    assert main(["edit", str(run.path), str(photo), *boxes, "--crop", "--out", "squares", *WISH]) == 0
    assert sorted(path.name for path in Path("squares").iterdir()) == ["us-face-1-edited.png", "us-face-2-edited.png"]
    assert Image.open("squares/us-face-1-edited.png").size == (SIZE, SIZE)


def test_faces_are_found_and_named(tmp_path: Path, run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if faces.find_cascade() is None:
        pytest.skip("needs zoogan[face]")
    from zoogan.data.drawn import DrawnFaces

    scene = torch.full((3, 300, 560), 200, dtype=torch.uint8)
    large, small = DrawnFaces(256).draw([2_000_000]).image[0], DrawnFaces(160).draw([2_000_008]).image[0]
    scene[:, 20:276, 290:546], scene[:, 60:220, 20:180] = large, small
    found = faces.find_faces(scene)
    assert len(found) == 2 and found[0].left > 290 > found[1].right
    boxes, notes = faces.choose_boxes(scene, run.facts)
    assert boxes[0].measure_overlap(Box(290, 20, 256, 256)) > 0.7
    assert notes == [f"2 faces found, editing the largest at {boxes[0]}; --box x,y,w,h picks another"]
    assert faces.choose_boxes(large, run.facts) == ([Box(0, 0, 256, 256)], []), "a cropped face stays as it is"
    empty, notes = faces.choose_boxes(scene[:, :, :10].expand(-1, -1, 10).repeat(1, 1, 6), run.facts)
    assert empty == [Box(0, 120, 60, 60)] and notes == [
        "no face found, editing the centre square; --box x,y,w,h chooses the face"
    ]
    boxes, notes = faces.choose_boxes(scene, run.facts, [Box(20, 60, 160, 160)])
    assert boxes == [Box(20, 60, 160, 160)] and not notes


# ---- folders ----


def test_folder_and_pattern_keep_names(run: LoadedRun, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(run.path), str(album), "--out", "all", *WISH]) == 0
    assert sorted(path.name for path in Path("all").iterdir()) == [f"{number}.png" for number in range(10)]
    assert isinstance(run.editor, ToyPhotoEditor) and run.editor.batches == [8, 2], "in batches"
    assert "photo 8/10" in capsys.readouterr().out
    for photo in (album / "4.png", album / "7.jpg"):
        assert torch.equal(read_photo(Path("all") / f"{photo.stem}.png"), edit_in_photo(run, photo, Eyeglasses=1).photo)
    assert main(["edit", str(run.path), str(album / "[3-5].*"), "--out", "some", *WISH]) == 0
    assert sorted(path.name for path in Path("some").iterdir()) == ["3.png", "4.png", "5.png"]


def test_unreadable_photos_do_not_stop_the_others(
    run: LoadedRun, album: Path, capsys: pytest.CaptureFixture[str], read_error: ErrorReader
) -> None:
    (album / "3.jpg").write_text("no picture")
    (album / "5.jpg").write_bytes((album / "5.jpg").read_bytes()[:300])
    assert main(["edit", str(run.path), str(album), "--out", "all", *WISH]) == 1
    error = capsys.readouterr().err
    assert "zoo edit: 2 not edited:\n" in error and "3.jpg: not a picture" in error and "5.jpg: damaged" in error
    assert len(list(Path("all").iterdir())) == 8
    assert main(["edit", str(run.path), str(album), "--box", "0,0,22,20", "--out", "none", *WISH]) == 2
    error = capsys.readouterr().err
    assert "0.png: --box 0,0,22,20: the square around it has 22 pixels a side" in error and not Path("none").exists()


def test_nothing_is_replaced_unless_asked(run: LoadedRun, album: Path, read_error: ErrorReader) -> None:
    command = ("edit", run.path, album, "--attribute", "Eyeglasses=1", "--out")
    Path("all").mkdir()
    Path("all/4.png").write_text("mine")
    assert "all/4.png: exists already\nchoose another --out, or replace" in read_error(*command, "all")
    assert "0.png: this is a photo that is edited" in read_error(*command, album, "--overwrite")
    assert main([*map(str, command), "all", "--overwrite"]) == 0 and Image.open("all/4.png").size == (24, 20)


def test_squares_replace_no_photo_and_no_file(sagan_run: Path, tmp_path: Path) -> None:
    """A run with masks writes several squares of a photo, and each of them might be there already."""
    loaded, folder, out = zoogan.load(sagan_run, device="cpu"), tmp_path / "mine", tmp_path / "out"
    photos = [save_picture(folder / name, size=(32, 32)) for name in ("me.png", "me-mask.png")]
    before = photos[1].read_bytes()
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"me-mask\.png: this is a photo that is edited"):
            edit_photos(loaded, photos, {"Eyeglasses": 1}, crop=True, out=folder, overwrite=overwrite)
    assert photos[1].read_bytes() == before and len(list(folder.iterdir())) == 2
    out.mkdir()
    (out / "me-residual.png").write_text("mine")
    with pytest.raises(ConfigError, match=r"me-residual\.png: exists already"):
        edit_photos(loaded, photos[:1], {"Eyeglasses": 1}, crop=True, out=out)
    assert (out / "me-residual.png").read_text() == "mine"
    result = edit_photos(loaded, photos[:1], {"Eyeglasses": 1}, crop=True, out=out, overwrite=True)
    assert [path.name for path in result.paths] == ["me-edited.png", "me-mask.png", "me-residual.png"]
    assert sorted(result.paths) == sorted(out.iterdir()) and Image.open(out / "me-residual.png").size == (32, 32)


def test_segmentations_replace_no_edit_and_no_file(run: LoadedRun, tmp_path: Path, read_error: ErrorReader) -> None:
    photos = [save_picture(tmp_path / "in" / name, size=(20, 20)) for name in ("me.png", "me-segmentation.jpg")]
    command = ("edit", run.path, *photos, "--segmentation", *WISH, "--out", tmp_path / "out")
    assert main([*map(str, command)]) == 0
    names = ["me-segmentation-2-segmentation.png", "me-segmentation-2.png", "me-segmentation.png", "me.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names, "a photo and a square share no name"
    (tmp_path / "out/me.png").unlink()
    assert "out/me-segmentation.png: exists already" in read_error(*command)


def test_squares_of_each_box_are_checked(run: LoadedRun, album: Path) -> None:
    assert isinstance(run.editor, ToyPhotoEditor)
    photos, out = sorted(album.glob("[0-9]*")), album / "squares"
    options: dict[str, Any] = {"boxes": [Box(0, 0, 8, 8), Box(10, 0, 8, 8)], "crop": True, "out": out}
    out.mkdir()
    (out / "7-face-2-edited.png").write_text("mine")
    with pytest.raises(ConfigError, match=r"7-face-2-edited\.png: exists already"):
        edit_photos(run, photos, {"Eyeglasses": 1}, **options)
    assert (out / "7-face-2-edited.png").read_text() == "mine" and len(list(out.iterdir())) == 1
    (out / "7-face-2-edited.png").unlink()
    edit_photos(run, photos, {"Eyeglasses": 1}, stop=StopAfter(run.editor, 1), **options)
    edit_photos(run, photos, {"Eyeglasses": 1}, resume=True, **options)
    assert run.editor.batches == [8, 8, 4], "four finished photos are not edited again"
    assert len(list(out.iterdir())) == 20


def test_interrupted_folder_goes_on(
    run: LoadedRun, album: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(run.editor, ToyPhotoEditor)
    photos, out = sorted(album.glob("[0-9]*")), Path("all")
    result = edit_photos(run, photos, {"Eyeglasses": 1}, out=out, stop=StopAfter(run.editor, 1))
    assert len(result.paths) == 8 and result.left == 2
    assert len(json.loads((out / "unfinished-edits.json").read_text())["finished"]) == 8
    with pytest.raises(ConfigError, match="edits were interrupted after 8 photos; add --resume"):
        edit_photos(run, photos, {"Eyeglasses": 1}, out=out)
    with pytest.raises(ConfigError, match="edits of another request; give the same one") as error:
        edit_photos(run, photos, {"Eyeglasses": 0}, out=out, resume=True, crop=True, seeds=[2])
    assert sorted(line.partition(":")[0] for line in str(error.value).splitlines()[1:]) == [
        "Eyeglasses",
        "crop",
        "seed",
    ]
    save_picture(album / "2.png", 7, size=(24, 20))  # a photo that changed meanwhile is edited again
    run.editor.batches.clear()
    assert main(["edit", str(run.path), str(album), "--out", "all", "--resume", "--attribute", "Eyeglasses=1"]) == 2
    assert "Eyeglasses: 1 there" in capsys.readouterr().err, "words of the command line are no numbers"
    result = edit_photos(run, photos, {"Eyeglasses": 1}, out=out, resume=True)
    assert [path.name for path in result.paths] == ["2.png", "8.png", "9.png"] and run.editor.batches == [3]
    assert len(list(out.iterdir())) == 10, "the list of finished photos is gone"
    with pytest.raises(ConfigError, match="there are no interrupted edits in all"):
        edit_photos(run, photos, {"Eyeglasses": 1}, out=out, resume=True)


def test_interrupted_folder_goes_on_with_its_photos_alone(run: LoadedRun, album: Path) -> None:
    assert isinstance(run.editor, ToyPhotoEditor)
    photos, out = sorted(album.glob("[0-9]*")), Path("all")
    edit_photos(run, photos, {"Eyeglasses": 1}, out=out, stop=StopAfter(run.editor, 1))
    new, kept = save_picture(album / "new.png", size=(24, 20)), out / "new.png"
    kept.write_text("mine")
    for others, reason in (
        ([*photos, new], f"photos: 10 photos there, number 11 of 11 is {new} here"),
        ([new, *photos[1:]], f"photos: number 1 of 10 is {photos[0]} there, number 1 of 10 is {new} here"),
        (photos[:9], f"photos: number 10 of 10 is {photos[9]} there, 9 photos here"),
    ):
        with pytest.raises(ConfigError) as error:
            edit_photos(run, others, {"Eyeglasses": 1}, out=out, resume=True)
        assert str(error.value).splitlines()[1:] == [reason]
    assert kept.read_text() == "mine"


def test_signal_prints_the_command_that_goes_on(
    run: LoadedRun, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(run.editor, ToyPhotoEditor)
    editor, apply = run.editor, run.editor.apply

    def apply_and_interrupt(*arguments: Any, **options: Any) -> Any:
        if not editor.batches:
            signal.raise_signal(signal.SIGINT)
        return apply(*arguments, **options)

    editor.apply = apply_and_interrupt  # type: ignore[method-assign]
    command = ["edit", str(run.path), str(album), *WISH, "--out", "all"]
    assert main(command) == 128 + signal.SIGINT
    last = capsys.readouterr().out.strip().splitlines()[-2:]
    assert last[0] == "stopped with 2 photos left; go on with" and last[1].split()[-1] == "--resume"
    assert main([*command, "--resume"]) == 0 and len(list(Path("all").iterdir())) == 10


def test_map_that_fits_no_photo_does_not_stop_the_others(run: LoadedRun, tmp_path: Path) -> None:
    photos = [save_picture(tmp_path / f"in/{name}.png", size=(20, 20)) for name in ("a", "b", "c", "d")]
    photos[0].write_text("no picture")
    maps = [tmp_path / f"maps/{path.name}" for path in photos]
    for path, size in zip(maps, ((20, 20), (20, 40), (20, 20), (SIZE, SIZE))):
        save_layout(torch.ones(size, dtype=torch.uint8), len(PARTS), path)
    result = edit_photos(run, photos, {"Eyeglasses": 1}, layouts=maps, out=tmp_path / "out")
    assert [path.name for path in result.paths] == ["c.png", "d.png"]
    assert "a.png: not a picture" in result.problems[0] and len(result.problems) == 2
    assert f"b.png: 40 x 20, but its photo {photos[1]} is 20 x 20" in result.problems[1]


# ---- mistakes ----


def test_wrong_options_of_photos_are_refused(run: LoadedRun, album: Path, read_error: ErrorReader) -> None:
    photo, wish = album / "0.png", ("--attribute", "Eyeglasses=1")
    (empty := album.parent / "empty").mkdir()
    for arguments, reasons in (
        ((empty, album / "x*.png"), ["empty: no photos in this folder", "x*.png: no file matches this pattern"]),
        ((photo, "--box", "1,2,3", "--box", "0,0,0,1"), ["expected four whole numbers", "w and h of 1 or more"]),
        ((photo, "--resume"), ["--resume has no effect without several photos"]),
        ((album, "--out", "x.png"), ["--out x.png: a file holds one photo in one style; name a folder"]),
        ((photo, "--box", "0,0,9,9", "--layout", photo), ["--box: the map of --layout shows the centre"]),
        ((photo, album / "notes.tx"), ["notes.tx: no such file, did you mean 'notes.txt'?"]),
    ):  # fmt: skip
        error = read_error("edit", run.path, *arguments, *wish)
        assert all(reason in error for reason in reasons) and len(error.strip().splitlines()) == len(reasons), error
    run.editor.makes_images, run.editor.needs_layout = False, True
    error = read_error("edit", run.path, photo, *wish, "--crop", "--overwrite")
    assert "--crop: this run edits maps of parts" in error and "--overwrite" not in error
    with pytest.raises(ConfigError, match="edits maps of parts, which are no photo"):
        edit_in_photo(run, photo, Eyeglasses=1)


@pytest.mark.parametrize(("method", "source"), [("sagan", "celeba"), ("smile", "celebamask_hq"), ("sd-gan", None)])
def test_advice_for_photos_names_a_source_of_the_method(method: str, source: str | None) -> None:
    run: Any = SimpleNamespace(config=SimpleNamespace(method=method, data=SimpleNamespace(source="drawn")))
    note = photos.describe_drawn_run(run, [Path("missing.jpg")])
    assert note is not None and (f"--data {source} " in note if source else "zoo train" not in note)
