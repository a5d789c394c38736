"""Films edited frame by frame, films that drive a photo, and how an interrupted edit goes on."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import zoogan
from support.part_runs import ErrorReader
from support.photo_editors import SIZE, ToyPhotoEditor, write_photo_run
from support.pictures import make_pixels, save_picture
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures import Box
from zoogan.pictures.clip import find_exact_rate, find_ffmpeg, read_film, spread_durations
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows import edit_clip, edit_in_photo

GREYS = [10 * k for k in range(20)]  # of the frames of a clip, each of one colour
DURATIONS = [50, 30, *[40] * 18]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    """A run with the toy editor, which the verb opens instead of its folder."""
    registry = get_zoo().registry
    monkeypatch.setitem(registry.methods, "sagan", registry.methods["sagan"])
    loaded = write_photo_run(tmp_path / "run", registry)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: loaded)
    return loaded


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A GIF wider than it is high; its centre square is edited."""
    path = tmp_path / "clips" / "talk.gif"
    path.parent.mkdir()
    first, *rest = [Image.new("RGB", (24, SIZE), (grey, grey, grey)) for grey in GREYS]
    first.save(path, save_all=True, append_images=rest, duration=DURATIONS, loop=0)
    return path


def read_frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as picture:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]


class StopAfter:
    """A stop request that comes with a batch."""

    def __init__(self, editor: Any, batches: int) -> None:
        self.editor, self.batches = editor, batches

    @property
    def received(self) -> int | None:
        return signal.SIGINT if len(self.editor.batches) >= self.batches else None


# ---- films ----


def test_every_frame_is_edited_as_a_photo(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    options = ["--attribute", "Eyeglasses=1", "--seed", "3", "--crop", "--out", str(out), "--device", "cpu"]
    assert main(["edit", str(run.path), str(clip), *options]) == 0
    frames = read_frames(out)
    assert len(frames) == len(GREYS) and frames[0].shape == (SIZE, SIZE, 3)
    assert isinstance(run.editor, ToyPhotoEditor) and run.editor.batches == [8, 8, 4]
    for grey, frame in zip(GREYS, frames):
        photo = Image.new("RGB", (24, SIZE), (grey, grey, grey))
        assert np.array_equal(frame, make_pixels(run.edit(photo, seed=3, Eyeglasses=1).image))
    with Image.open(out) as picture:
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(picture)] == DURATIONS
    assert not Path(f"{out}.frames").exists()


