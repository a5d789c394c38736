"""Two launched processes, of one machine or of two, train and measure like one process on the joint batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoogan
from support.launching import launch, launch_agents
from support.runs import PART_MODULES, REGISTRY, make_semantic_config, make_train_command, read_newest_checkpoint
from support.staged_runs import PLUGIN, read_results, read_states
from zoogan.cli import main
from zoogan.composition.build import compose
from zoogan.config import merge
from zoogan.evaluation.reports.report import read_report, read_rows
from zoogan.interfaces import Ratio
from zoogan.plugins.host import get_zoo
from zoogan.runs.checkpoints import TrainingState
from zoogan.runs.folder import RunFolder
from zoogan.testing.conformance import make_tiny_facts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SETTINGS: dict[str, dict[str, Any]] = {
    # the paper's normalisation, whose statistics must span the joint batch
    "sagan": {"cadence": {"generator_every": 1}, "generator": {"res_norm": "batch"}},
    "stargan": {"cadence": {"generator_every": 1}},
    # groups of one image each, because groups of compared images do not span processes
    "stylegan2": {
        "discriminator": {"group": 1}, "weights": {"path_length": 2}, "mixing": 0.5,
        "training": {"average_images": None},
    },
    # starts from the run of `write_narrow_run`; some of its networks are frozen
    "semantic-stylegan": {
        "weights": {"path_length": 2}, "mixing": 0.5,
        "training": {"average_images": None, "freeze": ",".join(PART_MODULES)},
    },
}  # fmt: skip


def make_command(method: str, out: Path, batch: int, start_from: Path | None = None) -> list[str]:
    """Make the command that trains a method with a number of faces for each process."""
    common = {"data": {"batch": batch, "faces": 64}, "training": {"average": 0.9, "sample_every": 0}}
    settings = merge(SETTINGS[method], common)
    return make_train_command(method, out, "--precision", "fp64", start_from=start_from, **settings)


def write_narrow_run(run: Path) -> Path:
    """Write an untrained SemanticStyleGAN run to start from; its discriminator does not compare images either."""
    config = make_semantic_config(discriminator={"group": 1})
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    RunFolder(run).write_config(config, composition.facts)
    RunFolder(run).write_model(config, composition.facts, composition.networks, composition.game)
    return run


def make_evaluate_command(run: Path, out: Path) -> list[str]:
    """Make the command that measures a run on an odd number of faces, so that processes get unequal shares."""
    return [
        "evaluate", str(run), "--device", "cpu", "--faces", "13", "--metrics", "edit_error,reconstruction",
        "--out", str(out),
    ]  # fmt: skip


@pytest.fixture
def staged_zoo() -> Iterator[None]:
    """A zoo of one test with the staged method."""
    get_zoo.cache_clear()
    get_zoo().load_files([PLUGIN])
    yield
    get_zoo.cache_clear()


def make_staged_command(out: Path, batch: int, *options: str) -> list[str]:
    """Make the command that trains the staged method in fp64 with a number of faces for each process."""
    stage = "stages.backbone.set"
    settings = [
        f"data.batch={batch}", f"{stage}.data.batch={batch}", f"{stage}.training.precision=fp64",
        "training.iterations=2", f"{stage}.training.iterations=2", *options,
    ]  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    command = ["train", "--plugin", str(PLUGIN), "--model", "staged", "--device", "cpu", "--precision", "fp64"]
    return [*command, "--out", str(out), *sets]


@pytest.mark.usefixtures("staged_zoo")
def test_two_processes_equal_one_on_the_joint_batch(tmp_path: Path) -> None:
    """Every game trains to the same weights, and measures are equal. One test, because a launch is slow.

    The first launch is two processes of one machine, the second two machines with a process each, which walk through
    stages too. There the last command fails: a job on the main process ends both.
    """
    ones, twos = ({method: tmp_path / name / method for method in SETTINGS} for name in ("one", "two"))
    starts = {"semantic-stylegan": write_narrow_run(tmp_path / "parts")}
    for method, run in ones.items():
        assert main(make_command(method, run, 8, starts.get(method))) == 0
    assert main(make_evaluate_command(ones["sagan"], tmp_path / "alone")) == 0
    commands = [make_command(method, run, 4, starts.get(method)) for method, run in twos.items()]
    commands.append(make_evaluate_command(ones["sagan"], tmp_path / "together"))
    output = launch(commands, tmp_path / "jobs.json")
    for method in SETTINGS:
        one, two = (read_newest_checkpoint(runs[method]) for runs in (ones, twos))
        assert_same_training(method, one, two)
        metrics = (twos[method] / "metrics.jsonl").read_text().splitlines()
        assert len(metrics) == 2, "one line an iteration: only one process writes"
    assert output.count("report.html") == 1, "the processes formed one world"
    assert output.count("fp64, 2 processes\n") == len(SETTINGS)
    assert_same_measures(tmp_path / "alone", tmp_path / "together")
    check_two_machines(tmp_path, twos["sagan"])


def check_two_machines(folder: Path, together: Path) -> None:
    """Check two agents: bit-equal to `together`, whose processes have one; a run folder on the main machine's disk."""
    hosts = [folder / "host0", folder / "host1"]
    for host in hosts:
        host.mkdir()
    one, two, failed = (folder / name for name in ("staged-one", "staged-two", "staged-failed"))
    assert main(make_staged_command(one, 8)) == 0
    commands = [make_command("sagan", Path("run"), 4), make_staged_command(two, 4)]
    commands.append(make_staged_command(failed, 4, "stages.colours.faces=999"))
    outputs, code = launch_agents(commands, folder / "agents.json", hosts)
    assert code != 0 and "stage colours failed on the main process: " in "".join(outputs), outputs[0][-3000:]
    runs = [host / "run" for host in hosts if (host / "run").exists()]
    assert len(runs) == 1, "the other machine needs no run folder, and gets none"
    assert read_results(runs[0]).keys() == read_results(together).keys()
    for name in read_results(together):
        if name.endswith(".safetensors"):
            tensors, others = load_file(runs[0] / name), load_file(together / name)
            assert all(torch.equal(tensor, others[key]) for key, tensor in tensors.items()), name
    assert "2 processes\n" in "".join(outputs)
    assert_same_stages(one, two, failed)


