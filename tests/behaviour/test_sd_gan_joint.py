"""The joint variant of SD-GAN trained for a few iterations in process, then resumed, sampled, used and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoogan
from support.pictures import save_picture
from support.runs import assert_same_checkpoints, tiny_run
from zoogan.cli import main

pytestmark = pytest.mark.slow
METHOD = "sd-gan-joint"


@pytest.fixture(scope="module")
def joint_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 iterations."""
    run = tmp_path_factory.mktemp("joint") / "run"
    assert tiny_run(METHOD, run, iterations=4) == 0
    return run


def read_error(capsys: pytest.CaptureFixture[str], *command: str | Path | int) -> str:
    """Run a command that must fail by a mistake of the user; return its message."""
    assert main([str(word) for word in command] + ["--device", "cpu"]) == 2
    return capsys.readouterr().err


def test_training_logs_every_term_and_saves_grids(joint_run: Path) -> None:
    rows = [json.loads(line) for line in (joint_run / "metrics.jsonl").read_text().splitlines()]
    names = {name for row in rows for name in row}
    terms = ["adversarial", "attribute", "adversarial_edited", "attribute_edited", "identity", "reconstruction"]
    assert {f"generator/{name}" for name in terms} <= names
    assert {f"discriminator/{name}" for name in ("real", "fake", "fake_edited", "attribute")} <= names
    assert list((joint_run / "samples").glob("*.png"))


def test_stopped_training_resumes_with_equal_bits(joint_run: Path, tmp_path: Path) -> None:
    assert tiny_run(METHOD, tmp_path / "half", iterations=2) == 0
    assert main(["train", "--out", str(tmp_path / "half"), "--resume", "--iterations", "4", "--device", "cpu"]) == 0
    assert_same_checkpoints(joint_run, tmp_path / "half")


def test_photo_is_edited_by_attribute(joint_run: Path, tmp_path: Path) -> None:
    photo = save_picture(tmp_path / "me.png", 24)
    options = ["--attribute", "Eyeglasses=1", "--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(joint_run), str(photo), *options]) == 0
    assert list((tmp_path / "edits").glob("*.png"))
    run = zoogan.load(joint_run)
    on, off = (run.edit(photo, Eyeglasses=value, Face_Mask=0).image for value in (1, 0))
    assert on.shape == (1, 3, 16, 16) and not torch.equal(on, off)
    assert torch.equal(run.edit(photo, Eyeglasses=1, strength=0).image, run.prepare_images(photo))


def test_faces_are_sampled_without_latents(joint_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sample", str(joint_run), "-n", "3", "--device", "cpu", "--out"]
    assert main([*command, str(tmp_path / "faces.png")]) == 0
    assert main([*command, str(tmp_path / "faces")]) == 0
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == [f"seed-{k}.png" for k in range(3)]
    capsys.readouterr()
    error = read_error(capsys, "sample", joint_run, "--mix", 3, "--cutoff", 2, "--truncation", 2)
    assert "--mix: this run edits photos" in error and "--cutoff: this run edits photos" in error
    assert "--truncation 2: expected a share" in error
    assert "this run edits photos" in read_error(capsys, "invert", joint_run, "me.png")


def test_edits_of_held_out_faces_are_measured(joint_run: Path) -> None:
    options = ["--faces", "8", "--metrics", "edit_error,reconstruction", "--device", "cpu"]
    assert main(["evaluate", str(joint_run), *options]) == 0
    report = json.loads((joint_run / "report/report.json").read_text())
    values = {(row["name"], row["attribute"]) for row in report["values"]}
    assert {("edit_error", "Eyeglasses"), ("edit_error", "Face_Mask")} <= values
