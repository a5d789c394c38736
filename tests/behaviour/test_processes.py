"""Two processes train and measure what one does on the joint batch, launched the way a person would launch them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoogan.cli import main
from zoogan.evaluation.report import read_report, read_rows
from zoogan.interfaces import Ratio
from zoogan.training import checkpoints

COMMON = [
    "--device", "cpu", "--iterations", "2",
    "--set", "data.image_size=16", "--set", "data.faces=64", "--set", "data.held_out=16",
    "--set", "training.average=0.9", "--set", "training.sample_every=0", "--precision", "fp64",
]  # fmt: skip
NARROW = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "cadence.generator_every=1"]
OPTIONS = {
    # the paper's normalisation, whose statistics must span the joint batch
    "sagan": [*NARROW, "--set", "generator.res_norm=batch"],
    "stargan": NARROW,
    # each image alone: groups of images that are compared do not span processes
    "stylegan2": [
        "--set", "generator.max_width=4", "--set", "discriminator.max_width=4", "--set", "discriminator.group=1",
        "--set", "weights.path_length=2", "--set", "generator.noise=true", "--set", "mixing=0.5",
        "--set", "training.average_images=null",
    ],
}  # fmt: skip


def zoo(options: list[str], processes: int = 1, port: int = 0) -> str:
    """The command, in this process or in several of its own; what those said."""
    if processes == 1:
        assert main(options) == 0
        return ""
    # `--multi_gpu` is accelerate's word for several processes on one machine; `--device cpu` makes them use gloo.
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launcher += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [*launcher, "--main_process_port", str(port), "-m", "zoogan", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def train(out: Path, batch: int, method: str, processes: int = 1, port: int = 0) -> checkpoints.State:
    options = ["train", "--model", method, "--out", str(out), *COMMON, *OPTIONS[method]]
    zoo([*options, "--set", f"data.batch={batch}", "--set", "data.workers=0"], processes, port)
    path, damaged = checkpoints.newest_valid(out / "checkpoints")
    assert path is not None and not damaged
    return checkpoints.load(path)


@pytest.mark.parametrize("method", list(OPTIONS))
def test_two_processes_equal_one_on_the_joint_batch(tmp_path: Path, method: str, unused_port: int) -> None:
    one = train(tmp_path / "one", 8, method)
    two = train(tmp_path / "two", 4, method, processes=2, port=unused_port)
    assert (one.iteration, one.position) == (two.iteration, two.position)
    assert one.game.keys() == two.game.keys()
    for key, tensor in one.game.items():  # path-length mean, mean latent
        assert torch.allclose(tensor, two.game[key], atol=1e-8), (key, tensor, two.game[key])
    for group in ("networks", "averages"):
        for name, tensors in getattr(one, group).items():
            for key, tensor in tensors.items():
                other = getattr(two, group)[name][key]
                assert torch.allclose(tensor, other, atol=1e-8), (
                    group,
                    name,
                    key,
                    (tensor - other).abs().max(),
                )
    metrics = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert len(metrics) == 1, "only one process writes"


def test_two_processes_measure_what_one_measures(tmp_path: Path, unused_port: int) -> None:
    run = tmp_path / "run"
    train(run, 4, "sagan")
    measured = ["evaluate", str(run), "--device", "cpu", "--faces", "13"]  # an odd number: unequal shares
    measured += ["--metrics", "edit_error,reconstruction"]
    zoo([*measured, "--out", str(tmp_path / "one")])
    said = zoo([*measured, "--out", str(tmp_path / "two")], 2, unused_port)
    assert said.count("report.html") == 1, "two that know of each other, not one twice"
    one, two = (read_report(tmp_path / name) for name in ("one", "two"))
    assert one.values and [v.key for v in one.values] == [v.key for v in two.values]
    for ours, theirs in zip(read_rows(tmp_path / "one", one), read_rows(tmp_path / "two", two)):
        assert isinstance(ours, Ratio) and isinstance(theirs, Ratio)
        assert len(ours.face) and torch.equal(ours.face, theirs.face)
        torch.testing.assert_close(ours.numerator, theirs.numerator, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.denominator, theirs.denominator)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
