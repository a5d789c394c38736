"""Measuring while training: what it needs, what it leaves out, and that a checkpoint does not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoogan.cli import main
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.interfaces import Unavailable
from zoogan.judges.judge import get_judge_folder

TINY = [
    "--device", "cpu", "--iterations", "2", "--set", "data.image_size=16", "--set", "data.batch=2", "--set",
    "data.workers=0", "--set", "data.faces=16", "--set", "data.held_out=4", "--set", "generator.width=4", "--set",
    "discriminator.width=4", "--set", "training.sample_every=0", "--set", "training.evaluate_every=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))


def train(out: Path, *sets: str) -> int:
    told = [part for setting in sets for part in ("--set", setting)]
    return main(["train", "--model", "sagan", "--out", str(out), *TINY, *told])


def test_a_damaged_judge_stops_only_what_needs_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = get_judge_folder("drawn", 16)
    judge.mkdir(parents=True)
    (judge / "judge.json").write_text("{")
    assert train(tmp_path / "run") == 0
    assert "edit_error" in capsys.readouterr().out
    assert train(tmp_path / "other", "training.evaluate=success") == 2
    assert "the judge in the cache cannot be used" in capsys.readouterr().err


def test_what_cannot_be_measured_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(self: EditError, *_: Any) -> None:
        raise Unavailable("these faces are too few")

    monkeypatch.setattr(EditError, "compute", serve)
    assert train(tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert said.count("edit_error is not measured: these faces are too few") == 1
    assert "nothing could be measured" in said


def test_a_checkpoint_that_is_due_comes_before_the_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: EditError, *_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(EditError, "compute", fail)
    assert train(tmp_path / "run", "training.checkpoint_every=1") == 1
    assert "out of memory" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["iteration-00000001"]


def test_metrics_take_options_in_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for setting, says in (
        ("training.evaluate=identity", "training.evaluate_options.identity.KEY=VALUE"),
        ("training.evaluate_options.identity.backbone=x", "not among training.evaluate"),
        ("training.evaluate_options.edit_error.odd=1", "training.evaluate_options.edit_error.odd: no such setting"),
    ):
        assert train(tmp_path / "run", setting) == 2, setting
        assert says in capsys.readouterr().err