def test_film_takes_part_and_keeps_background(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    other = save_picture(tmp_path / "other.png", size=(SIZE, SIZE))
    result = edit_clip(
        run, clip, {"part": ["hair"]}, tmp_path / "out.gif", donor=other, own={"Male": 1}, keep_background=True,
        crop=True,
    )  # fmt: skip
    assert result.is_complete and result.frames == len(GREYS)
    photo = Image.new("RGB", (24, SIZE), (GREYS[9],) * 3)
    wanted = run.edit(photo, part="hair", donor=other, keep_background=True)
    close = np.abs(read_frames(result.path)[9].astype(int) - make_pixels(wanted.image).astype(int))
    assert close.max() <= 2, "a GIF holds 256 colours"


def test_ordinary_runs_edit_films(sagan_run: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    command = ["edit", str(sagan_run), str(clip), "--attribute", "Eyeglasses=1", "--out", str(out), "--device", "cpu"]
    assert main([*command, "--crop"]) == 0
    wanted = zoogan.load(sagan_run).edit(Image.new("RGB", (24, SIZE), (GREYS[5],) * 3), Eyeglasses=1).image
    close = np.abs(read_frames(out)[5].astype(int) - make_pixels(wanted).astype(int))
    assert close.mean() < 3, "a GIF holds 256 colours"


def test_film_drives_a_photo(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    photo, out = save_picture(tmp_path / "me.png", 200, size=(SIZE, SIZE)), tmp_path / "out.gif"
    command = ["edit", str(run.path), str(photo), "--drive", str(clip), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    for grey, frame in list(zip(GREYS, read_frames(out)))[::6]:
        wanted = run.edit(photo, drive=Image.new("RGB", (24, SIZE), (grey, grey, grey)))
        assert np.array_equal(frame, make_pixels(wanted.image))


def test_frames_come_back_whole_at_the_place_of_the_box(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    other = save_picture(tmp_path / "other.png", 200)  # each frame changes by as much as it differs from this
    wish = ["--reference", str(other), "--box", "12,4,8,12", "--out", str(out), "--device", "cpu"]
    assert main(["edit", str(run.path), str(clip), *wish]) == 0
    for grey, frame in list(zip(GREYS, read_frames(out)))[1::6]:
        photo = torch.full((3, SIZE, 24), grey, dtype=torch.uint8)
        wanted = edit_in_photo(run, photo, boxes=[Box(10, 4, 12, 12)], reference=other).photo
        assert frame.shape == (SIZE, 24, 3) and (frame[:, :10] == grey).all() and (frame[:4] == grey).all()
        assert np.abs(frame.astype(int) - wanted.permute(1, 2, 0).numpy()).max() <= 2, "a GIF holds 256 colours"
        assert (frame[8:12, 12:20] != grey).any()
    assert main(["edit", str(run.path), str(clip), *wish]) == 2, "the film exists"
    assert main(["edit", str(run.path), str(clip), *wish, "--overwrite"]) == 0


def test_box_outside_the_frames_writes_nothing(run: LoadedRun, clip: Path, read_error: ErrorReader) -> None:
    error = read_error("edit", run.path, clip, "--attribute", "Eyeglasses=1", "--box", "12,4,18,12")
    assert "--box 12,4,18,12: reaches to 30,16, but the photo is 24 x 16" in error


# ---- ffmpeg ----


def test_film_keeps_sound_and_rate(run: LoadedRun, tmp_path: Path) -> None:
    clip, out = tmp_path / "talk.mov", tmp_path / "out.mp4"
    command = [
        find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "color=gray:size=48x32:rate=24000/1001:duration=0.8",
        "-f", "lavfi", "-i", "sine=duration=0.8", "-c:v", "mpeg4", "-c:a", "pcm_s16le", str(clip),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    film = read_film(clip)
    frames = list(film.frames)
    assert film.rate == Fraction(24000, 1001) and film.has_sound and film.count is not None
    assert len(frames) == 20 and abs(film.count - 20) <= 1 and frames[0].shape == (3, 32, 48)
    assert abs(int(frames[0].float().mean()) - 128) < 4
    result = edit_clip(run, clip, {"Eyeglasses": 1}, out)
    assert result.is_complete and not Path(f"{out}.frames").exists()
    edited = read_film(out)
    assert edited.has_sound and edited.rate == film.rate
    shown = list(edited.frames)
    assert len(shown) == 20 and shown[0].shape == (3, 32, 48)
    wanted = edit_in_photo(run, frames[4], Eyeglasses=1).photo
    assert (shown[4].int() - wanted.int()).abs().float().mean() < 6


def test_rates_are_exact() -> None:
    assert find_exact_rate(29.97) == Fraction(30000, 1001) and find_exact_rate(23.98) == Fraction(24000, 1001)
    assert find_exact_rate(25.0) == 25 and find_exact_rate(30.0) == 30 and find_exact_rate(12.5) == Fraction(25, 2)
    durations = spread_durations(90, Fraction(30000, 1001))
    assert set(durations) == {30, 40} and sum(durations) == 3000, "90 frames take 3.003 s"


# ---- interruptions ----


def test_interrupted_edit_goes_on(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.gif", tmp_path / "whole.gif"
    edit_clip(run, clip, {"Eyeglasses": 1}, whole, seed=2)
    assert isinstance(run.editor, ToyPhotoEditor)
    run.editor.batches.clear()
    stopped = edit_clip(run, clip, {"Eyeglasses": 1}, out, seed=2, stop=StopAfter(run.editor, 2))
    assert not stopped.is_complete and stopped.frames == 16 and not out.exists()
    assert len(list(Path(f"{out}.frames").glob("*.png"))) == 16
    with pytest.raises(ConfigError, match="an edit was interrupted after 16 frames; add --resume"):
        edit_clip(run, clip, {"Eyeglasses": 1}, out, seed=2)
    done = edit_clip(run, clip, {"Eyeglasses": 1}, out, seed=2, resume=True)
    assert done.is_complete and run.editor.batches == [8, 8, 4], "finished frames are not edited again"
    assert out.read_bytes() == whole.read_bytes() and not Path(f"{out}.frames").exists()


def test_another_request_does_not_go_on(run: LoadedRun, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    edit_clip(run, clip, {"Eyeglasses": 1}, out, stop=StopAfter(run.editor, 1))
    stored = json.loads((Path(f"{out}.frames") / "request.json").read_text())
    assert stored["frames"] == 8 and stored["request"]["Eyeglasses"] == "1"
    other = save_picture(tmp_path / "other.png")
    with pytest.raises(ConfigError) as error:
        edit_clip(run, clip, {"Eyeglasses": 0}, out, seed=1, reference=other, resume=True)
    head, *lines = str(error.value).splitlines()
    assert "frames of another request" in head
    assert sorted(line.partition(" (")[0] for line in lines) == [
        "Eyeglasses: 1 there, 0 here", "reference: nothing there, other.png", "seed: 0 there, 1 here",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no interrupted edit"):
        edit_clip(run, clip, {"Eyeglasses": 1}, tmp_path / "new.gif", resume=True)
    with torch.no_grad():
        run.networks["none"].bias += 1
    with pytest.raises(ConfigError, match="run: run "):
        edit_clip(run, clip, {"Eyeglasses": 1}, out, resume=True)


def test_interruption_prints_the_command_that_goes_on(
    run: LoadedRun, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(run.editor, ToyPhotoEditor)
    editor, out = run.editor, tmp_path / "my film.gif"
    apply = editor.apply

    def apply_and_interrupt(*arguments: Any, **options: Any) -> Any:
        if not editor.batches:
            signal.raise_signal(signal.SIGINT)
        return apply(*arguments, **options)

    editor.apply = apply_and_interrupt  # type: ignore[method-assign]
    command = ["edit", str(run.path), str(clip), "--attribute", "Eyeglasses=1", "--device", "cpu", "--out", str(out)]
    assert main(command) == 128 + signal.SIGINT
    printed = capsys.readouterr().out
    assert "frame 8/20" in printed and "frames/s" in printed
    last = printed.strip().splitlines()[-1].strip()
    words = shlex.split(last)
    assert words[:2] == ["zoo", "edit"] and sorted(words[1:]) == sorted([*command, "--resume"])
    assert main(words[1:]) == 0 and len(read_frames(out)) == len(GREYS)


# ---- mistakes ----


def test_wrong_films_are_refused_before_the_run_is_opened(
    run: LoadedRun, clip: Path, tmp_path: Path, read_error: ErrorReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it opened the run"))
    photo, wish = save_picture(tmp_path / "me.png"), ("--attribute", "Male=1")
    other = Path(shutil.copy(clip, clip.with_name("other.gif")))
    for arguments, reasons in (
        ((clip, other, *wish), ["talk.gif, " + str(other) + ": one film at a time"]),
        ((clip, photo, *wish), ["a film is edited alone"]),
        ((clip.with_name("tlk.gif"), *wish), ["tlk.gif: no such file, did you mean 'talk.gif'?"]),
        ((clip, *wish, "--out", "out.avi"), ["--out out.avi: expected a file that ends in .gif or .mp4"]),
        (
            (clip, *wish, "--layout", photo, "--seed", 1, "--seed", 2, "--segmentation", "--film", "x.gif"),
            ["--layout: a film", "--segmentation: the result", "--film: the result", "--seed: a film is edited in one"],
        ),
        ((photo, *wish, "--resume"), ["--resume has no effect without several photos or a film"]),
        ((photo, *wish, "--out", "x.mp4"), ["photos are saved in a folder"]),
        ((photo, "--drive", photo), ["--drive", "expected a film: .gif"]),
        ((clip, "--drive", other), ["a film drives one photo"]),
        ((clip, "--grid"), ["--grid shows photos, and this is a film"]),
    ):  # fmt: skip
        error = read_error("edit", run.path, *arguments)
        assert all(reason in error for reason in reasons), error
        assert len(error.strip().splitlines()) == len(reasons) or "--drive" in reasons, error
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = read_error("edit", run.path, shutil.copy(clip, tmp_path / "talk.mov"), *wish)
    assert "talk.mov: reading it needs ffmpeg: pip install 'zoogan[film]'" in error and "--out edits/talk" in error


def test_unreadable_films_are_refused(run: LoadedRun, tmp_path: Path, read_error: ErrorReader) -> None:
    for name in ("broken.gif", "broken.mp4"):
        path = tmp_path / name
        path.write_text("no film")
        error = read_error("edit", run.path, path, "--attribute", "Male=1", "--out", tmp_path / "out.gif")
        assert f"{path}: not a film that can be read" in error and len(error.strip().splitlines()) == 1
    sound = tmp_path / "sound.mp4"
    subprocess.run(
        [find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.1", str(sound)], check=True
    )  # fmt: skip
    assert "not a film that can be read" in read_error("edit", run.path, sound, "--attribute", "Male=1")


def test_runs_that_edit_no_photos_refuse_films(
    run: LoadedRun, clip: Path, read_error: ErrorReader, tmp_path: Path
) -> None:
    photo = save_picture(tmp_path / "me.png")
    run.editor.takes_drive = False
    assert "--drive: this run does not re-enact faces" in read_error("edit", run.path, photo, "--drive", clip)
    run.editor.needs_layout = True
    assert "a film has none" in read_error("edit", run.path, clip, "--attribute", "Male=1")
    run.editor.needs_layout, run.editor.can_sample = False, True
    assert "edits no films" in read_error("edit", run.path, clip, "--attribute", "Male=1")
