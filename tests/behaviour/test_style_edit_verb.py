"""`zoo edit` with domains and styles: seeds, references, films and sheets, and a person's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.pictures import save_picture
from support.runs import STARGAN_V2_SIZE, make_set_options, tiny_run
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.film import SHARES, make_style_frames
from zoogan.runs.loaded import LoadedRun

pytestmark = pytest.mark.slow

Says = Callable[..., str]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_picture(tmp_path / "me.jpg", size=(60, 50))


@pytest.fixture(scope="module")
def loaded(stargan_v2_run: Path) -> LoadedRun:
    return zoogan.load(stargan_v2_run)


@pytest.fixture
def edits(stargan_v2_run: Path, photo: Path, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Edit the photo; gives the pictures that were written, by name."""

    def edited(*options: str) -> dict[str, np.ndarray]:
        out = tmp_path / f"edits-{len(list(tmp_path.iterdir()))}"
        assert main(["edit", str(stargan_v2_run), str(photo), "--crop", "--out", str(out), *options]) == 0
        return {path.stem: np.asarray(Image.open(path)) for path in sorted(out.iterdir())}

    return edited


@pytest.fixture
def refused(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Says:
    """What `zoo edit RUN me.jpg` says to a mistake; that nothing was written besides."""

    def said(run: Path, *options: str, photos: tuple[Path, ...] = (photo,)) -> str:
        capsys.readouterr()
        out = [] if "--film" in options else ["--out", str(tmp_path / "none")]  # a film has a name of its own
        assert main(["edit", str(run), *map(str, photos), *out, *options]) == 2
        told = capsys.readouterr()
        assert "Traceback" not in told.err and not told.out and not (tmp_path / "none").exists()
        return told.err

    return said


# ---- domains, seeds, references ----


def test_domain_is_given_by_name_or_attribute(edits: Callable[..., dict[str, np.ndarray]]) -> None:
    named, shown = edits("--domain", "Eyeglasses"), edits("--attribute", "Eyeglasses=1")
    assert list(named) == ["me-edited"] and named["me-edited"].shape == (STARGAN_V2_SIZE, STARGAN_V2_SIZE, 3)
    assert np.array_equal(named["me-edited"], shown["me-edited"])
    without = edits("--domain", "no_Eyeglasses")["me-edited"]
    assert np.array_equal(without, edits("--attribute", "Eyeglasses=off")["me-edited"])
    assert not np.array_equal(without, named["me-edited"])


def test_each_seed_writes_one_edit(edits: Callable[..., dict[str, np.ndarray]]) -> None:
    several = edits("--domain", "Eyeglasses", "--seed", "0", "--seed", "1", "--seed", "2")
    assert list(several) == ["me-edited-seed-0", "me-edited-seed-1", "me-edited-seed-2"]
    assert len({picture.tobytes() for picture in several.values()}) == 3
    assert np.array_equal(edits("--domain", "Eyeglasses")["me-edited"], several["me-edited-seed-0"])
    assert np.array_equal(edits("--domain", "Eyeglasses", "--seed", "2")["me-edited"], several["me-edited-seed-2"])


def test_style_truncation_moves_from_mean_to_sample(edits: Callable[..., dict[str, np.ndarray]]) -> None:
    def at(truncation: str, seed: str) -> bytes:
        return edits("--domain", "Eyeglasses", "--seed", seed, "--truncation", truncation)["me-edited"].tobytes()

    assert at("0", "1") == at("0", "2") != at("1", "1") != at("1", "2")
    assert at("1", "1") == edits("--domain", "Eyeglasses", "--seed", "1")["me-edited"].tobytes()


def test_each_reference_writes_one_edit(edits: Callable[..., dict[str, np.ndarray]], tmp_path: Path) -> None:
    she, he = save_picture(tmp_path / "refs/she.png", 30), save_picture(tmp_path / "refs/he.webp", 220)
    both = edits("--domain", "Eyeglasses", "--reference", str(she), "--reference", str(he))
    assert list(both) == ["me-edited-like-he", "me-edited-like-she"]
    assert not np.array_equal(*both.values())
    twins = [save_picture(tmp_path / folder / "same.png", value) for folder, value in (("a", 30), ("b", 220))]
    numbered = edits("--domain", "Eyeglasses", *(part for twin in twins for part in ("--reference", str(twin))))
    assert [picture.tobytes() for picture in numbered.values()] == [
        both[f"me-edited-like-{name}"].tobytes() for name in ("he", "she")
    ], "the second of a name is numbered: me-2-edited-like-same, which comes first in the folder"


def test_strength_zero_returns_the_crop(
    edits: Callable[..., dict[str, np.ndarray]], loaded: LoadedRun, photo: Path
) -> None:
    crop = ((loaded.prepare_images(photo)[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(edits("--domain", "Eyeglasses", "--strength", "0")["me-edited"], crop)


def test_style_edits_from_python(loaded: LoadedRun, photo: Path, tmp_path: Path) -> None:
    he = save_picture(tmp_path / "he.png")
    edit = loaded.edit(photo, domain="Eyeglasses", reference=he)
    assert edit.image.shape == (1, 3, STARGAN_V2_SIZE, STARGAN_V2_SIZE) and edit.mask is None
    assert torch.equal(edit.image, loaded.edit(photo, Eyeglasses=1, reference=Image.open(he)).image)
    assert torch.equal(
        edit.image, loaded.edit(photo, domain="Eyeglasses", reference=loaded.prepare_images(he), seed=9).image
    )
    pixels = np.asarray(Image.open(photo))
    assert torch.equal(edit.image, loaded.edit(pixels, domain="Eyeglasses", reference=he.read_bytes()).image)
    mean = loaded.edit(photo, domain="Eyeglasses", truncation=0.0)
    assert torch.equal(mean.image, loaded.edit(photo, domain="Eyeglasses", truncation=0.0, seed=5).image)
    assert not torch.equal(mean.image, loaded.edit(photo, domain="Eyeglasses", truncation=0.5).image)
    two = loaded.edit([photo, he], domain="Eyeglasses", reference=[he, photo])
    torch.testing.assert_close(two.image[:1], edit.image)
    with pytest.raises(ConfigError, match="truncation is for drawn styles"):
        loaded.edit(photo, domain="Eyeglasses", reference=he, truncation=0.5)
    with pytest.raises(ConfigError, match="3 references for 2 images"):
        loaded.edit([photo, he], domain="Eyeglasses", reference=[he, he, he])
    with pytest.raises(ConfigError, match="did you mean 'Eyeglasses'"):
        loaded.edit(photo, domain="Eyeglases")


# ---- mistakes ----


def test_style_edit_mistakes_are_reported(stargan_v2_run: Path, refused: Says, photo: Path, tmp_path: Path) -> None:
    domain, like = ("--domain", "Eyeglasses"), ("--reference", str(photo))
    assert "did you mean 'Eyeglasses'?; known: no_Eyeglasses, Eyeglasses" in refused(
        stargan_v2_run, "--domain", "Eyeglases"
    )
    asked = "which of no_Eyeglasses, Eyeglasses does the reference show? --domain NAME"
    assert asked in refused(stargan_v2_run, *like)
    assert "say what to show" in refused(stargan_v2_run), "neither a domain nor a reference"
    assert "Eyeglasses and no_Eyeglasses are asked for" in refused(
        stargan_v2_run, "--domain", "no_Eyeglasses", "--attribute", "Eyeglasses=1"
    )
    assert "leave one of them out" in refused(stargan_v2_run, *domain, *like, "--seed", "1")
    assert "truncation is for drawn styles" in refused(stargan_v2_run, *domain, *like, "--truncation", "0.5")
    assert "has no mask" in refused(stargan_v2_run, *domain, "--threshold", "0.5")
    assert "expected 0 or 1, got '0.5'" in refused(stargan_v2_run, "--attribute", "Eyeglasses=0.5")
    gone = refused(stargan_v2_run, *domain, "--reference", str(tmp_path / "mee.jpg"))
    assert "mee.jpg: no such file, did you mean 'me.jpg'?" in gone
    assert "no photo given" in refused(stargan_v2_run, *domain, photos=())


def test_attribute_editor_refuses_styles(sagan_run: Path, refused: Says, photo: Path) -> None:
    wish = ("--attribute", "Eyeglasses=1")
    assert "takes no style from a reference" in refused(sagan_run, *wish, "--reference", str(photo))
    assert "say what to show" in refused(sagan_run, "--reference", str(photo))
    assert "nothing to truncate" in refused(sagan_run, *wish, "--truncation", "0.5")
    assert "it knows Eyeglasses" in refused(sagan_run, "--domain", "Eyeglasses")
    film = ("--film", "x.gif", "--seed", "1", "--seed", "2")
    assert "no styles to go between" in refused(sagan_run, *wish, *film)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data.image_size=96", "needs an image size that is a power of two, at least 32, got 96"),
        ("data.image_size=16", "needs an image size that is a power of two, at least 32, got 16"),
        ("data.attributes=Eyeglasses,Smiling", "several that exclude each other such as hair colours"),
        ("generator.style_dim=7", "set them to the same number"),
        ("data.attributes=Eyeglases", "did you mean 'Eyeglasses'"),
    ],
)
def test_untrainable_settings_are_refused_before_reading_data(
    setting: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoogan.data.drawn.source import DrawnSource

    def read(*_: object) -> None:
        raise AssertionError("a face was read")

    monkeypatch.setattr(DrawnSource, "read", read)
    assert tiny_run("stargan-v2", tmp_path / "run", *make_set_options([setting])) == 2
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()


# ---- films and sheets ----


def test_style_frames_ease_in_and_out(loaded: LoadedRun) -> None:
    image, styles = torch.zeros(2, 3, 4, 4), [torch.zeros(2, 1), torch.ones(2, 1), -torch.ones(2, 1)]
    frames = list(make_style_frames(image, styles, lambda style: style[:, :, None, None].expand(2, 3, 4, 4)))
    assert len(SHARES) == 31 and len(frames) == 2 * 31
    assert all(frame.shape == (3, 8, 8) and frame.dtype == torch.uint8 for frame in frames)
    below = [int(frame[0, 4, 0]) for frame in frames]
    assert all(int(frame[0, 0, 0]) == 128 for frame in frames), "the faces stay above"
    assert below[0] == 128 and below[21:31] == [255] * 10 and below[31] == 255 and below[52:] == [0] * 10
    assert below[:31] == sorted(below[:31]) and below[31:] == sorted(below[31:], reverse=True)


def test_gif_moves_between_seeds(
    stargan_v2_run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, other = tmp_path / "films/x.gif", save_picture(tmp_path / "you.png")
    seeds = ("--seed", "1", "--seed", "2", "--seed", "3")
    faces = (str(photo), str(other))
    assert main(["edit", str(stargan_v2_run), *faces, "--domain", "Eyeglasses", *seeds, "--film", str(film)]) == 0
    assert str(film) in capsys.readouterr().out
    with Image.open(film) as picture:
        assert picture.size == (2 * STARGAN_V2_SIZE, 2 * STARGAN_V2_SIZE) and picture.n_frames > 2 * 20
        milliseconds = 0
        for k in range(picture.n_frames):  # equal frames are stored once, and shown as long
            picture.seek(k)
            milliseconds += picture.info["duration"]
    assert abs(milliseconds / (2 * 31 * 1000 / 30) - 1) < 0.12


def test_mp4_moves_between_references(stargan_v2_run: Path, photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    import imageio.v2 as imageio

    film, other = tmp_path / "x.MP4", save_picture(tmp_path / "you.png")
    references = ("--reference", str(photo), "--reference", str(other))
    assert (
        main(["edit", str(stargan_v2_run), str(photo), "--domain", "Eyeglasses", *references, "--film", str(film)]) == 0
    )
    with imageio.get_reader(film, format="FFMPEG") as reader:
        assert (
            reader.get_meta_data()["size"] == (STARGAN_V2_SIZE, 2 * STARGAN_V2_SIZE)
            and reader.get_meta_data()["fps"] == 30
        )
        assert sum(1 for _ in reader) == 31


def test_impossible_films_are_refused(
    stargan_v2_run: Path, refused: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    wish, seeds = ("--domain", "Eyeglasses"), ("--seed", "1", "--seed", "2")
    assert "ends in .gif or .mp4" in refused(stargan_v2_run, *wish, *seeds, "--film", str(tmp_path / "x.avi"))
    assert "twice or more" in refused(stargan_v2_run, *wish, "--seed", "1", "--film", str(tmp_path / "x.gif"))
    assert "twice or more" in refused(stargan_v2_run, *wish, "--film", str(tmp_path / "x.gif"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "zoogan[film]" in refused(stargan_v2_run, *wish, *seeds, "--film", str(tmp_path / "x.mp4"))
    assert not list(tmp_path.glob("x.*"))


def test_style_sheet_shows_reference_row(stargan_v2_run: Path, sagan_run: Path, tmp_path: Path) -> None:
    sizes = []
    for run in (stargan_v2_run, sagan_run):
        assert main(["edit", str(run), "--grid", "--overwrite", "--out", str(tmp_path / "grid.png")]) == 0
        sizes.append(Image.open(tmp_path / "grid.png").size)
    photo = save_picture(tmp_path / "me.png")
    assert (
        main(["edit", str(stargan_v2_run), str(photo), "--grid", "--out", str(tmp_path / "mine.png")]) == 2
    )  # no labels
    assert not (tmp_path / "mine.png").exists()
    rows = [(height - 4) // (128 + 4) for _, height in sizes]  # small faces are enlarged to 128 pixels
    assert rows == [9, 8] and sizes[0][0] == 4 + 9 * 132, "input, and two seeds and two references a domain"


def test_sheet_accepts_faces_without_domain() -> None:
    """With few held-out faces it may be that all of them are of another kind, such as grey-haired."""
    from zoogan.data.config import DrawnData
    from zoogan.data.drawn.source import DrawnSource
    from zoogan.editors.sample_grid import read_sample_faces

    rare = {"Black_Hair": 0.05, "Blond_Hair": 0.05}
    data = DrawnData(image_size=16, attributes=("Black_Hair", "Blond_Hair"), held_out=1, probabilities=rare)
    source = DrawnSource(data)
    assert source.read_domains("test").tolist() == [-1]
    assert len(read_sample_faces(source)["image"]) == 1
