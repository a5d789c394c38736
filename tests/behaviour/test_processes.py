"""Two processes train and measure what one does on the joint batch, launched the way a person would launch them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from support import launched_verbs
from support.training_runs import PARTS, REGISTRY, part_config
from zoogan.cli import main
from zoogan.composition.build import compose
from zoogan.evaluation.reports.report import read_report, read_rows
from zoogan.interfaces import Ratio
from zoogan.runs import checkpoints
from zoogan.runs.folder import RunFolder
from zoogan.testing.conformance import make_tiny_facts

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
    # the networks of `narrow_parts`, some of which are frozen
    "semantic-stylegan": [
        "--set", "weights.path_length=2", "--set", "mixing=0.5", "--set", "training.average_images=null",
        "--set", f"training.freeze={','.join(PARTS)}",
    ],
}  # fmt: skip


def trained(out: Path, method: str, batch: int, *more: str) -> list[str]:
    """The command that trains `method` into `out`."""
    sets = ["--set", f"data.batch={batch}", "--set", "data.workers=0"]
    return ["train", "--model", method, "--out", str(out), *COMMON, *OPTIONS[method], *sets, *more]


def narrow_parts(run: Path) -> Path:
    """A run of SemanticStyleGAN that was never trained, to start from; its discriminator too looks at each image alone."""
    config = part_config(discriminator={"group": 1})
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    RunFolder(run).write_config(config, composition.facts)
    RunFolder(run).write_model(config, composition.facts, composition.networks, composition.game)
    return run


def measured(run: Path, out: Path) -> list[str]:
    """The command that measures a run into `out`; an odd number of faces: unequal shares."""
    return [
        "evaluate", str(run), "--device", "cpu", "--faces", "13", "--metrics", "edit_error,reconstruction",
        "--out", str(out),
    ]  # fmt: skip


def launch(commands: list[list[str]], jobs: Path) -> str:
    """Each command in two processes; what they said."""
    jobs.write_text(json.dumps([(unused_port(), options) for options in commands]))
    # `--multi_gpu` is accelerate's word for several processes on one machine; `--device cpu` makes them use gloo.
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launcher += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", str(unused_port())]
    command = [*launcher, launched_verbs.__file__, str(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_state(run: Path) -> checkpoints.TrainingState:
    path, damaged = checkpoints.find_newest_checkpoint(run / "checkpoints")
    assert path is not None and not damaged
    return checkpoints.read_checkpoint(path)


def test_two_processes_do_what_one_does_on_the_joint_batch(tmp_path: Path) -> None:
    """Every game trains to the same weights, and a run is measured alike. One test, for there is one launch."""
    ones, twos = ({method: tmp_path / name / method for method in OPTIONS} for name in ("one", "two"))
    more = {method: list[str]() for method in OPTIONS}
    more["semantic-stylegan"] = ["--from", str(narrow_parts(tmp_path / "parts"))]
    for method, run in ones.items():
        assert main(trained(run, method, 8, *more[method])) == 0
    assert main(measured(ones["sagan"], tmp_path / "alone")) == 0
    commands = [trained(run, method, 4, *more[method]) for method, run in twos.items()]
    said = launch([*commands, measured(ones["sagan"], tmp_path / "together")], tmp_path / "jobs.json")
    for method in OPTIONS:
        same_training(method, last_state(ones[method]), last_state(twos[method]))
        metrics = (twos[method] / "metrics.jsonl").read_text().splitlines()
        assert len(metrics) == 1, "only one process writes"
    assert said.count("report.html") == 1, "two that know of each other, not one twice"
    same_measures(tmp_path / "alone", tmp_path / "together")


def same_training(method: str, one: checkpoints.TrainingState, two: checkpoints.TrainingState) -> None:
    assert (one.iteration, one.position) == (two.iteration, two.position)
    assert one.game.keys() == two.game.keys()
    for key, tensor in one.game.items():  # path-length mean, mean latent
        assert torch.allclose(tensor, two.game[key], atol=1e-8), (method, key, tensor, two.game[key])
    for group in ("networks", "averages"):
        for name, tensors in getattr(one, group).items():
            for key, tensor in tensors.items():
                other = getattr(two, group)[name][key]
                apart = (tensor - other).abs().max()
                assert torch.allclose(tensor, other, atol=1e-8), (method, group, name, key, apart)


def same_measures(alone: Path, together: Path) -> None:
    one, two = read_report(alone), read_report(together)
    assert one.values and [v.key for v in one.values] == [v.key for v in two.values]
    for ours, theirs in zip(read_rows(alone, one), read_rows(together, two)):
        assert isinstance(ours, Ratio) and isinstance(theirs, Ratio)
        assert len(ours.face) and torch.equal(ours.face, theirs.face)
        torch.testing.assert_close(ours.numerator, theirs.numerator, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.denominator, theirs.denominator)
