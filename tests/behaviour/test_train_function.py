"""`zoogan.train` does from Python what `zoo train` does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from support.runs import (
    FEW_FACES,
    NARROW,
    SIZE,
    are_same_tensors,
    list_settings,
    make_set_options,
    read_newest_checkpoint,
)
from zoogan.cli import main
from zoogan.errors import ConfigError, TrainingStopped
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.training.train import train
from zoogan.training.trainer import Trainer

SMALL_DATA = {"image_size": SIZE, **FEW_FACES}
WIDTHS: dict[str, Any] = NARROW["sagan"]


@pytest.mark.slow
def test_train_returns_the_run_that_the_verb_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(
        model="sagan", data={"source": "drawn", **SMALL_DATA}, iterations=2, out=tmp_path / "python", seed=3,
        device="cpu", quiet=True, training={"sample_every": 0}, **WIDTHS,
    )  # fmt: skip
    assert capsys.readouterr().out == ""
    assert isinstance(run, LoadedRun) and run.iteration == 2
    settings = list_settings({"data": SMALL_DATA, **WIDTHS, "training": {"seed": 3, "sample_every": 0}})
    command = ["train", "--model", "sagan", "--out", str(tmp_path / "verb"), "--device", "cpu", "--iterations", "2"]
    assert main([*command, "--data", "drawn", *make_set_options(settings)]) == 0
    one, other = read_newest_checkpoint(tmp_path / "python"), read_newest_checkpoint(tmp_path / "verb")
    assert all(are_same_tensors(one.networks[slot], other.networks[slot]) for slot in one.networks)
    files = [(tmp_path / name / "config.yaml").read_text() for name in ("python", "verb")]
    assert files[0] == files[1]


def test_groups_win_over_settings_and_options_over_groups(tmp_path: Path) -> None:
    training: dict[str, Any] = {"seed": 1, "log_every": 7, "iterations": 9}
    run = train(
        "sagan", out=tmp_path / "run", device="cpu", quiet=True, iterations=1,
        settings={"data": SMALL_DATA, "training": training, "augment": "none", **WIDTHS},
        training={"seed": 2, "sample_every": 0},
    )  # fmt: skip
    result = run.config.training
    assert (result.seed, result.log_every, result.iterations) == (2, 7, 1)
    assert run.config.data.source == "drawn"


@pytest.mark.slow
def test_signal_raises_and_the_run_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iterate = Trainer.iterate

    def interrupt(trainer: Trainer) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        iterate(trainer)

    out = tmp_path / "run"
    options: dict[str, Any] = {"device": "cpu", "quiet": True, "training": {"sample_every": 0}}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "iterate", interrupt)
        with pytest.raises(TrainingStopped, match="saved at iteration 1; go on") as error:
            train("sagan", data=SMALL_DATA, iterations=3, out=out, **options, **WIDTHS)
    assert (error.value.folder, error.value.iteration, error.value.signal) == (out, 1, signal.SIGINT)
    run = train(out=out, resume=True, device="cpu", quiet=True)
    assert run.iteration == 3
    before = {path.name: path.read_bytes() for path in (out / "model").iterdir()}
    again = train(out=out, resume=True, device="cpu", quiet=True)  # finished: only opened
    assert again.iteration == 3 and before == {path.name: path.read_bytes() for path in (out / "model").iterdir()}


def test_invalid_options_raise_and_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(get_zoo(), "failures", [])
    for method, options, expected in (
        (None, {}, "--model is missing"),
        ("sagn", {}, "did you mean 'sagan'"),
        ("sagan", {"iteratons": 3}, "iteratons"),
        ("sagan", {"training": {"iteratons": 3}}, "did you mean 'iterations'"),
        ("sagan", {"device": "tpu"}, "expected auto"),
        ("sagan", {"model": "stargan"}, "the method is 'sagan' already"),
        ("sagan", {"plugins": ["nowhere.py"]}, "nowhere"),
        ("sagan", {"resume": True}, "--out"),
        ("sagan", {"data": "celeba"}, "root"),
    ):
        with pytest.raises(ConfigError, match=expected):
            train(method, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_progress_and_start_are_printed_unless_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"data": SMALL_DATA, "iterations": 1, "device": "cpu", "training": {"sample_every": 0}}
    train("sagan", out=tmp_path / "first", **options, **WIDTHS)
    assert "iteration 1/1" in capsys.readouterr().out
    train("sagan", out=tmp_path / "next", start_from=tmp_path / "first", **options)
    assert f"starting from {tmp_path / 'first'}" in capsys.readouterr().out
    stored = yaml.safe_load((tmp_path / "next/config.yaml").read_text())
    assert stored["training"]["start_from"] == str(tmp_path / "first") and stored["generator"]["width"] == 4
    assert torch.get_num_threads() == 1
