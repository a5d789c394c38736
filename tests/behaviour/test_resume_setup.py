"""A resumed training goes on with the settings and processes of its checkpoint, or says what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import zoogan
from zoogan.cli import main
from zoogan.config.changes import TrainingSetup
from zoogan.config.models import TrainingConfig, list_changeable
from zoogan.errors import ConfigError
from zoogan.files import hash_file
from zoogan.runs import checkpoints

RATE = "optimizers.generator.lr"


def resume(run: Path, *options: str) -> int:
    """Train one more iteration of a run of one."""
    return main(["train", "--out", str(run), "--resume", "--device", "cpu", "--iterations", "2", *options])


def edit_config(run: Path, key: str, value: object) -> None:
    """Change a setting in config.yaml, as a person would."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    *groups, last = key.split(".")
    inner = config
    for group in groups:
        inner = inner[group]
    inner[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def list_iterations(run: Path) -> list[int]:
    """List the iterations of the checkpoints."""
    return [checkpoints.parse_iteration(path) for path in checkpoints.list_checkpoints(run / "checkpoints")]


def test_edited_config_is_refused_with_a_diff_and_allowed_by_key(
    sagan_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_config(sagan_copy, RATE, 0.003)
    edit_config(sagan_copy, "data.batch", 2)
    assert resume(sagan_copy) == 2
    message = capsys.readouterr().err
    for line in (
        f"{RATE}: 0.001 -> 0.003",
        "data.batch: 4 -> 2",
        "joint batch: 4 (1 process x 4 x 1) -> 2 (1 process x 2 x 1)",
        f"--allow {RATE}",
    ):
        assert line in message
    assert list_iterations(sagan_copy) == [1]
    assert resume(sagan_copy, "--allow", "optimizers", "--allow", "data.bach") == 2
    assert "--allow data.bach: no such setting, did you mean 'data.batch'?" in capsys.readouterr().err
    assert resume(sagan_copy, "--allow", "optimizers") == 2
    assert RATE not in capsys.readouterr().err
    assert resume(sagan_copy, "--allow", "optimizers", "--allow", "data.batch") == 0
    setup = checkpoints.read_checkpoint(checkpoints.list_checkpoints(sagan_copy / "checkpoints")[-1]).setup
    assert setup is not None and setup.config["optimizers"]["generator"]["lr"] == 0.003 and setup.joint_batch == 2


def test_settings_that_change_no_number_change_freely(sagan_copy: Path) -> None:
    for key, value in {"log_every": 7, "checkpoint_every": 1, "keep": 1, "threads": 1, "sample_every": 1}.items():
        edit_config(sagan_copy, f"training.{key}", value)
    assert resume(sagan_copy) == 0
    assert list_iterations(sagan_copy) == [2]
    settled = {"seed", "precision", "tf32", "accumulate", "average", "freeze", "start_from"}
    assert not settled & set(list_changeable(TrainingConfig))


def test_option_with_effect_on_numbers_needs_allow(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert resume(sagan_copy, "--set", f"{RATE}=0.003") == 2
    assert f"add --allow {RATE}" in capsys.readouterr().err
    assert resume(sagan_copy, "--set", "training.average=0.5") == 2
    assert "training.average: 0.995 -> 0.5" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="networks of the config are not those of the checkpoint"):
        zoogan.train(
            out=sagan_copy,
            resume=True,
            iterations=2,
            device="cpu",
            allow="generator",
            generator={"width": 8},
            quiet=True,
        )
    with pytest.raises(ConfigError, match="with --resume only"):
        zoogan.train("sagan", out=sagan_copy.with_name("new"), allow=[RATE])
    assert list_iterations(sagan_copy) == [1]
    assert resume(sagan_copy, "--set", f"{RATE}=0.003", "--allow", RATE) == 0


def test_another_number_of_processes_is_refused(
    sagan_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert resume(sagan_copy) == 2
    message = capsys.readouterr().err
    assert "processes: 1 -> 2" in message and "joint batch: 4 (1 process x 4 x 1) -> 8 (2 processes x 4 x 1)" in message


def test_checkpoint_of_an_older_version_resumes_as_before(sagan_copy: Path) -> None:
    checkpoint = checkpoints.list_checkpoints(sagan_copy / "checkpoints")[-1]
    state, manifest = checkpoint / "state.json", checkpoint / "manifest.json"
    content = json.loads(state.read_text())
    assert content["config_hash"] == TrainingSetup(content["config"], 1).config_hash
    state.write_text(json.dumps({key: content[key] for key in ("format", "iteration", "position")}))
    entries = json.loads(manifest.read_text())
    entries["files"]["state.json"] = {"sha256": hash_file(state), "bytes": state.stat().st_size}
    manifest.write_text(json.dumps(entries))
    edit_config(sagan_copy, RATE, 0.003)
    assert resume(sagan_copy) == 0
    assert list_iterations(sagan_copy) == [1, 2]
