"""Generators tuned to a photo: nearer to it, kept beside its latent, and used by its edits alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import zoogan
from support.part_runs import ErrorReader, write_part_run
from support.pictures import make_pixels, read_pictures, save_picture
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.runs.loaded import LoadedRun

pytestmark = pytest.mark.slow


def test_method_config_sets_inversion_defaults(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path
) -> None:
    assert (
        loaded_part_run.synthesis_editor.inversion.iterations == 5
        and loaded_part_run.synthesis_editor.inversion.noise == "fixed"
    )
    assert loaded_part_run.synthesis_editor.inversion.mean_weight == 1.0, (
        "what the config does not name is the method's own"
    )
    assert set(loaded_part_run.invert(loaded_part_run.sample().image).extras) == {"latents"}
    old = write_part_run(tmp_path / "old")
    config = yaml.safe_load((old / "config.yaml").read_text())
    del config["inversion"]
    (old / "config.yaml").write_text(yaml.safe_dump(config))
    assert zoogan.load(old).synthesis_editor.inversion.iterations == 400


@pytest.mark.parametrize("kind", ["parts", "whole"])
def test_tuning_improves_photo_and_keeps_the_run(kind: str, untrained_part_run: Path, stylegan2_run: Path) -> None:
    run = untrained_part_run if kind == "parts" else stylegan2_run
    loaded = zoogan.load(run)
    before = {name: value.clone() for name, value in loaded.networks.state_dict().items()}
    photos = loaded.sample(2, seed=30).image
    counted: list[int] = []
    settings = {"iterations": 5, "mean_of": 50, "tune": True, "tune_iterations": 15, "tune_lr": 0.003}
    found = loaded.invert(photos, watch=lambda done, terms: counted.append(done) is not None, **settings)
    assert found.pivot_loss is not None and bool((found.loss < 0.95 * found.pivot_loss).all())
    assert counted == list(range(1, 21))
    untuned = loaded.invert(photos, **(settings | {"tune": False}))
    assert torch.equal(untuned.extras["latents"], found.extras["latents"]) and untuned.generator is None
    torch.testing.assert_close(untuned.loss, found.pivot_loss)
    after = loaded.networks.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(weight.requires_grad for weight in loaded.networks.parameters())
    assert torch.equal(loaded.edit(found).image, found.image), "an edit uses the tuned one"
    again = loaded.edit(loaded.edit(found))
    assert torch.equal(again.image, found.image) and again.generator is found.generator, "and an edit of an edit"
    torch.testing.assert_close(loaded.edit(found.select(1)).image, found.image[1:], atol=1e-5, rtol=0)


def tune(run: Path, photo: Path, out: Path, iterations: int = 4) -> int:
    """`zoo invert --tune`, on the CPU. Returns the exit code."""
    tuning = ["--iterations", "3", "--tune", "--tune-iterations", str(iterations)]
    return main(["invert", str(run), str(photo), *tuning, "--out", str(out), "--device", "cpu"])


def test_edits_use_the_tuned_generator(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {path.name: path.read_bytes() for path in (untrained_part_run / "model").iterdir()}
    photo, out = save_picture(tmp_path / "me.png"), tmp_path / "found"
    assert tune(untrained_part_run, photo, out) == 0
    assert ", tuned 0." in capsys.readouterr().out
    names = ["me-generator.safetensors", "me-inverted.png", "me-latent.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert {path.name: path.read_bytes() for path in (untrained_part_run / "model").iterdir()} == model
    found = loaded_part_run.invert(photo, iterations=3, tune=True, tune_iterations=4)
    untuned = loaded_part_run.invert(photo, iterations=3)
    own, other = (loaded_part_run.edit(face, part="hair", from_seed=7) for face in (found, untuned))
    file = out / "me-latent.safetensors"
    back = zoogan.load(untrained_part_run).edit(file, part="hair", from_seed=7)
    assert torch.equal(back.image, own.image) and not torch.equal(back.image, other.image)
    edits = ["--part", "hair", "--from-seed", "7", "--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(untrained_part_run), str(file), *edits]) == 0
    assert np.array_equal(read_pictures(tmp_path / "edits")["me-edited.png"], make_pixels(own.image))
    two = tmp_path / "two"
    assert tune(untrained_part_run, save_picture(tmp_path / "he.png"), two) == 0
    with pytest.raises(ConfigError, match="not all of these latents have the same generator: edit them one by one"):
        loaded_part_run.edit([file, two / "he-latent.safetensors"], part="hair", from_seed=7)


def test_mismatched_tuned_generators_are_refused(
    untrained_part_run: Path, tmp_path: Path, read_error: ErrorReader
) -> None:
    photo, own, others = save_picture(tmp_path / "me.png"), tmp_path / "own", tmp_path / "others"
    other = write_part_run(tmp_path / "other", seed=1)
    assert tune(untrained_part_run, photo, own) == 0 and tune(other, photo, others) == 0
    latent, generator = own / "me-latent.safetensors", own / "me-generator.safetensors"
    edit = ("edit", untrained_part_run, latent, "--part", "hair", "--from-seed", 7)
    whole = generator.read_bytes()
    generator.write_bytes((others / generator.name).read_bytes())
    said = read_error(*edit)
    assert f"{generator}: tuned from another generator" in said and "`zoo invert --tune` makes it anew" in said
    assert tune(untrained_part_run, photo, tmp_path / "longer", 9) == 0
    generator.write_bytes((tmp_path / "longer" / generator.name).read_bytes())
    assert f"{generator}: not the generator that was tuned for this latent" in read_error(*edit)
    generator.write_bytes(whole[:100])
    assert "damaged" in read_error(*edit)
    generator.unlink()
    assert f"{generator}: no such file" in read_error(*edit)
    said = read_error("invert", untrained_part_run, photo, "--tune-iterations", "0")
    assert (
        "--tune-iterations 0: expected 1 or more" in said
        and "--tune-iterations has no effect without --tune: add --tune" in said
    )
