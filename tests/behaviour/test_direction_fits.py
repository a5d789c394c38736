"""How directions are fitted, directions from elsewhere (`zoo direction --fit` and `--file`), and their device form."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import zoogan
from support.part_runs import ErrorReader
from support.toy_faces import ROWS, STYLE, ToyJudge, make_toy_axes, make_toy_editor
from zoogan.cli import main
from zoogan.editors.direction_fits import (
    DIRECTION_FITS,
    DirectionFit,
    fit_direction,
    fit_plane,
    make_given_direction,
    read_sampled_faces,
    sample_latents,
)
from zoogan.editors.directions import make_basis
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.testing.cuda import CUDA, HostWaitError, find_obstacle, simulate_cuda
from zoogan.workflows import fit_directions

AXES = make_toy_axes(math.radians(60))


@pytest.fixture(scope="module")
def toy() -> SynthesisEditor:
    return make_toy_editor(AXES)


@pytest.fixture(scope="module")
def readings(toy: SynthesisEditor) -> tuple[torch.Tensor, torch.Tensor]:
    return read_sampled_faces(toy, ToyJudge(), 400)


@pytest.mark.parametrize("fit", DIRECTION_FITS)
def test_every_fit_finds_the_true_direction(readings: tuple[torch.Tensor, torch.Tensor], fit: DirectionFit) -> None:
    latents, probabilities = readings
    found = fit_direction(latents, probabilities[:, 0], fit=fit)
    assert float(found.normal @ AXES[0].double()) > 0.9 and float(found.normal.norm()) == pytest.approx(1)
    assert found.facts["fit"] == fit and found.facts["accuracy"] > 0.95 and found.sides[0] < -1 < 1 < found.sides[1]
    others = [fit_direction(latents, probabilities[:, 0], fit=one).normal for one in DIRECTION_FITS if one != fit]
    assert all(float(found.normal @ other) < 1 - 1e-6 for other in others), "each fit is another one"


def test_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected logistic, svm, mean_difference"):
        fit_plane(torch.randn(40, 3), torch.arange(40) < 20, fit="ridge")  # type: ignore[arg-type]


def test_given_direction_lies_between_the_sides(readings: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, probabilities = readings
    displacements = 3 * AXES[0] + 0.1 * torch.randn(5, STYLE, generator=torch.Generator().manual_seed(0))
    found = make_given_direction(displacements, latents, probabilities[:, 0])
    fitted = fit_direction(latents, probabilities[:, 0])
    mean = displacements.double().mean(0)
    torch.testing.assert_close(found.normal, mean / mean.norm())
    assert found.facts["accuracy"] > 0.95 and found.sides == pytest.approx(fitted.sides, abs=0.3)
    assert found.sides[0] == pytest.approx(-found.sides[1])
    alone = make_given_direction(displacements, latents)
    distance = alone.measure_distance(latents[:, None])
    assert int((distance > 0).sum()) == pytest.approx(200, abs=1)
    assert alone.sides == (float(distance[distance <= 0].mean()), float(distance[distance > 0].mean()))
    assert "accuracy" not in alone.facts and "no judge reads it" in alone.facts["sides_from"]
    rare = make_given_direction(displacements, latents, probabilities[:, 2])
    assert rare.sides == alone.sides and "0 of 400 faces show it" in rare.facts["sides_from"]
    with pytest.raises(ValueError, match="cancel out"):
        make_given_direction(torch.stack([AXES[0], -AXES[0]]), latents)


def test_sampled_latents_are_those_of_the_faces(
    toy: SynthesisEditor, readings: tuple[torch.Tensor, torch.Tensor]
) -> None:
    torch.testing.assert_close(sample_latents(toy, 60, 20), readings[0][20:80])


def test_basis_moves_without_waiting(readings: tuple[torch.Tensor, torch.Tensor]) -> None:
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    latents, probabilities = readings
    known = {name: fit_direction(latents, probabilities[:, k]) for k, name in enumerate(("Red", "Green"))}
    with simulate_cuda() as mode:
        basis = make_basis(known, CUDA)
        faces = torch.zeros(4, ROWS, STYLE, device=CUDA)
        attribute, value = torch.zeros(4, dtype=torch.int64, device=CUDA), torch.ones(4, device=CUDA)
        mode.forbids_waits = True
        for move in (basis.solve_move(faces, attribute), basis.solve_move(faces, attribute, value)):
            assert move.shape == (4, STYLE) and move.is_cuda
        with pytest.raises(HostWaitError):
            known["Red"].measure_distance(faces)
    with pytest.raises(ValueError, match="one direction or more, got none"):
        make_basis({})


# ---- the verb ----


class Facts:
    source = "drawn"


class FileJudge(ToyJudge):
    """Says what it was trained on."""

    facts = Facts()


@pytest.fixture
def own_run(stylegan2_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run; a judge reads its faces if it is named, and there is none in the cache."""
    mean = zoogan.load(stylegan2_run).sample(64).image.mean((0, 2, 3))[:2].mean()
    monkeypatch.setattr("zoogan.judges.judge.load_judge", lambda path: FileJudge(-float(mean)))
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(stylegan2_run, tmp_path / "faces"))


