"""The run folder: whose it is, and what of it can be lost without losing the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoogan.cli import main

TINY = [
    "--device", "cpu", "--iterations", "1", "--set", "data.image_size=16", "--set", "data.batch=2", "--set",
    "data.workers=0", "--set", "data.faces=16", "--set", "data.held_out=4", "--set", "generator.width=4", "--set",
    "discriminator.width=4", "--set", "training.sample_every=0",
]  # fmt: skip


def train(*options: str) -> int:
    return main(["train", "--model", "sagan", *TINY, *options])


def test_attributes_must_be_named_to_be_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", "data.attributes=[]", "--out", str(tmp_path / "run")) == 2
    assert "data.attributes: sagan edits attributes" in capsys.readouterr().err
