"""SD-GAN: one command trains all stages, another edits generated faces by direction and offset."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zoogan
from support.pictures import read_pictures
from support.runs import FEW_FACES, assert_same_checkpoints
from support.staged_runs import read_states
from zoogan import ConfigError, TrainingStopped
from zoogan.cli import main
from zoogan.composition.stages import StageContext
from zoogan.editors import DecompositionEditor, direction_fits
from zoogan.editors.decomposition import compare_with_composite
from zoogan.interfaces import Composite
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.conformance import make_tiny_config, train_on_random_batches
from zoogan.training.trainer import Trainer
from zoogan.workflows import fit_directions

ATTRIBUTES = ["Face_Mask", "Eyeglasses"]
DATA = FEW_FACES | {
    "faces": 80, "held_out": 60, "image_size": 16, "attributes": ATTRIBUTES,
    "probabilities": {name: 0.5 for name in ATTRIBUTES},
}  # fmt: skip
NARROW_FACES = {
    "generator": {"style_dim": 8, "channel_multiplier": 0.01, "max_width": 8},
    "mapping": {"style_dim": 8, "layers": 1},
    "discriminator": {"channel_multiplier": 0.01, "max_width": 8},
}
TINY: dict[str, Any] = {
    "fusion": {"style_dim": 8, "width": 4, "channels": 8},
    "compositor": {"count": 6},
    "training": {"iterations": 3, "sample_every": 3, "threads": 1, "log_every": 1},
    "stages": {
        "backbone": {"set": {**NARROW_FACES, "training": {"iterations": 3, "sample_every": 0, "threads": 1}}},
        "classifier": {"iterations": 2, "batch": 8},
        "geometry": {"faces": 200},
        "boundary": {"faces": 60, "share": 0.5},
    },
}
STAGES = ("backbone", "classifier", "geometry", "boundary")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _accept_few_faces() -> Iterator[None]:
    """Fit directions on few faces: a judge that has hardly learnt may read an attribute on one of sixty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direction_fits, "choose_surest_faces", choose_halves)
        yield


def choose_halves(probability: torch.Tensor, threshold: float, share: float) -> tuple[list[int], list[int], Any]:
    """Choose the lower and the upper half of the readings, whatever the threshold."""
    order = probability.argsort(stable=True).tolist()
    half = len(order) // 2
    return order[:half], order[half:], {"faces": len(order), "with": half, "kept": half}


