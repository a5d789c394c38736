"""`zoo invert` and `run.invert`: the latents of photos, what is kept of them, and a person's mistakes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoogan
from support.pictures import save_picture
from support.toy_faces import ROWS, SIZE, STYLE, fill_noise_and_mean, make_toy_axes, make_toy_editor
from zoogan.auxiliary import image_distance
from zoogan.auxiliary.image_distance import L1, choose_image_distance
from zoogan.cli import main
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import Inversion, invert_photos
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.interfaces import Unavailable
from zoogan.interfaces.synthesis import collect_noise
from zoogan.pictures.photo import quantize_image, save_image
from zoogan.runs.latents import read_tagged_tensors
from zoogan.runs.loaded import LoadedRun
from zoogan.terminal.progress import Display

pytestmark = pytest.mark.slow

Says = Callable[..., str]


@pytest.fixture(scope="module")
def loaded(stylegan2_run: Path) -> LoadedRun:
    return zoogan.load(stylegan2_run)


@pytest.fixture(scope="module")
def photos(loaded: LoadedRun, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two faces that the run itself can make, as files."""
    folder = tmp_path_factory.mktemp("photos")
    for k, image in enumerate(loaded.sample(2, seed=40).image):
        save_image(image, folder / f"me{k}.png")
    return [folder / "me0.png", folder / "me1.png"]


def inverted(run: Path, photos: list[Path], out: Path, *options: str) -> int:
    """`zoo invert`, on the CPU. Returns the exit code."""
    return main(["invert", str(run), *map(str, photos), "--out", str(out), "--device", "cpu", *options])


# ---- what is found ----


def test_inversion_finds_a_generated_face(loaded: LoadedRun) -> None:
    latents = loaded.synthesis_editor.draw_latents(
        [41, 1]
    )  # for others, networks that learnt so little have valleys on the way
    wanted = loaded.synthesis_editor.synthesise(latents).image
    found = loaded.invert(wanted, iterations=60, mean_of=200, noise="fixed", space="w")
    assert found.image.shape == wanted.shape and found.iterations == 60 and found.likeness == "L1 over scales"
    assert bool((found.loss < 0.2 * found.mean_loss).all()), (found.loss, found.mean_loss)
    torch.testing.assert_close(found.loss, L1.distance(found.image, wanted))
    assert set(found.extras) == {"latents"} and found.extras["latents"].shape == latents.shape
    assert torch.equal(found.extras["latents"][:, :1].expand_as(latents), found.extras["latents"]), "one latent"
    torch.testing.assert_close(loaded.synthesis_editor.synthesise(found.extras["latents"]).image, found.image)


def test_inversion_finds_w_plus_and_noise(loaded: LoadedRun) -> None:
    wanted = loaded.sample(1, seed=41).image
    found = loaded.invert(wanted, iterations=12, mean_of=20)
    latents, maps = found.extras["latents"], collect_noise(found.extras) or []
    assert latents.shape == (1, ROWS, STYLE) and not torch.equal(latents[:, 0], latents[:, 1])
    torch.testing.assert_close(loaded.synthesis_editor.synthesise(latents, maps).image, found.image)
    assert [tuple(level.shape[2:]) for level in maps] == [
        tuple(s) for s in loaded.synthesis_editor.generator.noise_sizes
    ]
    for level in maps:
        torch.testing.assert_close(level.mean((1, 2, 3)), torch.zeros(1), atol=1e-4, rtol=0)
        torch.testing.assert_close(level.square().mean((1, 2, 3)), torch.ones(1), atol=1e-3, rtol=0)
    drawn = loaded.invert(wanted, iterations=1, mean_of=20)  # the first step has length 0
    assert found.loss < drawn.loss and not torch.equal(maps[0], drawn.extras["noise_0"])


def test_noise_norm_weight_bounds_noise(loaded: LoadedRun) -> None:
    """Instead of being scaled to variance 1, which would undo it."""
    wanted = loaded.sample(1, seed=41).image
    held = [loaded.invert(wanted, iterations=6, mean_of=20, noise_weight=0, noise_norm_weight=w) for w in (0.0, 1e4)]
    free, near = (torch.stack([m.square().mean() for m in collect_noise(found.extras) or []]) for found in held)
    torch.testing.assert_close(free, torch.ones_like(free), atol=1e-3, rtol=0)
    assert near.max() < 0.8


@pytest.fixture(scope="module")
def toy() -> SynthesisEditor:
    """Faces whose colours are linear in w."""
    return make_toy_editor(make_toy_axes())


def found_by(toy: SynthesisEditor, image: Tensor, seed: int = 0, **settings: Any) -> Inversion:
    config = InversionConfig(**{"iterations": 40, "mean_of": 200, **settings})
    return invert_photos(toy, image, L1, config, seed=seed)


