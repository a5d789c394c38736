"""A training says soon after its start how long it will take, if that is long."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from support.runs import REGISTRY, tiny_run
from zoogan.config import compose_config
from zoogan.training import duration
from zoogan.training.duration import DurationTrial, describe_duration


@pytest.mark.parametrize(
    ("moments", "announced"),
    [
        pytest.param((30.0, 32.0, 34.0, 36.0, 38.0, 40.0, 90.0), [2.0], id="the first iteration is left out"),
        pytest.param((41.0, 44.0, 47.0, 90.0), [3.0], id="no longer than 45 seconds"),
        pytest.param((100.0, 110.0), [100.0], id="the first iteration alone takes longer"),
    ],
)
def test_trial_announces_an_iteration_once(
    moments: tuple[float, ...], announced: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, seconds = [0.0], list[float]()
    monkeypatch.setattr(duration.time, "monotonic", lambda: now[0])
    trial = DurationTrial(5, 100, seconds.append)
    for iteration, moment in enumerate(moments, start=6):
        now[0] = moment
        trial.mark(iteration)
    assert seconds == announced


def test_long_training_is_told_what_is_shorter() -> None:
    spec, cpu, cuda = REGISTRY.methods["stylegan2"], torch.device("cpu"), torch.device("cuda")
    config = compose_config(spec, REGISTRY, recipe="ffhq-256", sets={"data": {"root": "."}})
    assert describe_duration(config, 0, 20.0, cpu) == (
        "note: about 185 days for 800,000 iterations on this CPU (20 s each); "
        "for less: --iterations 180 (about 1 h) or a GPU"
    )
    assert describe_duration(config, 799000, 2.0, cuda) == (
        "note: about 33 min for the remaining 1,000 iterations on this CUDA (2 s each); "
        "for less: --iterations 799300 (about 10 min)"
    )
    assert describe_duration(config, 799700, 2.0, cpu) is None
    shorter = describe_duration(config, 0, 20.0, cpu, recipe="folder-64-cpu")
    assert shorter is not None and shorter.endswith("(about 1 h) or --recipe folder-64-cpu or a GPU")
    staged = describe_duration(config, 0, 45.0, cpu, stage="backbone", recipe="folder-64-cpu")
    assert staged is not None
    assert "about 1.1 years" in staged and "--recipe" not in staged
    assert "--set stages.backbone.set.training.iterations=80 (about 1 h) or a GPU" in staged


def test_training_shows_and_logs_its_duration_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "zoogan.training")
    monkeypatch.setattr(duration, "TRIAL", 0.0)
    monkeypatch.setattr(duration, "LONG", 1e-6)
    assert tiny_run("sagan", tmp_path / "run", iterations=4) == 0
    assert capsys.readouterr().out.count("for 4 iterations on this") == 1
    assert sum("for 4 iterations on this" in record.getMessage() for record in caplog.records) == 1