def train(folder: Path, resume: bool = False) -> LoadedRun:
    """Train a tiny run of all stages, or go on with it."""
    if resume:
        return zoogan.train(out=folder, device="cpu", quiet=True, resume=True)
    return zoogan.train("sd-gan", out=folder, device="cpu", quiet=True, data=DATA, settings=TINY)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all stages, hardly trained."""
    folder = tmp_path_factory.mktemp("sd_gan") / "run"
    train(folder)
    return folder


@pytest.fixture(scope="module")
def run(run_folder: Path) -> LoadedRun:
    return zoogan.load(run_folder)


def test_all_stages_are_done_and_only_offsets_are_stored(run_folder: Path, run: LoadedRun) -> None:
    states = read_states(run_folder)
    assert {name: record["state"] for name, record in states.items()} == dict.fromkeys(STAGES, "done")
    assert [path.name for path in (run_folder / "model").glob("*.safetensors")] == ["fusion.safetensors"]
    assert isinstance(run.editor, DecompositionEditor) and run.editor.attributes == tuple(ATTRIBUTES)
    assert list((run_folder / "samples").glob("*.png"))


def test_steps_of_an_edit_are_saved(run_folder: Path, tmp_path: Path) -> None:
    command = ["edit", str(run_folder), "--seed", "3", "--attribute", "Face_Mask=1"]
    assert main([*command, "--steps", "--out", str(tmp_path / "steps")]) == 0
    assert main([*command, "--offset", "0", "--out", str(tmp_path / "direction")]) == 0
    assert main([*command, "--strength", "0", "--out", str(tmp_path / "none")]) == 0
    steps, direction, none = (read_pictures(tmp_path / name) for name in ("steps", "direction", "none"))
    names = {f"seed-3-{kind}.png" for kind in ("made", "edited", "basis", "composite")}
    assert set(steps) == names
    assert (direction["seed-3-edited.png"] == steps["seed-3-basis.png"]).all()
    assert (none["seed-3-edited.png"] == none["seed-3-made.png"]).all()
    assert (steps["seed-3-composite.png"] != steps["seed-3-made.png"]).any()
    assert (steps["seed-3-edited.png"] != steps["seed-3-basis.png"]).any(), "there is an offset"


def test_template_decides_the_composite(run: LoadedRun) -> None:
    face = run.sample(3, seed=5)
    one, same, other = (run.edit(face, Face_Mask=1, template=number) for number in (0, 0, 4))
    assert torch.equal(one.extras["composite"], same.extras["composite"])
    assert not torch.equal(one.extras["composite"], other.extras["composite"])
    with pytest.raises(ConfigError, match="template: expected a whole number from 0 to 5, got 6"):
        run.edit(face, Face_Mask=1, template=6)


def test_refined_edits_are_nearer_to_their_composites(run: LoadedRun, run_folder: Path, tmp_path: Path) -> None:
    faces = run.sample(2, seed=5)
    edits = [run.edit(faces, Face_Mask=1, template=0, refine=steps) for steps in (0, 8)]
    composite = Composite(edits[0].extras["composite"], edits[0].extras["composite_mask"])
    plain, refined = (compare_with_composite(edit.image, faces.image, composite) for edit in edits)
    assert (refined["inside"] < plain["inside"]).all() and (refined["scales"] < plain["scales"]).all()
    alone = run.edit(run.sample(1, seed=6), Face_Mask=1, template=0, refine=8)
    assert torch.allclose(alone.image, edits[1].image[1:], atol=1e-3), "a face does not depend on its batch"
    assert not torch.equal(edits[1].image, run.edit(faces, Face_Mask=1, template=0, refine=8, offset=0.5).image)
    command = ["edit", str(run_folder), "--seed", "5", "--attribute", "Face_Mask=1", "--template", "0", "--refine", "8"]
    assert main([*command, "--out", str(tmp_path / "edits")]) == 0
    saved = read_pictures(tmp_path / "edits")["seed-5-edited.png"]
    shown = np.asarray(run.edit(run.sample(1, seed=5), Face_Mask=1, template=0, refine=8).pil())
    assert (np.asarray(saved) == shown).all()


def test_words_without_effect_are_refused(run: LoadedRun, run_folder: Path) -> None:
    face = run.sample(1)
    with pytest.raises(ConfigError, match="offset, refine and template have no effect: they are for adding Face_Mask"):
        run.edit(face, Face_Mask=0, offset=0.5)
    with pytest.raises(ConfigError, match="refine: the composite shows Face_Mask fully: request 1"):
        run.edit(face, Face_Mask=0.5, refine=2)
    with pytest.raises(ConfigError, match="this run was trained with its own direction"):
        fit_directions(run, ["Face_Mask"])


def test_order_of_attributes_makes_no_difference(run: LoadedRun) -> None:
    face = run.sample(2)
    one, other = run.edit(face, Face_Mask=1, Eyeglasses=1), run.edit(face, Eyeglasses=1, Face_Mask=1)
    assert torch.allclose(one.image, other.image, atol=1e-5)
    assert torch.equal(one.extras["composite"], other.extras["composite"])


def test_own_template_of_a_face_is_independent_of_its_batch(run: LoadedRun) -> None:
    together = run.edit(run.sample(4, seed=5), Eyeglasses=1)
    alone = run.edit(run.sample(1, seed=7), Eyeglasses=1)
    assert torch.allclose(together.extras["composite"][2:3], alone.extras["composite"], atol=1e-4)
    assert torch.allclose(together.image[2:3], alone.image, atol=1e-4)


def test_offset_options_are_refused_by_other_runs(stylegan2_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["edit", str(stylegan2_run), "--seed", "0", "--attribute", "Face_Mask=1", "--offset", "0", "--steps"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "--offset: this run computes no offset" in error and "--steps: this run computes no offset" in error


def test_photo_is_inverted_and_edited(run_folder: Path, tmp_path: Path) -> None:
    assert main(["edit", str(run_folder), "--seed", "1", "--attribute", "Eyeglasses=1", "--out", str(tmp_path)]) == 0
    settings = ["--iterations", "2", "--likeness", "l1"]
    photo = str(tmp_path / "seed-1-made.png")
    assert main(["invert", str(run_folder), photo, *settings, "--out", str(tmp_path / "latents")]) == 0
    latents = next((tmp_path / "latents").glob("*.safetensors"))
    assert (
        main(["edit", str(run_folder), str(latents), "--attribute", "Face_Mask=1", "--out", str(tmp_path / "e")]) == 0
    )
    assert len(read_pictures(tmp_path / "e")) == 1


# ---- stages ----


def interrupt_in(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Send SIGTERM in the first iteration of a method or judge, or in a job."""
    iterate: Callable[[Trainer], None] = Trainer.iterate
    check: Callable[[StageContext], None] = StageContext.check_signal
    methods = {"backbone": "stylegan2", "fusion": "sd-gan"}

    def interrupt_training(trainer: Trainer) -> None:
        if trainer.config.method == methods.get(where) and trainer.iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        iterate(trainer)

    def interrupt_job(context: StageContext) -> None:
        if context.name == where:
            os.kill(os.getpid(), signal.SIGTERM)
        check(context)

    monkeypatch.setattr(Trainer, "iterate", interrupt_training)
    monkeypatch.setattr(StageContext, "check_signal", interrupt_job)


