"""Two launched processes walk through stages like one process on the joint batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoogan
from support.launching import launch
from support.staged_runs import PLUGIN, read_results, read_states
from zoogan.cli import main
from zoogan.plugins.host import get_zoo

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def staged_zoo() -> Iterator[Any]:
    """A zoo of one test with the staged method."""
    get_zoo.cache_clear()
    get_zoo().load_files([PLUGIN])
    yield
    get_zoo.cache_clear()


def make_command(out: Path, batch: int, *options: str) -> list[str]:
    """Make the command that trains the staged method in fp64 with a number of faces for each process."""
    stage = "stages.backbone.set"
    settings = [
        f"data.batch={batch}", f"{stage}.data.batch={batch}", f"{stage}.training.precision=fp64",
        "training.iterations=2", f"{stage}.training.iterations=2", *options,
    ]  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    command = ["train", "--plugin", str(PLUGIN), "--model", "staged", "--device", "cpu", "--precision", "fp64"]
    return [*command, "--out", str(out), *sets]


def test_two_processes_walk_all_stages_like_one(tmp_path: Path) -> None:
    """One test, because the launch is slow. The last command fails: a job on the main process ends both."""
    one, two, failed = (tmp_path / name for name in ("one", "two", "failed"))
    assert main(make_command(one, 8)) == 0
    commands = [make_command(two, 4), make_command(failed, 4, "stages.colours.faces=999")]
    errors = launch(commands, tmp_path / "jobs.json", fails=True)
    assert "stage colours failed on the main process: " in errors
    assert {name: record["state"] for name, record in read_states(failed).items()} == {
        "colours": "running", "backbone": "waiting",
    }  # fmt: skip
    assert {record["state"] for record in read_states(two).values()} == {"done"}
    assert read_results(one).keys() == read_results(two).keys()
    for name in read_results(one):
        if name.endswith(".safetensors"):
            tensors, others = load_file(one / name), load_file(two / name)
            for key, tensor in tensors.items():
                assert torch.allclose(tensor, others[key], atol=1e-8), (name, key)
    assert len((two / "stages/backbone/metrics.jsonl").read_text().splitlines()) == 2, "one process writes"
    assert zoogan.load(two).iteration == 2
