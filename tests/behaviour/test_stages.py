"""Methods made of stages: the walk, stops in every stage, and what the run gets of its stages."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator

import zoogan
from support.runs import assert_same_checkpoints, read_newest_checkpoint
from support.staged_runs import PLUGIN, begin, read_results, read_states, resume
from zoogan.cli import main
from zoogan.composition import build
from zoogan.composition.build import compose
from zoogan.composition.stages import StageContext
from zoogan.errors import ConfigError, TrainingStopped
from zoogan.interfaces import Clock
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.conformance import check_stages, make_random_batches, make_tiny_config, make_tiny_facts
from zoogan.training.trainer import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def staged_zoo() -> Iterator[Any]:
    """A zoo of this module with the staged method."""
    get_zoo.cache_clear()
    zoo = get_zoo()
    zoo.load_files([PLUGIN])
    yield zoo
    get_zoo.cache_clear()


@pytest.fixture(scope="module")
def whole_run(staged_zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert begin(run) == 0
    return run


@pytest.fixture
def run_copy(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of `whole_run` that a test may change."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


def interrupt_in(monkeypatch: pytest.MonkeyPatch, where: str, iteration: int = 1) -> None:
    """Send SIGINT in the job `colours`, or in an iteration (from 0) of the method `sagan` or `staged`."""
    iterate: Callable[[Trainer], None] = Trainer.iterate
    check: Callable[[StageContext], None] = StageContext.check_signal

    def interrupt_training(trainer: Trainer) -> None:
        if trainer.config.method == where and trainer.iteration == iteration:
            os.kill(os.getpid(), signal.SIGINT)
        iterate(trainer)

    def interrupt_job(context: StageContext) -> None:
        if context.name == where:
            os.kill(os.getpid(), signal.SIGINT)
        check(context)

    monkeypatch.setattr(Trainer, "iterate", interrupt_training)
    monkeypatch.setattr(StageContext, "check_signal", interrupt_job)


# ---- the walk ----


def test_stages_are_runs_and_folders_inside_the_run(whole_run: Path) -> None:
    records = read_states(whole_run)
    assert list(records) == ["colours", "backbone"]
    assert all(r["state"] == "done" and len(r["digest"]) == 64 and r["origin"] is None for r in records.values())
    backbone = zoogan.load(whole_run / "stages/backbone")
    assert backbone.config.method == "sagan" and backbone.iteration == 3
    assert {path.name for path in (whole_run / "stages/colours").iterdir()} == {"colours.json", "colours.safetensors"}
    run = zoogan.load(whole_run)
    assert run.config.data.batch == 4 and run.iteration == 3
    own = backbone.config.data.model_dump(exclude={"batch", "balance", "flip", "random_crop"})
    assert own == run.config.data.model_dump(exclude={"batch", "balance", "flip", "random_crop"}), "one source for all"


@pytest.mark.parametrize("where", ["colours", "sagan", "staged"])
def test_stop_in_each_stage_and_resume_give_the_same_files(
    where: str, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_in(patch, where)
        assert begin(run) == 130
    assert re.search(rf"zoo train --out {run} --plugin \S+staged_plugin\.py --resume", capsys.readouterr().out)
    states = {name: record["state"] for name, record in read_states(run).items()}
    expected = {
        "colours": {"colours": "running", "backbone": "waiting"},
        "sagan": {"colours": "done", "backbone": "running"},
        "staged": {"colours": "done", "backbone": "done"},
    }
    assert states == expected[where] and not (where == "colours" and (run / "stages/colours").exists())
    assert resume(run) == 0
    output = capsys.readouterr().out
    assert ("colours: skipped, because it is done" in output) == (where != "colours")
    assert ("backbone: skipped, because it is done" in output) == (where == "staged")
    assert read_results(run) == read_results(whole_run) and len(read_results(run)) == 8
    for path in ("", "stages/backbone"):
        assert_same_checkpoints(whole_run / path, run / path)
    if where == "sagan":
        assert "iteration 1/3" not in output.partition("stage backbone: done")[0], "went on from its checkpoint"


def test_stop_in_last_iteration_of_a_stage_begins_no_other(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_in(patch, "sagan", 2)
        assert begin(run) == 130
    assert "stopped in stage backbone" in capsys.readouterr().out
    assert {record["state"] for record in read_states(run).values()} == {"done"} and not (run / "model").exists()
    assert resume(run) == 0
    assert read_results(run) == read_results(whole_run)


def test_python_stop_names_the_run_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(TrainingStopped) as error:
        interrupt_in(patch, "sagan")
        zoogan.train("staged", out=tmp_path / "run", device="cpu", quiet=True)
    assert error.value.folder == tmp_path / "run" and error.value.signal == signal.SIGINT
    run = zoogan.train(out=tmp_path / "run", resume=True, device="cpu", quiet=True)
    assert run.iteration == 3 and list(run.stages) == ["colours", "backbone"]


def test_finished_run_is_left_as_it_is(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_results(run_copy)
    assert resume(run_copy) == 0
    output = capsys.readouterr().out
    assert "is finished (3 iterations)" in output and output.count("skipped") == 2
    assert before == read_results(run_copy)
    assert resume(run_copy, "--iterations", "4") == 0
    after = read_results(run_copy)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        f"model/{name}" for name in ("generator.safetensors", "discriminator.safetensors", "config.json")
    }


def test_changed_stage_is_refused_on_resume(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run_copy / "stages/colours/colours.json"
    file.write_text("{}")
    assert resume(run_copy) == 2
    message = capsys.readouterr().err
    assert "stage colours was changed after it was done" in message and "--stage colours=FOLDER" in message
    shutil.rmtree(run_copy / "stages/colours")
    assert resume(run_copy) == 2
    assert "stage colours is missing" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="its stage colours is missing"):
        zoogan.load(run_copy)


def test_resume_changes_only_what_it_may(
    run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = "stages.backbone.set.training.iterations=4"
    assert resume(run_copy, "--set", longer) == 2
    assert "the settings of stage backbone, which is done" in capsys.readouterr().err
    run = tmp_path / "other"
    with monkeypatch.context() as patch:
        interrupt_in(patch, "sagan")
        assert begin(run) == 130
    for option, expected in {
        "stages.backbone.set.training.seed=4": "--set stages.backbone.set.training.seed",
        "stages.backbone.set.generator.width=8": "--set stages.backbone.set.generator.width",
        "stages.backbone.method=stargan": "--set stages.backbone.method",
        "stages.backbon.set.training.iterations=4": "did you mean 'backbone'",
    }.items():
        assert resume(run, "--set", option) == 2
        assert expected in capsys.readouterr().err
    assert resume(run, "--stage", f"backbone={run_copy}") == 2
    assert "leave out --stage backbone" in capsys.readouterr().err
    assert resume(run, "--set", longer) == 0
    assert zoogan.load(run / "stages/backbone").iteration == 4 and zoogan.load(run).iteration == 3


def test_optional_stage_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = zoogan.train(
        "staged", out=tmp_path / "run", iterations=1, device="cpu", stages={"colours": None},
        settings={"stages": {"backbone": {"set": {"training": {"iterations": 1}}}}},
    )  # fmt: skip
    assert list(run.stages) == ["backbone"] and "colours: left out" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["stages"]["colours"] is None
    assert list(read_states(tmp_path / "run")) == ["backbone"]


def test_job_that_fails_keeps_the_earlier_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAIL_COLOURS", "1")
    assert begin(tmp_path / "run") == 1
    assert "no colours today" in capsys.readouterr().err
    assert read_states(tmp_path / "run")["colours"]["state"] == "running"
    monkeypatch.delenv("FAIL_COLOURS")
    assert resume(tmp_path / "run", "--iterations", "1") == 0


# ---- auxiliaries ----


def test_stages_are_frozen_and_in_no_state(whole_run: Path, staged_zoo: Any) -> None:
    run = zoogan.load(whole_run)
    backbone = run.stages["backbone"]
    assert isinstance(backbone, LoadedRun) and set(backbone.networks) == {"generator", "discriminator"}
    assert not any(p.requires_grad for p in backbone.networks.parameters()) and not backbone.networks.training
    state = read_newest_checkpoint(whole_run)
    assert set(state.networks) == {"generator", "discriminator"} and not state.game
    names = {path.name for path in (whole_run / "model").iterdir()}
    assert names == {"config.json", "generator.safetensors", "discriminator.safetensors"}
    mean: Any = run.editor
    assert torch.equal(mean.colours.mean, run.stages["colours"].mean)


def test_term_of_a_frozen_stage_trains_the_generator(staged_zoo: Any) -> None:
    config = make_tiny_config("staged", staged_zoo.registry)
    composition = compose(config, make_tiny_facts(config), staged_zoo.registry)
    trainer = Trainer(composition, staged_zoo.registry, Accelerator(cpu=True), make_random_batches(composition))
    trainer.fetch_batch()
    step = next(step for step in trainer.game.steps if step.name == "generator")
    turn = trainer.make_turn(step, 0, Clock(0, 4), slice(0, 4), frozenset())
    with trainer.enable_gradients(step, graph=False):
        step.terms(turn)["colour"].backward()
        own = [p.grad for p in trainer.networks["generator"].parameters()]
        stage = list(composition.stages["backbone"].networks.parameters())
        assert any(g is not None and bool(g.any()) for g in own)
        assert all(p.grad is None and not p.requires_grad for p in stage)


def test_conformance_finds_a_stage_that_is_trained(staged_zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_stages("staged", staged_zoo.registry)

    def thaw(*arguments: Any, **options: Any) -> Any:
        stages = opened(*arguments, **options)
        stages["backbone"].networks.requires_grad_(True)
        return stages

    opened = build.open_stages
    monkeypatch.setattr(build, "open_stages", thaw)
    with pytest.raises(AssertionError, match=r"stage 'backbone'.*gets a gradient"):
        check_stages("staged", staged_zoo.registry)


# ---- mistakes ----


def test_mistakes_are_named_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    for options, expected in (
        (["--stage", "backbon=x"], "stages.backbon: staged has no stage of that name, did you mean 'backbone'?"),
        (["--set", "stages.colors.faces=1"], "did you mean 'colours'"),
        (["--stage", "backbone=none"], "needs this stage; only colours may be left out"),
        (["--stage", "backbone"], "--stage backbone: expected NAME=RUN"),
        (["--stage", f"backbone={tmp_path / 'nothing'}"], "stages.backbone: "),
        (["--set", "stages.backbone.set.training.iteratons=3"], "did you mean 'iterations'"),
        (["--set", "stages.backbone.method=sagn"], "did you mean 'sagan'"),
        (["--set", "stages.backbone.method=staged"], "has stages itself"),
        (["--set", "stages.backbone.set.data.attributes=Male"], "lacks the attributes Eyeglasses"),
        (["--set", "stages.backbone.set.training.trackers=nobody"], "stages.backbone: training.trackers"),
    ):
        assert begin(out, *options) == 2, options
        output = capsys.readouterr()
        assert expected in output.err and "Traceback" not in output.err and not out.exists(), output.err
    assert main(["train", "--model", "sagan", "--stage", "backbone=x", "--out", str(out), "--device", "cpu"]) == 2
    assert "stages.backbone: sagan has no stages; leave out --stage backbone" in capsys.readouterr().err


def test_rehearsal_failure_of_a_later_stage_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = "stages.backbone.set.discriminator={use: stargan, width: 4, stages: 5}"
    assert begin(tmp_path / "run", "--set", wide, "--set", "discriminator.stages=5") == 2
    message = capsys.readouterr().err
    assert message.count("stages") >= 2 and "stages.backbone: " in message, message
    assert not list(tmp_path.iterdir())