def test_stops_in_stages_and_resumes_give_the_same_bits(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    for where in ("backbone", "geometry", "boundary", "fusion"):
        with monkeypatch.context() as patch, pytest.raises(TrainingStopped) as stop:
            interrupt_in(patch, where)
            train(folder, resume=folder.exists())
        assert stop.value.signal == signal.SIGTERM
        states = {name: record["state"] for name, record in read_states(folder).items()}
        assert where == "fusion" or states[where] == "running"
    train(folder, resume=True)
    assert_same_checkpoints(run_folder, folder)
    one, other = (
        {
            path.relative_to(run): load_file(path)
            for path in sorted((run / "stages").rglob("*.safetensors"))
            if "checkpoints" not in path.parts  # a stop saves one more
        }
        for run in (run_folder, folder)
    )
    assert one.keys() == other.keys() and {path.parts[1] for path in one} == set(STAGES)
    assert all(torch.equal(tensor, other[path][name]) for path in one for name, tensor in one[path].items())


def test_edits_of_another_run_are_composites() -> None:
    registry = get_zoo().registry
    settings = {
        "data": {"attributes": ["Eyeglasses"], "image_size": 32}, "compositor": {"use": "editor"},
        "stages": {"editor": {"method": "sagan", "recipe": "drawn-64", "set": {"generator": {"width": 4}}}},
    }  # fmt: skip
    trainer = train_on_random_batches(make_tiny_config("sd-gan", registry, settings), registry, 1)
    terms = trainer.read_terms()
    assert terms["fusion/inside"] > 0 and terms["fusion/outside"] > 0


def test_template_free_training_takes_one_attribute() -> None:
    registry = get_zoo().registry
    one = {"data": {"attributes": ["Face_Mask"]}, "compositor": {"use": "none"}}
    terms = train_on_random_batches(make_tiny_config("sd-gan", registry, one), registry, 1).read_terms()
    assert "fusion/inside" not in terms and terms["fusion/attribute"] > 0
    two = make_tiny_config("sd-gan", registry, {"compositor": {"use": "none"}})
    with pytest.raises(ConfigError, match="nothing tells the network which attribute to add"):
        train_on_random_batches(two, registry, 0)
