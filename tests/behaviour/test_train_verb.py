"""`zoo train` and `zoo edit` in process: complete runs, resumed runs, signals and invalid options."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import zoogan
from support.runs import (
    are_same_tensors,
    assert_same_checkpoints,
    flatten_state,
    make_train_command,
    read_newest_checkpoint,
    tiny_run,
)
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.runs import checkpoints

pytestmark = pytest.mark.slow

SCHEDULED = {"optimizers": {"generator": {"schedule": "cosine"}}}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four iterations that was never interrupted and saved only at its end."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert tiny_run("sagan", run, iterations=4, training={"average": 0.9}, **SCHEDULED) == 0
    return run


@pytest.fixture(scope="module")
def checkpointed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training of `whole_run` with a checkpoint of every iteration."""
    run = tmp_path_factory.mktemp("checkpointed") / "run"
    training = {"average": 0.9, "checkpoint_every": 1, "keep": 9}
    assert tiny_run("sagan", run, iterations=4, training=training, **SCHEDULED) == 0
    return run


def resume(run: Path, *options: str) -> int:
    """Run `zoo train --resume` on the CPU; return its exit code."""
    return main(["train", "--out", str(run), "--resume", "--device", "cpu", *options])


def read_iterations(run: Path) -> list[int]:
    """Read the iterations that a run's metrics list."""
    return [json.loads(line)["iteration"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", ["sagan", "stargan"])
def test_train_leaves_a_run_that_edits_photos(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert tiny_run(method, run, iterations=3, training={"sample_every": 2}) == 0
    output = capsys.readouterr().out
    assert "edit error" in output and "samples" in output and "zoo edit" in output
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "facts.json",
        "metrics.jsonl",
        "samples",
        "model",
        "checkpoints",
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    assert lines[-1]["images"] >= 12 and "discriminator/real" in lines[-1]
    assert [p.name for p in sorted((run / "samples").iterdir())] == ["iteration-00000002.png", "iteration-00000003.png"]

    photo = tmp_path / "Ünïcode photo.jpg"
    Image.new("RGB", (50, 70), (200, 150, 120)).save(photo)
    loaded = zoogan.load(run)
    name = loaded.facts.attributes[0]
    options = ["--attribute", f"{name}=1", "--crop", "--out", str(tmp_path / "edits")]
    assert main(["edit", str(run), str(photo), *options]) == 0
    names = sorted(path.name for path in (tmp_path / "edits").iterdir())
    expected = ["Ünïcode photo-edited.png"]
    if method == "sagan":
        expected += ["Ünïcode photo-mask.png", "Ünïcode photo-residual.png"]
    assert names == sorted(expected)
    assert Image.open(tmp_path / "edits" / "Ünïcode photo-edited.png").size == (16, 16)
    assert main(["edit", str(run), "--grid", "--out", str(tmp_path / "grid.png")]) == 0
    assert (tmp_path / "grid.png").exists()
    assert main(["edit", str(run), str(photo), str(photo), "--grid", "--out", str(tmp_path / "photos.png")]) == 0
    of_data, of_photos = (Image.open(tmp_path / name).size for name in ("grid.png", "photos.png"))
    assert of_photos[0] == of_data[0] and of_photos[1] < of_data[1]  # the same columns, two rows

    edit = loaded.edit(photo, **{name: 1})
    assert edit.image.shape == (1, 3, 16, 16) and edit.image.abs().max() <= 1
    assert torch.equal(
        loaded.edit(loaded.prepare_images(photo), strength=0, **{name: 1}).image, loaded.prepare_images(photo)
    )
    with pytest.raises(ConfigError, match="did you mean"):
        loaded.edit(photo, **{name[:-1]: 1})
    with pytest.raises(ConfigError, match="expected floats of shape"):
        loaded.edit(torch.zeros(1, 3, 8, 8), **{name: 1})


# ---- resume ----


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resume_at_any_iteration_gives_the_same_run(
    tmp_path: Path, whole_run: Path, checkpointed_run: Path, stop: int
) -> None:
    run = Path(shutil.copytree(checkpointed_run, tmp_path / "run"))
    for path in checkpoints.list_checkpoints(run / "checkpoints"):
        if path.name > checkpoints.make_checkpoint_name(stop):
            shutil.rmtree(path)
    assert resume(run) == 0
    assert_same_checkpoints(whole_run, run)
    assert read_iterations(run) == [1, 2, 3, 4]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_resume_gives_the_same_run(
    tmp_path: Path,
    whole_run: Path,
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zoogan.training.trainer import Trainer

    iterate: Callable[[Trainer], None] = Trainer.iterate

    def interrupt(trainer: Trainer) -> None:
        if trainer.iteration == 1:
            os.kill(os.getpid(), number)
        iterate(trainer)

    run = tmp_path / "run"
    monkeypatch.setattr(Trainer, "iterate", interrupt)
    assert tiny_run("sagan", run, iterations=4, training={"average": 0.9}, **SCHEDULED) == code
    assert "zoo train --out" in capsys.readouterr().out
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert resume(run) == 0
    assert_same_checkpoints(whole_run, run)


def test_resume_of_finished_run_reports_it_or_extends_it(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert resume(sagan_copy) == 0
    assert "finished" in capsys.readouterr().out
    assert resume(sagan_copy, "--iterations", "2") == 0
    assert checkpoints.list_checkpoints(sagan_copy / "checkpoints")[-1].name == "iteration-00000002"
    assert yaml.safe_load((sagan_copy / "config.yaml").read_text())["training"]["iterations"] == 2


def test_resume_skips_a_damaged_checkpoint(
    tmp_path: Path, checkpointed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(checkpointed_run, tmp_path / "run"))
    before = {key: tensor.clone() for key, tensor in flatten_state(read_newest_checkpoint(run)).items()}
    newest = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    (newest / "generator.safetensors").unlink()  # loaded tensors map the file, which must not shrink below them
    (newest / "generator.safetensors").write_bytes(b"nothing")
    assert resume(run) == 0
    assert "iteration-00000004 is damaged" in capsys.readouterr().out
    assert are_same_tensors(before, flatten_state(read_newest_checkpoint(run)))


def test_resume_removes_an_incomplete_line_of_metrics(sagan_copy: Path) -> None:
    with (sagan_copy / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 2, "ima')
    assert resume(sagan_copy, "--iterations", "2") == 0
    assert read_iterations(sagan_copy) == [1, 2]


def test_resume_of_a_model_without_checkpoints_is_refused(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(sagan_copy / "checkpoints")  # as an imported run is
    before = {path.name: path.read_bytes() for path in (sagan_copy / "model").iterdir()}
    assert resume(sagan_copy, "--iterations", "2") == 2
    assert "holds a model and no checkpoint" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (sagan_copy / "model").iterdir()}


# ---- mistakes ----


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "sagn"], "did you mean 'sagan'"),
        ([], "--model is missing"),
        (["--model", "sagan", "--set", "training.iteratons=3"], "did you mean 'iterations'"),
        (["--model", "sagan", "--device", "tpu"], "expected auto"),
        (["--model", "sagan", "--precision", "fp16", "--device", "cpu"], "bf16"),
        (["--model", "sagan", "--data", "celeba"], "root"),
        (["--model", "sagan", "--set", "data.attributes=Eyeglases"], "did you mean 'Eyeglasses'"),
        (["--model", "sagan", "--resume"], "--out"),
        (["--model", "sagan", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)  # fmt: skip
def test_train_with_invalid_options_exits_2_and_writes_nothing(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *options]) == 2
    message = capsys.readouterr().err
    assert expected in message and "Traceback" not in message
    assert not (tmp_path / "runs").exists()


def test_train_into_a_used_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert tiny_run("sagan", tmp_path, iterations=1) == 2
    assert "already holds files; name an empty or new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_edit_with_invalid_options_exits_2(tmp_path: Path, sagan_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    for options, expected in (
        ([str(text), "--attribute", "Eyeglasses=1"], "notes.txt"),
        ([str(tmp_path / "gone.jpg"), "--attribute", "Eyeglasses=1"], "gone.jpg"),
        ([str(text)], "--attribute"),
        (["--attribute", "Eyeglasses=1"], "no photo"),
    ):
        assert main(["edit", str(sagan_run), *options, "--out", str(tmp_path / "edits")]) == 2
        assert expected in capsys.readouterr().err
    assert main(["edit", str(tmp_path / "norun"), str(text), "--attribute", "Eyeglasses=1"]) == 2
    assert "not a run" in capsys.readouterr().err


def test_grid_of_moved_faces_needs_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, run = tmp_path / "before", tmp_path / "after", tmp_path / "run"
    before.mkdir()
    for i in range(40):
        Image.new("RGB", (20, 20), (6 * i, 0, 0)).save(before / f"{i}.png")
    (before / "labels.csv").write_text("file,Eyeglasses\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(40)))
    assert tiny_run("sagan", run, "--data", "folder", "--root", str(before), iterations=1) == 0
    before.rename(after)
    grid = ["edit", str(run), "--grid", "--device", "cpu", "--out", str(tmp_path / "grid.png")]
    assert main(grid) == 2
    assert f"{before} is not there; say where the source's files are with --root DIR" in capsys.readouterr().err
    assert main([*grid, "--root", str(after)]) == 0
    assert (tmp_path / "grid.png").exists()
    assert main(["edit", str(run), str(after / "1.png"), "--attribute", "Eyeglasses=1", "--root", str(after)]) == 2
    assert "only --grid" in capsys.readouterr().err


# ---- trackers, precision, processes, threads ----


def test_tensorboard_tracker_writes_events(tmp_path: Path) -> None:
    assert tiny_run("sagan", tmp_path / "run", iterations=1, training={"trackers": "tensorboard"}) == 0
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))


@pytest.mark.parametrize("failure", ["none", "in the loop", "before the loop"])
def test_trackers_are_closed_after_success_and_after_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    closed: list[str] = []

    def fail(trainer: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.finish", lambda tracker: closed.append(tracker.name))
    if failure == "in the loop":
        monkeypatch.setattr("zoogan.training.trainer.Trainer.iterate", fail)
    if failure == "before the loop":
        monkeypatch.setattr("zoogan.training.session.read_sample_faces", fail)
    training = {"trackers": "tensorboard", "sample_every": 2}
    code = tiny_run("sagan", tmp_path / "run", iterations=1, training=training)
    assert (code == 0) == (failure == "none")
    assert closed == ["tensorboard"]


def test_train_in_bf16_succeeds(tmp_path: Path) -> None:
    assert tiny_run("sagan", tmp_path / "run", "--precision", "bf16") == 0


def test_sigterm_to_the_process_group_saves_a_checkpoint(tmp_path: Path) -> None:
    """Schedulers send SIGTERM to every process of a job; workers must not die before the training saves."""
    command = make_train_command("sagan", tmp_path / "run", iterations=100_000, data={"workers": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "zoogan", *command],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("iteration 3/"):
            os.killpg(process.pid, signal.SIGTERM)
            break
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 143, "".join(lines) + rest
    assert "--resume" in rest and checkpoints.find_newest_checkpoint(tmp_path / "run" / "checkpoints")[0] is not None


def test_threads_are_limited_by_the_config_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training never uses more threads than torch does by default: the cores, or OMP_NUM_THREADS."""
    for threads, default, expected in ((2, 4, 2), (2, 1, 1), (None, 4, 4)):
        numbers: list[int] = []
        monkeypatch.setattr(torch, "set_num_threads", numbers.append)
        monkeypatch.setattr(torch, "get_num_threads", lambda default=default: default)
        assert tiny_run("sagan", tmp_path / f"{threads}-{default}", iterations=1, training={"threads": threads}) == 0
        assert numbers == [expected, default]
