"""What people who know other libraries type: it works, or one sentence says what to type instead."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.pictures import save_picture
from zoogan import ConfigError, Edit, LoadedRun
from zoogan.pictures.photo import crop_photo, normalize_image, read_photo

SIZE = 32


@dataclass(frozen=True)
class Desk:
    """What a person has at hand: a run and its folder, a photo that is not square, and what its edit looks like."""

    folder: Path
    run: LoadedRun
    photo: Path
    edited: torch.Tensor

    @property
    def picture(self) -> Image.Image:
        return Image.open(self.photo)

    @property
    def pixels(self) -> np.ndarray:
        return np.asarray(self.picture)

    @property
    def square(self) -> torch.Tensor:
        """The photo as the run sees it, (1, 3, s, s) in [-1, 1]."""
        return normalize_image(crop_photo(read_photo(self.photo), self.run.facts))[None]

    def edit(self, images: Any, **options: Any) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return self.run.edit(images, Eyeglasses=1, **options).image


@pytest.fixture(scope="module")
def desk(sagan_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home = tmp_path_factory.mktemp("home")
    photo = home / "photos" / "me.png"
    save_picture(photo, size=(48, 40))
    run = zoogan.load(sagan_run)
    return Desk(sagan_run, run, photo, run.edit(photo, Eyeglasses=1).image)


# ---- photos: every form of the same photo gives the same edit ----

PHOTOS: dict[str, Callable[[Desk], Any]] = {
    "a path as text": lambda desk: str(desk.photo),
    "a path from home": lambda desk: "~/photos/me.png",
    "a PIL image": lambda desk: desk.picture,
    "a PIL image with alpha": lambda desk: desk.picture.convert("RGBA"),
    "an array (h, w, 3)": lambda desk: desk.pixels,
    "an array with alpha": lambda desk: np.asarray(desk.picture.convert("RGBA")),
    "an array that was flipped twice": lambda desk: desk.pixels[:, ::-1].copy()[:, ::-1],
    "an array of int64": lambda desk: desk.pixels.astype(np.int64),
    "an array (3, h, w)": lambda desk: desk.pixels.transpose(2, 0, 1),
    "a batch of arrays": lambda desk: desk.pixels[None],
    "a tensor (3, h, w)": lambda desk: read_photo(desk.photo),
    "a tensor (h, w, 3)": lambda desk: torch.from_numpy(desk.pixels.copy()),
    "a batch of tensors": lambda desk: read_photo(desk.photo)[None],
    "bytes": lambda desk: desk.photo.read_bytes(),
    "BytesIO": lambda desk: io.BytesIO(desk.photo.read_bytes()),
    "a list": lambda desk: [desk.picture],
    "a tuple": lambda desk: (desk.pixels,),
    "a folder": lambda desk: desk.photo.parent,
    "a pattern": lambda desk: str(desk.photo.parent / "*.png"),
    "Path.glob": lambda desk: desk.photo.parent.glob("*.png"),
    "floats in [-1, 1]": lambda desk: desk.square,
    "one face in [-1, 1]": lambda desk: desk.square[0],
    "a list of faces in [-1, 1]": lambda desk: [desk.square[0]],
    "an edit": lambda desk: Edit(desk.square),
}


@pytest.mark.parametrize("habit", PHOTOS)
def test_photo_of_any_form_gives_the_same_edit(desk: Desk, monkeypatch: pytest.MonkeyPatch, habit: str) -> None:
    monkeypatch.setenv("HOME", str(desk.photo.parents[1]))
    assert torch.equal(desk.edit(PHOTOS[habit](desk)), desk.edited)


def test_open_file_and_mixed_list_are_photos(desk: Desk) -> None:
    with desk.photo.open("rb") as file:
        assert torch.equal(desk.edit(file), desk.edited)
    mixed = [desk.photo, desk.picture, desk.pixels, desk.photo.read_bytes(), desk.square[0]]
    torch.testing.assert_close(desk.edit(mixed), desk.edited.expand(5, -1, -1, -1), rtol=0, atol=1e-5)


def test_grey_arrays_are_grey_photos(desk: Desk) -> None:
    grey = desk.picture.convert("L")
    assert torch.equal(desk.edit(np.asarray(grey)), desk.edit(grey))
    assert torch.equal(desk.edit(np.asarray(grey)[..., None]), desk.edit(grey))


def test_bytes_are_turned_by_exif(desk: Desk) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 3  # upside down
    desk.picture.rotate(180).save(file, "PNG", exif=exif)
    assert torch.equal(desk.edit(file.getvalue()), desk.edited)


@pytest.mark.parametrize("form", ["tensor", "array", "list", "photo"])
def test_floats_in_0_1_are_told_apart_with_a_warning(desk: Desk, form: str) -> None:
    zero_one = (desk.square + 1) / 2
    images: Any = {
        "tensor": zero_one,
        "array": zero_one[0].permute(1, 2, 0).numpy().astype(np.float64),
        "list": [zero_one[0]],
        "photo": desk.pixels / 255,  # not at the size of the run
    }[form]
    with pytest.warns(UserWarning, match="black is taken to be 0") as caught:
        edited = desk.run.edit(images, Eyeglasses=1).image
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    torch.testing.assert_close(edited, desk.edited, rtol=0, atol=1e-5)
    torch.testing.assert_close(desk.edit(images, value_range=(0, 1)), desk.edited, rtol=0, atol=1e-5)


def test_warning_about_the_range_is_shown_once(desk: Desk) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            desk.run.edit((desk.square + 1) / 2, Eyeglasses=1)
    assert len(caught) == 1


def test_value_range_states_the_range(desk: Desk) -> None:
    bright = desk.square.abs()
    torch.testing.assert_close(
        desk.edit(bright, value_range=(-1, 1)),
        desk.edit(255 * (bright + 1) / 2, value_range=(0, 255)),
        rtol=0,
        atol=1e-4,
    )
    assert not torch.equal(desk.edit(bright, value_range=(-1, 1)), desk.edit(bright, value_range=(0, 1)))


def test_range_is_chosen_for_all_floats_together(desk: Desk) -> None:
    """One bright face among others is no face in [0, 1]."""
    bright = desk.square[0].abs()
    both = desk.edit([desk.square[0], bright])
    torch.testing.assert_close(both[1:], desk.edit(bright, value_range=(-1, 1)), rtol=0, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[Desk], Any], str]] = {
    "an address": (lambda desk: "https://example.com/me.png", "https://example.com/me.png: zoogan reads nothing from"),
    "an address as path": (lambda desk: Path("https://example.com/me.png"), "reads nothing from the network"),
    "a wrong name": (lambda desk: desk.photo.with_name("mee.png"), "no such file, did you mean 'me.png'"),
    "an empty folder": (lambda desk: desk.photo.parents[1], "no photos in this folder"),
    "an empty pattern": (lambda desk: str(desk.photo.parent / "*.jpg"), "no file matches"),
    "an empty list": (lambda desk: [], "got an empty list"),
    "a file open as text": (lambda desk: io.StringIO("x"), "open it with mode 'rb'"),
    "bytes that are no picture": (lambda desk: b"x", "these bytes: not a picture"),
    "floats up to 255": (lambda desk: desk.pixels.astype(np.float32), "state it with value_range"),
    "integers of 16 bits": (lambda desk: desk.pixels.astype(np.uint16) * 257, "divide 16 bits by 257"),
    "a mask": (lambda desk: desk.pixels > 0, "expected bytes or floats"),
    "labels": (lambda desk: np.array(["a"]), "a photo is a path"),
    "a number": (lambda desk: 3, "got int; a photo is a path"),
    "a flat array": (lambda desk: desk.pixels.ravel(), "expected floats of shape"),
    "too small floats": (lambda desk: torch.zeros(1, 3, 8, 8), r"expected floats of shape \(n, 3, 32, 32\)"),
}


@pytest.mark.parametrize("habit", REFUSED)
def test_what_is_no_photo_is_answered_in_a_sentence(desk: Desk, habit: str) -> None:
    give, expected = REFUSED[habit]
    with pytest.raises(ConfigError, match=expected) as error:
        desk.edit(give(desk))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value_range", [(1, 0), (0, 1, 2), (0, 0)])
def test_senseless_range_is_refused(desk: Desk, value_range: Any) -> None:
    with pytest.raises(ConfigError, match="the numbers of black and white"):
        desk.edit(desk.square, value_range=value_range)


# ---- runs ----


def test_run_is_called_like_a_module(desk: Desk) -> None:
    assert torch.equal(desk.run(desk.photo, Eyeglasses=1).image, desk.edited)
    assert torch.equal(desk.run(desk.photo, Eyeglasses=True).image, desk.edited)
    assert not desk.run(desk.photo, Eyeglasses=1).image.requires_grad
    with pytest.raises(ConfigError, match="did you mean 'Eyeglasses'"):
        desk.run(desk.photo, eyeglasses=1)


def test_run_shows_attributes_and_a_short_repr(desk: Desk) -> None:
    assert desk.run.attributes == ("Eyeglasses",)
    assert repr(desk.run) == "LoadedRun(sagan, 32 px, Eyeglasses, 1 iteration, cpu)"


PATHS: dict[str, Callable[[Path], Any]] = {
    "from home": lambda folder: f"~/{folder.name}",
    "its model": lambda folder: folder / "model",
    "its config": lambda folder: folder / "config.yaml",
    "here": lambda folder: ".",
    "the model here": lambda folder: "model",
}


@pytest.mark.parametrize("habit", PATHS)
def test_run_is_found_by(desk: Desk, monkeypatch: pytest.MonkeyPatch, habit: str) -> None:
    monkeypatch.setenv("HOME", str(desk.folder.parent))
    monkeypatch.chdir(desk.folder)
    run = zoogan.load(PATHS[habit](desk.folder))
    assert run.path is not None and run.path.resolve() == desk.folder and run.path.name


def test_path_that_is_no_run_names_the_nearest(desk: Desk) -> None:
    with pytest.raises(ConfigError, match=r"not a run: there is no folder .*, did you mean 'attributes'"):
        zoogan.load(desk.folder.with_name("atributes"))
    with pytest.raises(ConfigError, match=r"no config.yaml and facts.json in it\); runs in it: attributes"):
        zoogan.load(desk.folder.parent)
    with pytest.raises(ConfigError, match=f"did you mean '{desk.folder}'"):
        zoogan.load(desk.folder / "samples")


def test_device_is_chosen_or_refused_in_a_sentence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = zoogan.load(desk.folder, device="auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for open_on in (lambda device: zoogan.load(desk.folder, device=device), run.to):
        with pytest.raises(ConfigError, match="cuda: torch finds no such device"):
            open_on("cuda")
        with pytest.raises(ConfigError, match="expected auto, cuda, mps or cpu"):
            open_on("gpu")
    moved = run.to("cpu")
    assert moved is run and torch.equal(run(desk.photo, Eyeglasses=1).image, desk.edited)


def test_moved_run_lies_on_the_device(desk: Desk) -> None:
    run = zoogan.load(desk.folder)
    assert run.to(torch.device("meta")) is run and run.device.type == "meta" and run.attributes == ("Eyeglasses",)


def test_run_that_was_trained_further_is_not_moved(sagan_copy: Path) -> None:
    run = zoogan.load(sagan_copy)
    model = sagan_copy / "model" / "config.json"
    model.write_text(model.read_text().replace('"iteration": 1', '"iteration": 2'))
    with pytest.raises(ConfigError, match="trained to iteration 2 since it was opened at 1; open it again"):
        run.to(torch.device("meta"))


def test_saved_run_loads_and_edits_the_same(desk: Desk, tmp_path: Path) -> None:
    folder = desk.run.save_pretrained(tmp_path / "saved")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "facts.json", "model/config.json", "model/generator.safetensors",
        "model/discriminator.safetensors",
    }  # fmt: skip
    again = LoadedRun.from_pretrained(folder)
    assert again.iteration == 1 and torch.equal(again(desk.photo, Eyeglasses=1).image, desk.edited)
    with pytest.raises(ConfigError, match="saved: the folder already holds a finished run"):
        desk.run.save(folder)
    with pytest.raises(ConfigError, match="opened at checkpoint 1; open its model"):
        zoogan.load(desk.folder, checkpoint=1).save(tmp_path / "other")


def test_run_is_copied_pickled_and_used_in_threads(desk: Desk) -> None:
    for run in (copy.deepcopy(desk.run), pickle.loads(pickle.dumps(desk.run))):
        assert torch.equal(run(desk.photo, Eyeglasses=1).image, desk.edited)
    results: list[torch.Tensor] = []
    threads = [
        threading.Thread(target=lambda: results.append(desk.run(desk.photo, Eyeglasses=1).image)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, desk.edited) for result in results) and len(results) == 2


def test_generator_for_samples_is_answered_by_seeds(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="generator: faces are drawn from seeds"):
        desk.run.sample(2, generator=torch.Generator())  # type: ignore[arg-type]


# ---- edits ----


@pytest.fixture(scope="module")
def edit(desk: Desk) -> Edit:
    return desk.run.edit([desk.photo, desk.square[0] * 0.5 - 0.1], Eyeglasses=1)


def test_edit_is_a_sequence_of_edits(edit: Edit) -> None:
    assert len(edit) == 2 and [len(face) for face in edit] == [1, 1]
    assert torch.equal(edit[-1].image, edit.image[1:]) and torch.equal(edit[1].extras["raw"], edit.extras["raw"][1:])
    assert edit.mask is not None and torch.equal(edit[0].mask, edit.mask[:1]) and len(edit[5:]) == 0  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="face 2 of an edit of 2"):
        edit[2]


def test_edit_has_a_short_repr(edit: Edit) -> None:
    assert repr(edit) == "Edit(2 faces, 32 px, mask, extras: residual, raw)"
    assert repr(Edit(None, segmentation=torch.zeros(1, 16, 16))) == "Edit(1 face, 16 px, segmentation)"


def test_pil_is_one_picture_as_it_is_saved(edit: Edit, tmp_path: Path) -> None:
    picture = edit[0].pil()
    assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))
    wanted = ((edit.image[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(picture), wanted)
    with pytest.raises(ValueError, match=r"2 faces: edit\[0\].pil\(\), or \[face.pil\(\) for face in edit\]"):
        edit.pil()
    assert edit[0].save(tmp_path / "new" / "me.png") == [tmp_path / "new" / "me.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "me.png")), wanted)


def test_edit_saves_one_file_a_face(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert edit.save("~/me.jpg") == [tmp_path / "me-0.jpg", tmp_path / "me-1.jpg"]
    assert edit.save(tmp_path / "faces") == [tmp_path / "faces" / "0.png", tmp_path / "faces" / "1.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "faces" / "1.png")), np.asarray(edit[1].pil()))
    with pytest.raises(ValueError, match=r"no picture ends in '.txt'; name a file such as .*me.png"):
        edit.save(tmp_path / "me.txt")


def test_segmentation_is_a_picture_that_is_a_map_again() -> None:
    numbers = torch.arange(19).repeat_interleave(19).view(1, 19, 19)
    picture = Edit(None, segmentation=numbers).pil()
    assert picture.mode == "P" and np.array_equal(np.asarray(picture), numbers[0].numpy())
    assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) == 19


def test_notebook_shows_all_faces(edit: Edit) -> None:
    shown = Image.open(io.BytesIO(edit._repr_png_()))
    assert shown.format == "PNG" and shown.size == (2 * 128 + 4, 128)
    assert np.array_equal(np.asarray(shown)[2::4, 134::4], np.asarray(edit[1].pil())), "enlarged, and in order"


# ---- the module ----


def test_module_lists_public_names_alone() -> None:
    names = dir(zoogan)
    assert {"ConfigError", "Edit", "LoadedRun", "list_methods", "load", "train", "__version__"} <= set(names)
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert not {"Any", "TYPE_CHECKING", "logging", "lazy_loader"} & set(names)
    assert Path(zoogan.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("word", ["create_model", "list_models", "from_pretrained"])
def test_word_of_another_library_names_ours(word: str) -> None:
    with pytest.raises(AttributeError, match=rf"no attribute '{word}': zoogan\.\w+\("):
        getattr(zoogan, word)


def test_torch_hub_opens_a_run(desk: Desk) -> None:
    root = Path(__file__).resolve().parents[2]
    run = torch.hub.load(str(root), "load", str(desk.folder), source="local")
    assert isinstance(run, LoadedRun) and run.path == desk.folder


def test_opening_a_run_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "zoogan.runs"):
        zoogan.load(desk.folder)
    assert [record.name for record in caplog.records] == ["zoogan.runs"] and str(desk.folder) in caplog.text
