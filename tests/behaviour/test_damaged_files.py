"""Damaged files of a run are told with their path, and mended where a checkpoint lies beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoogan
from support.runs import tiny_run
from zoogan.cli import main
from zoogan.errors import ConfigError, NotFinite
from zoogan.files import write_tensors
from zoogan.runs import checkpoints
from zoogan.runs.checkpoints import TrainingState
from zoogan.runs.lock import lock_run
from zoogan.training.trainer import Trainer


def flip_last_byte(file: Path) -> None:
    """Change a file without changing its size, as a bad disk does."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # opened weights map the file
    file.write_bytes(bytes(content))


def truncate(file: Path) -> None:
    """Cut a file, as a full disk does."""
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-7])


@pytest.mark.parametrize("damage", [flip_last_byte, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["generator.safetensors", "config.json"])
def test_damaged_model_is_told_and_mended_from_a_checkpoint(
    sagan_copy: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], name: str
) -> None:
    file = sagan_copy / "model" / name
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    damage(file)
    if name == "config.json" and not file.exists():
        file.write_bytes(b"\xff")
    with lock_run(sagan_copy):
        assert zoogan.load(sagan_copy).iteration == 1
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} != before
    assert "model: " in caplog.text and "using" in caplog.text and "not mended" in caplog.text
    assert zoogan.load(sagan_copy).iteration == 1
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before
    assert caplog.messages[-1].endswith("model: mended")
    caplog.clear()
    zoogan.load(sagan_copy)
    assert not caplog.messages


def test_damaged_model_without_checkpoint_is_told(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(sagan_copy / "checkpoints")
    flip_last_byte(sagan_copy / "model" / "generator.safetensors")
    assert main(["edit", str(sagan_copy), "--grid", "--out", str(sagan_copy / "grid.png")]) == 2
    message = capsys.readouterr().err
    assert f"{sagan_copy / 'model'}: generator.safetensors does not match its checksum" in message
    assert "copy the file again" in message and not (sagan_copy / "grid.png").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"iteration": "x"}', "\udcff"])
@pytest.mark.parametrize("name", ["best.json", "facts.json", "metrics.jsonl"])
def test_damaged_side_file_never_ends_in_a_traceback(
    sagan_copy: Path, caplog: pytest.LogCaptureFixture, name: str, content: str
) -> None:
    (sagan_copy / name).write_bytes(content.encode(errors="surrogateescape"))
    assert zoogan.load(sagan_copy).iteration == 1
    zoogan.summarize_run(sagan_copy)
    if name == "facts.json":
        assert f"{sagan_copy / name}: damaged" in caplog.text
        (sagan_copy / "model" / "config.json").write_text("{}")
        with pytest.raises(ConfigError, match=r"facts\.json: damaged .*--resume` writes it anew"):
            zoogan.load(sagan_copy)
    if name == "best.json":
        with pytest.raises(ConfigError, match=r"best\.json is damaged; take one by its iteration: 1"):
            zoogan.load(sagan_copy, checkpoint="best")


def test_training_goes_on_beside_damaged_side_files(sagan_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("best.json", "facts.json", "metrics.jsonl"):
        (sagan_copy / name).write_bytes(b"\xff{")
    assert main(["train", "--out", str(sagan_copy), "--resume", "--iterations", "2", "--device", "cpu"]) == 0
    assert "best.json: damaged" in caplog.text
    assert json.loads((sagan_copy / "facts.json").read_text())["image_size"] == 32


@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_damaged_checkpoint_is_told_with_what_to_do(
    sagan_copy: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint,) = checkpoints.list_checkpoints(sagan_copy / "checkpoints")
    (checkpoint / name).write_text("{")
    with pytest.raises(ConfigError, match=rf"{name}.*remove this checkpoint"):
        zoogan.load(sagan_copy, checkpoint=1)
    assert main(["train", "--out", str(sagan_copy), "--resume", "--iterations", "2", "--device", "cpu"]) == 2
    output = capsys.readouterr()
    assert name in output.out and "no whole checkpoint" in output.err


# ---- numbers that are not finite ----


def poison(state: TrainingState, place: str) -> None:
    """Put a NaN into one tensor of a state."""
    groups: dict[str, Any] = {
        "generator": state.networks, "generator (average)": state.averages, "generator (optimizer)": state.optimizers,
    }  # fmt: skip
    tensors = groups[place]["generator"]
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.dim())
    tensors[name] = torch.full_like(tensors[name], float("nan"))


