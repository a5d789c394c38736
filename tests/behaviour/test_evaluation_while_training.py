"""Trainings that measure themselves: judges, unavailable metrics, checkpoints and metric options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.runs import tiny_run
from zoogan.evaluation.metrics.edit_error import EditError
from zoogan.interfaces import Unavailable
from zoogan.judges.judge import get_judge_folder

pytestmark = pytest.mark.usefixtures("temporary_cache")


@pytest.mark.slow
def test_damaged_judge_stops_only_metrics_that_need_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = get_judge_folder("drawn", 16)
    judge.mkdir(parents=True)
    (judge / "judge.json").write_text("{")
    assert tiny_run("sagan", tmp_path / "run", training={"evaluate_every": 1}) == 0
    assert "edit_error" in capsys.readouterr().out
    assert tiny_run("sagan", tmp_path / "other", training={"evaluate_every": 1, "evaluate": "success"}) == 2
    assert "the judge in the cache cannot be used" in capsys.readouterr().err


@pytest.mark.slow
def test_unavailable_metric_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compute(self: EditError, *_: Any) -> None:
        raise Unavailable("these faces are too few")

    monkeypatch.setattr(EditError, "compute", compute)
    assert tiny_run("sagan", tmp_path / "run", training={"evaluate_every": 1}) == 0
    output = capsys.readouterr().out
    assert output.count("edit_error is not measured: these faces are too few") == 1
    assert "nothing could be measured" in output


def test_checkpoint_is_saved_before_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: EditError, *_: Any) -> None:
        raise RuntimeError("the metric is broken")

    monkeypatch.setattr(EditError, "compute", fail)
    assert tiny_run("sagan", tmp_path / "run", training={"evaluate_every": 1, "checkpoint_every": 1}) == 1
    assert "the metric is broken" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["iteration-00000001"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.evaluate=identity", "training.evaluate_options.identity.KEY=VALUE"),
        ("training.evaluate_options.identity.backbone=x", "not among training.evaluate"),
        ("training.evaluate_options.edit_error.odd=1", "training.evaluate_options.edit_error.odd: no such setting"),
    ],
)
def test_invalid_metric_options_are_refused(
    tmp_path: Path, setting: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run("sagan", tmp_path / "run", "--set", setting, training={"evaluate_every": 1}) == 2
    assert expected in capsys.readouterr().err