def test_inversion_depends_on_photo_and_seed_only(toy: SynthesisEditor) -> None:
    two = toy.sample([40, 41]).image
    together, again, alone = found_by(toy, two), found_by(toy, two), found_by(toy, two[1:])
    assert torch.equal(together.extras["latents"], again.extras["latents"])
    assert bool((together.loss < 0.1 * together.mean_loss).all())
    torch.testing.assert_close(alone.extras["latents"], together.extras["latents"][1:], atol=1e-4, rtol=1e-3)
    assert torch.equal(together.select(1).image, together.image[1:]) and together.select(1).loss == together.loss[1]
    assert not torch.equal(found_by(toy, two, seed=1).extras["latents"], together.extras["latents"])


def test_pixel_and_mean_weights_take_effect(toy: SynthesisEditor) -> None:
    wanted = toy.sample([40]).image
    far, near = found_by(toy, wanted), found_by(toy, wanted, mean_weight=1000.0)
    start = found_by(toy, wanted, iterations=1).extras["latents"]  # the first step has length 0
    assert (near.extras["latents"] - start).norm() < 0.2 * (far.extras["latents"] - start).norm()
    assert not torch.equal(found_by(toy, wanted, pixel_weight=10.0).extras["latents"], far.extras["latents"])


# ---- files ----


def test_latent_file_reproduces_the_face(
    stylegan2_run: Path, photos: list[Path], loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    assert inverted(stylegan2_run, photos, out, "--iterations", "12", "--seed", "3") == 0
    said = capsys.readouterr()
    assert "note: faces are compared by L1 over scales: LPIPS needs faces of 32 pixels or more" in said.err
    assert "(the mean face: " in said.out and str(out / "me1-latent.safetensors") in said.out
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"me{k}{ending}" for k in (0, 1) for ending in ("-inverted.png", "-latent.safetensors")
    )
    found = loaded.invert(photos, iterations=12, seed=3)
    for k in (0, 1):
        picture = torch.from_numpy(np.array(Image.open(out / f"me{k}-inverted.png"))).permute(2, 0, 1)
        assert torch.equal(picture, quantize_image(found.image[k]))
    back = loaded.edit([out / "me0-latent.safetensors", out / "me1-latent.safetensors"])
    torch.testing.assert_close(back.image, found.image, atol=1e-6, rtol=0)
    tensors, facts = read_tagged_tensors(out / "me1-latent.safetensors", "zoogan latent 1", "latent")
    assert tensors["latents"].shape == (ROWS, STYLE) and tensors["noise_0"].shape == (1, 4, 4)
    assert facts["photo"] == "me1.png" and facts["iterations"] == "12" and facts["likeness"] == "L1 over scales"
    assert float(facts["loss"]) == pytest.approx(float(found.loss[1]), rel=1e-4)