@pytest.mark.parametrize("place", ["generator", "generator (average)", "generator (optimizer)"])
def test_state_that_is_not_finite_is_never_saved(
    tmp_path: Path, sagan_copy: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    get_state = Trainer.get_state

    def get_poisoned(self: Trainer) -> TrainingState:
        state = get_state(self)
        poison(state, place)
        return state

    monkeypatch.setattr(Trainer, "get_state", get_poisoned)
    before = (sagan_copy / "model" / "generator.safetensors").read_bytes()
    assert main(["train", "--out", str(sagan_copy), "--resume", "--iterations", "2", "--device", "cpu"]) == 4
    message = capsys.readouterr().err
    assert f"not finite after iteration 2: {place}: " in message
    assert f"zoo train --out {sagan_copy} --resume --set optimizers.generator.lr=" in message
    assert "iteration-00000001" in message
    assert [path.name for path in (sagan_copy / "checkpoints").iterdir()] == ["iteration-00000001"]
    assert (sagan_copy / "model" / "generator.safetensors").read_bytes() == before


def test_huge_learning_rate_ends_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = {slot: {"lr": 1e38} for slot in ("generator", "discriminator")}
    assert tiny_run("sagan", tmp_path / "run", iterations=3, optimizers=rates) == 4
    message = capsys.readouterr().err
    assert "not finite" in message and "No checkpoint had been written" in message and "generator.lr=5e+37" in message
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("verb", ["edit", "sample", "from"])
def test_weights_that_are_not_finite_make_no_picture(
    request: pytest.FixtureRequest, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fixture = "stylegan2_run" if verb == "sample" else "sagan_run"
    run = Path(shutil.copytree(request.getfixturevalue(fixture), tmp_path / "broken"))
    shutil.rmtree(run / "checkpoints")
    file, about = run / "model" / "generator.safetensors", run / "model" / "config.json"
    state = {name: tensor.clone() for name, tensor in load_file(file).items()}
    next(tensor for tensor in state.values() if tensor.dim() == 4).fill_(float("nan"))
    file.unlink()
    write_tensors(file, state)
    content = json.loads(about.read_text())
    about.write_text(json.dumps({key: value for key, value in content.items() if key != "files"}))  # an older version's
    out = tmp_path / "out.png"
    if verb == "from":
        code = tiny_run("sagan", tmp_path / "new", iterations=1, start_from=run)
    else:
        options = ["--grid", "--out", str(out)] if verb == "edit" else ["-n", "1", "--out", str(out)]
        code = main([verb, str(run), *options, "--device", "cpu"])
    assert code == 4
    assert "generator.safetensors: not finite" in capsys.readouterr().err
    assert not out.exists() and not (tmp_path / "new").exists()


def test_numbers_that_are_not_finite_are_refused_by_edits(stylegan2_run: Path, sagan_run: Path, tmp_path: Path) -> None:
    nan = float("nan")
    run = zoogan.load(sagan_run)
    with pytest.raises(ConfigError, match="nan"):
        run.edit(torch.full((1, 3, 32, 32), nan), Eyeglasses=1)
    photo = torch.full((1, 3, 32, 32), -0.5)
    with pytest.raises(NotFinite, match="3072 of 3072 pixels"):
        run.edit(photo, Eyeglasses=1, strength=nan)
    faces = zoogan.load(stylegan2_run)
    latents = faces.sample(1).extras["latents"]
    with pytest.raises(ConfigError, match="NaN or infinity"):
        faces.edit(latents * nan)
    edit = run.edit(photo, Eyeglasses=1)
    edit.image.fill_(nan)
    with pytest.raises(NotFinite):
        edit.save(tmp_path / "black.png")
    assert not list(tmp_path.iterdir())