def make_direction(run: Path, *options: object) -> int:
    return main(["direction", str(run), "-n", "200", "--device", "cpu", *map(str, options)])


@pytest.mark.slow
def test_fit_option_is_stored(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_direction(own_run, "--judge", "judge", "--attribute", "Red", "--fit", "svm") == 0
    assert "svm" in capsys.readouterr().out
    loaded = zoogan.load(own_run)
    stored = loaded.synthesis_editor.directions["Red"]
    same = fit_directions(loaded, ["Red"], judge=Path("judge"), faces=200, fit="svm").directions["Red"]
    other = fit_directions(loaded, ["Red"], judge=Path("judge"), faces=200).directions["Red"]
    assert stored.facts["fit"] == "svm" and torch.equal(stored.normal, same.normal)
    assert other.facts["fit"] == "logistic" and not torch.equal(stored.normal, other.normal)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["json", "npy"])
def test_direction_from_a_file_is_stored(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    style = len(zoogan.load(own_run).synthesis_editor.mean_latent)
    values = np.random.default_rng(0).normal(size=(3, style)) + 1
    file = tmp_path / f"masks.{suffix}"
    file.write_text(json.dumps(values.tolist())) if suffix == "json" else np.save(file, values.astype(np.float32))
    assert make_direction(own_run, "--attribute", "Face_Mask", "--file", file, "--seed", "3") == 0
    said = capsys.readouterr()
    assert "Face_Mask=1" in said.out and "no judge reads it" in said.err
    loaded = zoogan.load(own_run)
    stored = loaded.synthesis_editor.directions["Face_Mask"]
    mean = torch.from_numpy(values.mean(0))
    torch.testing.assert_close(stored.normal, mean / mean.norm(), atol=1e-6, rtol=0)
    facts = stored.facts
    assert facts["fit"] == "file" and facts["file"] == file.name and facts["displacements"] == "3"
    assert facts["seed"] == "3" and "judge" not in facts and stored.sides[0] < 0 < stored.sides[1]
    latents = sample_latents(loaded.synthesis_editor, 200, 3)
    assert int((stored.measure_distance(latents[:, None]) > 0).sum()) == pytest.approx(100, abs=1)
    assert not torch.equal(loaded.edit(loaded.sample(1), Face_Mask=1).image, loaded.sample(1).image)
    file.write_text(json.dumps(values[0].tolist())) if suffix == "json" else np.save(file, values[0])
    one = fit_directions(loaded, ["Red"], judge=Path("judge"), faces=200, file=file, conditional_on=["Face_Mask"])
    read = one.directions["Red"]
    assert read.facts["sides_from"] == "the surest readings of the judge" and "accuracy" in read.facts
    assert abs(float(read.path @ stored.normal)) < 1e-6


@pytest.mark.slow
def test_unusable_files_are_refused(own_run: Path, tmp_path: Path, read_error: ErrorReader) -> None:
    style = len(zoogan.load(own_run).synthesis_editor.mean_latent)

    def refuse(name: str, content: object = None, *options: object) -> str:
        file = tmp_path / name
        if isinstance(content, str):
            file.write_text(content)
        elif content is not None:
            np.save(file, content)
        asked = options or ("--attribute", "Red")
        return read_error("direction", own_run, "--file", file, "-n", 100, *asked)

    right = json.dumps([1.0] * style)
    assert "did you mean '.json'?" in refuse("a.jsn", right)
    assert "no such file, did you mean 'a.jsn'?" in refuse("b.json")
    assert "cannot be read as json" in refuse("c.json", "[1, 2")
    assert "got an array of shape (3,); expected" in refuse("d.json", "[1, 2, 3]")
    assert f"or (N, {style})" in refuse("e.npy", np.ones((2, 1, style)))
    assert "lists of numbers of one length" in refuse("f.json", "[[1, 2], [3]]")
    assert "got a dict" in refuse("g.json", '{"Red": [1]}')
    assert "1 values are not finite, the first at [1, 2]" in refuse(
        "h.npy", np.where(np.arange(2 * style).reshape(2, style) == style + 2, np.nan, 1.0)
    )
    assert "all values are 0" in refuse("i.npy", np.zeros(style))
    assert "cancel out" in refuse("j.npy", np.stack([np.ones(style), -np.ones(style)]))
    assert "name its attribute by one --attribute, got Red, Green" in refuse(
        "k.json", right, "--attribute", "Red", "--attribute", "Green"
    )
    assert "--fit svm has no effect with --file" in refuse("l.json", right, "--attribute", "Red", "--fit", "svm")
    assert "the judge does not read it" in refuse("m.json", right, "--attribute", "Rad", "--judge", "judge")
    said = read_error("direction", own_run, "--attribute", "Red", "--fit", "smv", "-n", 3)
    assert "--fit smv: expected logistic, svm, mean_difference, did you mean 'svm'?" in said and "-n 3" in said


def test_workflow_refuses_unknown_fits(own_run: Path) -> None:
    with pytest.raises(ConfigError, match="--fit smv: expected logistic, svm"):
        fit_directions(zoogan.load(own_run), ["Red"], judge=Path("judge"), fit="smv")  # type: ignore[arg-type]
