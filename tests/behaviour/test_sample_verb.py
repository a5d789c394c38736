"""`zoo sample` and `run.sample`: faces from seeds, mixed, truncated, filmed, and a person's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.runs import make_set_options, tiny_run
from support.toy_faces import ROWS, SIZE, STYLE
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.film import SHARES
from zoogan.pictures.photo import quantize_image
from zoogan.pictures.sheet import LEGIBLE
from zoogan.runs.loaded import LoadedRun

Says = Callable[..., str]
CELL = LEGIBLE + 4  # a face enlarged to what can be looked at, and the gutter


@pytest.fixture(scope="module")
def loaded(stylegan2_run: Path) -> LoadedRun:
    return zoogan.load(stylegan2_run)


@pytest.fixture
def sampled(stylegan2_run: Path, tmp_path: Path) -> Callable[..., np.ndarray]:
    """The picture of `zoo sample`."""

    def picture(*options: str) -> np.ndarray:
        out = tmp_path / f"faces-{len(list(tmp_path.iterdir()))}.png"
        assert main(["sample", str(stylegan2_run), "--out", str(out), "--device", "cpu", *options]) == 0
        return np.asarray(Image.open(out))

    return picture


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Says:
    """What `zoo sample RUN` says to a mistake; that nothing was written besides."""
    monkeypatch.chdir(tmp_path)

    def said(run: Path, *options: str) -> str:
        capsys.readouterr()
        before = sorted(tmp_path.iterdir())
        assert main(["sample", str(run), "--device", "cpu", *options]) == 2
        told = capsys.readouterr()
        assert "Traceback" not in told.err and not told.out and sorted(tmp_path.iterdir()) == before
        return told.err

    return said


def face_of(cell: np.ndarray) -> torch.Tensor:
    """An enlarged face at its own size, (3, s, s) as bytes."""
    zoom = LEGIBLE // SIZE
    return torch.from_numpy(cell[::zoom, ::zoom].copy()).permute(2, 0, 1)


def cells(sheet: np.ndarray, rows: int, columns: int) -> list[list[torch.Tensor]]:
    """The faces of a sheet whose captions stand above its first row."""
    top = sheet.shape[0] - rows * CELL
    return [
        [face_of(sheet[top + i * CELL :, 4 + j * CELL :][:LEGIBLE, :LEGIBLE]) for j in range(columns)]
        for i in range(rows)
    ]


# ---- faces ----


def test_sample_depends_only_on_its_seed(loaded: LoadedRun) -> None:
    many = loaded.sample(20, seed=3)
    assert many.image.shape == (20, 3, SIZE, SIZE) and many.image.abs().max() <= 1
    assert many.extras["latents"].shape == (20, ROWS, STYLE)
    for seed in (3, 7, 22):  # in batches of 16, then alone
        one = loaded.sample(seed=seed)
        torch.testing.assert_close(one.image, many.image[seed - 3 : seed - 2], atol=1e-5, rtol=0)
        assert torch.equal(one.extras["noise_2"], many.extras["noise_2"][seed - 3 : seed - 2])
    assert len({bytes(quantize_image(image).numpy()) for image in many.image}) == 20


def test_truncation_moves_from_mean_to_sample(loaded: LoadedRun) -> None:
    drawn = loaded.sample(3)
    assert torch.equal(loaded.sample(3, truncation=1.0).image, drawn.image)
    mean = loaded.sample(3, truncation=0.0).extras["latents"]
    assert torch.equal(mean, loaded.synthesis_editor.mean_latent.expand_as(mean))
    half = loaded.sample(3, truncation=0.5, cutoff=2).extras["latents"]
    assert torch.equal(half[:, 2:], drawn.extras["latents"][:, 2:])
    torch.testing.assert_close(half[:, :2], mean[:, :2].lerp(drawn.extras["latents"][:, :2], 0.5))
    assert torch.equal(loaded.sample(3, truncation=0.5, cutoff=ROWS).image, loaded.sample(3, truncation=0.5).image)


def test_zoo_sample_writes_one_sheet(
    sampled: Callable[..., np.ndarray], loaded: LoadedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = sampled("-n", "3", "--seed", "5")  # two rows, with a blank at the end, each below its captions
    assert sheet.shape[1] == 4 + 2 * CELL
    height = sheet.shape[0] // 2
    wanted = quantize_image(loaded.sample(3, seed=5).image)
    for k in range(3):
        strip = sheet[k // 2 * height :][:height]
        assert torch.equal(cells(strip, 1, 2)[0][k % 2], wanted[k])
        assert (strip[: height - CELL] < 128).any(), "a caption"
    assert (sheet[height:, 4 + CELL :] == 255).all(), "a blank cell without a caption"
    assert "faces-0.png" in capsys.readouterr().out


def test_zoo_sample_folder_has_faces_and_latents(
    stylegan2_run: Path, tmp_path: Path, loaded: LoadedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "singles"
    options = ["-n", "18", "--seed", "7", "--truncation", "0.7", "--out", str(out), "--device", "cpu"]
    assert main(["sample", str(stylegan2_run), *options]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 36
    wanted = {f"seed-{k}{ending}" for k in range(7, 25) for ending in (".png", "-latent.safetensors")}
    assert {path.name for path in out.iterdir()} == wanted
    made = loaded.sample(18, seed=7, truncation=0.7)
    pixels = torch.from_numpy(np.array(Image.open(out / "seed-24.png"))).permute(2, 0, 1)
    assert torch.equal(pixels, quantize_image(made.image[17]))
    back = loaded.edit([out / "seed-7-latent.safetensors", out / "seed-24-latent.safetensors"])
    torch.testing.assert_close(back.image, made.image[[0, 17]], atol=1e-5, rtol=0)


def test_mixing_table_combines_coarse_and_fine_rows(sampled: Callable[..., np.ndarray], loaded: LoadedRun) -> None:
    sheet = sampled("-n", "2", "--seed", "4", "--mix", "30", "--mix", "31", "--mix", "32", "--cut", "2")
    assert sheet.shape[1] == 4 + 4 * CELL
    table = cells(sheet, 3, 4)
    left, top = loaded.synthesis_editor.draw_latents([4, 5]), loaded.synthesis_editor.draw_latents([30, 31, 32])
    assert bool((table[0][0] == 255).all())
    for i in range(2):
        assert torch.equal(
            table[i + 1][0], quantize_image(loaded.synthesis_editor.synthesise(left[i : i + 1]).image)[0]
        )
        for j in range(3):
            by_hand = torch.cat([left[i, :2], top[j, 2:]])
            near = quantize_image(loaded.synthesis_editor.synthesise(by_hand[None]).image)[0]
            assert (table[i + 1][j + 1].int() - near.int()).abs().max() <= 1
            assert torch.equal(table[0][j + 1], quantize_image(loaded.synthesis_editor.synthesise(top).image)[j])


@pytest.mark.slow
def test_sample_film_visits_faces_and_returns(stylegan2_run: Path, tmp_path: Path) -> None:
    film = tmp_path / "films/walk.gif"
    assert main(["sample", str(stylegan2_run), "-n", "2", "--film", str(film), "--device", "cpu"]) == 0
    with Image.open(film) as picture:
        assert picture.size == (LEGIBLE, LEGIBLE)
        milliseconds, first = 0, np.asarray(picture.convert("RGB"), dtype=int)
        for k in range(picture.n_frames):
            picture.seek(k)
            milliseconds += picture.info["duration"]
        last = np.asarray(picture.convert("RGB"), dtype=int)
    assert abs(milliseconds / (2 * len(SHARES) * 1000 / 30) - 1) < 0.12
    assert np.abs(first - last).mean() < 8, "it ends where it began, but for the palette"


def test_latent_frames_ease_in_and_out() -> None:
    from zoogan.pictures.film import make_latent_frames

    latents = [torch.zeros(1, 1, 1), torch.ones(1, 1, 1), -torch.ones(1, 1, 1)]
    frames = list(make_latent_frames(latents, lambda one: one[..., None].expand(1, 3, 2, 2)))
    shades = [int(frame[0, 0, 0]) for frame in frames]
    assert len(frames) == 2 * len(SHARES) and frames[0].shape == (3, 2, 2)
    assert shades[0] == 128 and shades[30] == 255 and shades[-1] == 0
    assert shades[:31] == sorted(shades[:31]) and shades[31:] == sorted(shades[31:], reverse=True)


# ---- mistakes ----


def test_zoo_sample_refuses_photo_editors(sagan_run: Path, refused: Says) -> None:
    assert "this run edits photos and makes no faces of its own; use `zoo edit`" in refused(sagan_run)
    with pytest.raises(ConfigError, match="use `zoo edit`"):
        zoogan.load(sagan_run).sample(2)


def test_sample_numbers_out_of_range_are_reported(stylegan2_run: Path, refused: Says) -> None:
    said = refused(stylegan2_run, "-n", "0", "--truncation", "1.5", "--cutoff", "7", "--mix", "1", "--cut", "6")
    assert len(said.strip().splitlines()) == 4
    assert "-n 0: expected 1 faces or more" in said and "--truncation 1.5: expected a share from 0" in said
    assert f"--cutoff 7: expected a number of rows from 0 to {ROWS}" in said
    assert f"--cut 6: expected a row from 1 to {ROWS - 1}" in said
    assert "--cutoff has no effect without --truncation: add --truncation NUMBER" in refused(
        stylegan2_run, "--cutoff", "2"
    )
    assert "-n 1: expected 2 faces or more" in refused(stylegan2_run, "-n", "1", "--film", "x.gif")


def test_contradicting_sample_options_are_reported(stylegan2_run: Path, refused: Says, tmp_path: Path) -> None:
    said = refused(stylegan2_run, "--film", "x.avi", "--mix", "1", "--out", "folder")
    assert len(said.strip().splitlines()) == 4
    assert "leave one of them out" in said and "leave --out out" in said and "ends in .gif or .mp4" in said
    assert "--out folder: --mix makes one picture" in said
    assert "--cut has no effect without --mix: add --mix SEED" in refused(stylegan2_run, "--cut", "2")
    assert "films are made by --film" in refused(stylegan2_run, "--out", "x.gif")
    assert "not a run" in refused(tmp_path / "nowhere")


def test_python_mistakes_raise_clear_errors(loaded: LoadedRun) -> None:
    for options, expected in (
        ({"n": 0}, "expected one face or more"),
        ({"truncation": -0.1}, "a share from 0 to 1, got -0.1"),
        ({"truncation": 0.5, "cutoff": -1}, "from 0 to 6, got -1"),
    ):
        with pytest.raises(ConfigError, match=expected):
            loaded.sample(**options)
    latents = loaded.synthesis_editor.draw_latents([1, 2])
    for cut in (0, ROWS):
        with pytest.raises(ValueError, match="from 1 to 5, got"):
            loaded.synthesis_editor.mix_latents(latents, latents, cut)


# ---- what training says ----


@pytest.mark.slow
def test_generator_training_suggests_sampling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = tmp_path / "run", tmp_path / "one"
    assert tiny_run("stylegan2", run, *make_set_options(["generator.noise=false"]), iterations=1) == 0
    said = capsys.readouterr().out
    assert f"zoo sample {run}" in said and f"zoo direction {run} --attribute NAME" in said
    assert "PHOTO" not in said and "edit error" not in said
    assert main(["sample", str(run), "-n", "1", "--out", str(out), "--device", "cpu"]) == 0
    loaded = zoogan.load(run)
    torch.testing.assert_close(loaded.edit(out / "seed-0-latent.safetensors").image, loaded.sample().image)
    assert set(loaded.invert(loaded.sample(seed=3).image, iterations=2).extras) == {"latents"}


def test_sheet_of_generated_faces(stylegan2_run: Path, tmp_path: Path) -> None:
    assert main(["edit", str(stylegan2_run), "--grid", "--out", str(tmp_path / "grid.png")]) == 0
    assert Image.open(tmp_path / "grid.png").size[0] == 4 + 8 * CELL