def test_latent_of_another_run_is_refused(
    stylegan2_run: Path, sagan_run: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = shutil.copytree(stylegan2_run, tmp_path / "other"), tmp_path / "found"
    fill_noise_and_mean(other, 0.4)
    assert inverted(other, photos[:1], out, "--iterations", "1") == 0
    latent, torn, plain = out / "me0-latent.safetensors", out / "torn.safetensors", tmp_path / "plain.safetensors"
    torn.write_bytes(latent.read_bytes()[:200])
    plain.write_bytes((other / "model/generator.safetensors").read_bytes())
    capsys.readouterr()
    files = [latent, torn, plain, out / "me1-latent.safetensors"]
    with pytest.raises(ConfigError) as told:
        zoogan.load(stylegan2_run).edit(files)
    lines = str(told.value).splitlines()
    assert len(lines) == 4, "all of them at once"
    assert "meant for another generator" in lines[0] and "`zoo invert` finds one anew" in lines[0]
    assert "damaged" in lines[1] and "not a file of a latent" in lines[2]
    assert "no such file, did you mean 'me0-latent.safetensors'?" in lines[3]
    for run in (stylegan2_run, sagan_run):
        capsys.readouterr()
        assert main(["edit", str(run), str(latent), "--attribute", "Eyeglasses=1", "--out", str(tmp_path / "no")]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and not (tmp_path / "no").exists()
    assert "a latent is for a run that makes faces, and this one edits photos" in said


def test_latents_of_other_runs_are_not_replaced(
    stylegan2_run: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same photo with two runs, from one working folder."""
    monkeypatch.chdir(tmp_path)
    one, other = (shutil.copytree(stylegan2_run, tmp_path / name) for name in ("one", "other"))
    fill_noise_and_mean(other, 0.4)
    short = [str(photos[0]), "--device", "cpu", "--iterations", "1"]
    for run in (one, other):
        assert main(["invert", str(run), *short]) == 0
        assert str(run / "inversions/me0-latent.safetensors") in capsys.readouterr().out
        zoogan.load(run).edit(run / "inversions/me0-latent.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]

    shared = tmp_path / "shared"
    for _ in range(2):  # one's own may be replaced
        assert main(["invert", str(one), *short, "--out", str(shared)]) == 0
    kept = {path.name: path.read_bytes() for path in shared.iterdir()}
    (shared / "me1-latent.safetensors").write_bytes(b"notes")
    monkeypatch.setattr("zoogan.workflows.invert.invert_in_batches", lambda *_, **__: pytest.fail("it searched first"))
    capsys.readouterr()
    assert main(["invert", str(other), str(photos[1]), *short, "--out", str(shared)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2, "all of them at once"
    assert "me1-latent.safetensors: damaged" in lines[0] and "choose another --out" in lines[0]
    assert "me0-latent.safetensors: holds a latent for another generator" in lines[1] and "another --out" in lines[1]
    assert {name: (shared / name).read_bytes() for name in kept} == kept


def test_ctrl_c_saves_finished_latents(
    stylegan2_run: Path,
    photos: list[Path],
    loaded: LoadedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    advance = Display.advance

    def interrupted(self: Display, iteration: int) -> None:
        advance(self, iteration)
        if iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Display, "advance", interrupted)
    monkeypatch.setattr("zoogan.workflows.invert.BATCH", 1)
    assert inverted(stylegan2_run, photos, tmp_path / "found", "--iterations", "50") == 130
    said = capsys.readouterr().out
    assert f"stopped after 3 iterations; the results so far are saved; nothing yet of {photos[1]}" in said
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "me0-inverted.png",
        "me0-latent.safetensors",
    ]
    assert loaded.edit(tmp_path / "found/me0-latent.safetensors").image.shape == (1, 3, SIZE, SIZE)
    assert signal.getsignal(signal.SIGINT) == before


# ---- what tells how like a photo a face is ----


def test_lpips_is_used_if_weights_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lpips")
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(tmp_path))
    absent = choose_image_distance("auto", 32, "cpu")
    assert absent.name == L1.name and "vgg16" in absent.note and choose_image_distance("l1", 32, "cpu").note == ""
    with pytest.raises(Unavailable, match="put vgg16"):
        choose_image_distance("lpips", 32, "cpu")
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"another network")
    with pytest.raises(Unavailable, match="not the AlexNet weights"):
        choose_image_distance("lpips", 32, "cpu")

    seen: list[tuple[int, ...]] = []

    def network(one: Tensor, other: Tensor) -> Tensor:
        seen.append(tuple(one.shape))
        return (one - other).square().mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr(image_distance, "find_weight_file", lambda *_: tmp_path)
    monkeypatch.setattr(image_distance, "open_lpips", lambda *_: network)
    chosen = choose_image_distance("auto", 512, "cpu")
    assert chosen.name == "LPIPS (AlexNet)" and not chosen.note
    distance = chosen.distance(torch.zeros(2, 3, 512, 512), torch.ones(2, 3, 512, 512))
    torch.testing.assert_close(distance, torch.ones(2))
    assert seen == [(2, 3, 256, 256)], "large faces are looked at in 256 pixels"


# ---- mistakes ----


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Says:
    """What `zoo invert RUN PHOTO` says to a mistake; that nothing was written besides."""

    def said(run: Path, *options: str, photo: Path | None = None) -> str:
        capsys.readouterr()
        photo = photo or save_picture(tmp_path / "me.png")
        assert inverted(run, [photo], tmp_path / "none", *options) == 2
        told = capsys.readouterr()
        assert "Traceback" not in told.err and not told.out and not (tmp_path / "none").exists()
        return told.err

    return said


def test_invert_mistakes_are_reported_at_once(
    stylegan2_run: Path, sagan_run: Path, refused: Says, tmp_path: Path
) -> None:
    said = refused(stylegan2_run, "--space", "w++", "--noise", "fixd", "--likeness", "lpip", "--iterations", "0")
    assert len(said.strip().splitlines()) == 4
    assert "did you mean 'fixed'?" in said and "did you mean 'lpips'?" in said and "expected 1 or more" in said
    assert "use `zoo edit`" in refused(sagan_run)
    assert "did you mean 'me.png'?" in refused(stylegan2_run, photo=tmp_path / "mee.png")
    assert "LPIPS needs faces of 32 pixels or more" in refused(stylegan2_run, "--likeness", "lpips")


def test_python_mistakes_raise_clear_errors(loaded: LoadedRun) -> None:
    image = loaded.sample(1).image
    with pytest.raises(ConfigError, match=r"iterations: .*greater than or equal to 1") as told:
        loaded.invert(image, iterations=0, spaces="w")
    assert "spaces: no such setting, did you mean 'space'?" in str(told.value)
    with pytest.raises(ConfigError, match="expected floats of shape"):
        loaded.invert(image[..., :8])
    with pytest.raises(ConfigError, match="LPIPS needs faces of 32"):
        loaded.invert(image, likeness="lpips")


def test_fixture_noise_changes_images(stylegan2_run: Path) -> None:
    """Or the tests above would pass where noise does nothing."""
    loaded = zoogan.load(stylegan2_run)
    latents = loaded.synthesis_editor.draw_latents([1, 1])
    image = loaded.synthesis_editor.synthesise(latents, loaded.synthesis_editor.draw_noise([1, 2])).image
    assert (image[0] - image[1]).abs().mean() > 0.01