def assert_same_stages(one: Path, two: Path, failed: Path) -> None:
    """Check the stages of one process, of two machines, and of the command that failed."""
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


def assert_same_training(method: str, one: TrainingState, two: TrainingState) -> None:
    """Check that two training states agree within 1e-8."""
    assert (one.iteration, one.position) == (two.iteration, two.position)
    assert one.game.keys() == two.game.keys()
    for key, tensor in one.game.items():  # path-length mean, mean latent
        assert torch.allclose(tensor, two.game[key], atol=1e-8), (method, key, tensor, two.game[key])
    for group in ("networks", "averages"):
        for name, tensors in getattr(one, group).items():
            for key, tensor in tensors.items():
                other = getattr(two, group)[name][key]
                difference = (tensor - other).abs().max()
                assert torch.allclose(tensor, other, atol=1e-8), (method, group, name, key, difference)


def assert_same_measures(alone: Path, together: Path) -> None:
    """Check that two reports hold the same rows."""
    one, two = read_report(alone), read_report(together)
    assert one.values and [v.key for v in one.values] == [v.key for v in two.values]
    for ours, theirs in zip(read_rows(alone, one), read_rows(together, two)):
        assert isinstance(ours, Ratio) and isinstance(theirs, Ratio)
        assert len(ours.face) and torch.equal(ours.face, theirs.face)
        torch.testing.assert_close(ours.numerator, theirs.numerator, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.denominator, theirs.denominator)
