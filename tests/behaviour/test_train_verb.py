"""`zoo train` and `zoo edit`, in process: a run from start to edit, resumes, signals and a person's mistakes."""

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
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.runs import checkpoints

TINY = [
    "--device", "cpu", "--set", "data.image_size=16", "--set", "data.batch=4", "--set", "data.workers=0",
    "--set", "data.faces=32",
    "--set", "data.held_out=16", "--set", "generator.width=4", "--set", "discriminator.width=4",
    "--set", "training.log_every=1", "--set", "training.sample_every=2",
]  # fmt: skip


def train(out: Path, *options: str, method: str = "sagan") -> int:
    return main(["train", "--model", method, "--out", str(out), *TINY, *options])


def final_state(run: Path) -> dict[str, torch.Tensor]:
    path, _ = checkpoints.find_newest_checkpoint(run / "checkpoints")
    assert path is not None
    s = checkpoints.read_checkpoint(path)
    groups = {"": s.networks, ".average": s.averages, ".optimizer": s.optimizers, "game": {"": s.game}}
    return {
        f"{n}{g}/{k}": t.clone()
        for g, group in groups.items()
        for n, tensors in group.items()
        for k, t in tensors.items()
    }


def assert_same_bits(one: Path, other: Path) -> None:
    """Both runs' last checkpoints hold the same tensors, bit for bit."""
    left, right = final_state(one), final_state(other)
    assert set(left) == set(right)
    unequal = {
        name: float((left[name] - right[name]).abs().max()) for name in left if not torch.equal(left[name], right[name])
    }
    assert not unequal, unequal


@pytest.mark.parametrize("method", ["sagan", "stargan"])
def test_one_command_leaves_a_run_that_a_person_can_use(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(run, "--iterations", "3", method=method) == 0
    said = capsys.readouterr().out
    assert "edit error" in said and "samples" in said and "zoo edit" in said
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
    assert main(["edit", str(run), str(photo), "--attribute", f"{name}=1", "--out", str(tmp_path / "edits")]) == 0
    written = sorted(path.name for path in (tmp_path / "edits").iterdir())
    expected = ["Ünïcode photo-edited.png"]
    if method == "sagan":
        expected += ["Ünïcode photo-mask.png", "Ünïcode photo-residual.png"]
    assert written == sorted(expected)
    assert Image.open(tmp_path / "edits" / "Ünïcode photo-edited.png").size == (16, 16)
    assert main(["edit", str(run), "--grid", "--out", str(tmp_path / "grid.png")]) == 0
    assert (tmp_path / "grid.png").exists()
    assert main(["edit", str(run), str(photo), str(photo), "--grid", "--out", str(tmp_path / "mine.png")]) == 0
    theirs, mine = (Image.open(tmp_path / name).size for name in ("grid.png", "mine.png"))
    assert mine[0] == theirs[0] and mine[1] < theirs[1]  # the same columns, two rows

    edit = loaded.edit(photo, **{name: 1})
    assert edit.image.shape == (1, 3, 16, 16) and edit.image.abs().max() <= 1
    assert torch.equal(
        loaded.edit(loaded.prepare_images(photo), strength=0, **{name: 1}).image, loaded.prepare_images(photo)
    )
    with pytest.raises(ConfigError, match="did you mean"):
        loaded.edit(photo, **{name[:-1]: 1})
    with pytest.raises(ConfigError, match="expected floats of shape"):
        loaded.edit(torch.zeros(1, 3, 8, 8), **{name: 1})


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resume_at_any_iteration_is_the_same_run(tmp_path: Path, stop: int) -> None:
    options = ["--set", "training.average=0.9", "--set", "optimizers.generator.schedule=cosine"]
    assert train(tmp_path / "whole", "--iterations", "4", *options) == 0
    assert (
        train(
            tmp_path / "parts",
            "--iterations",
            "4",
            *options,
            "--set",
            f"training.checkpoint_every={stop}",
            "--set",
            "training.keep=9",
        )
        == 0
    )
    folder = tmp_path / "parts" / "checkpoints"
    for path in checkpoints.list_checkpoints(folder):
        if path.name > checkpoints.make_checkpoint_name(stop):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--device", "cpu"]) == 0
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    iterations = [
        json.loads(line)["iteration"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    ]
    assert iterations == [1, 2, 3, 4]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_resumed_run_is_the_same(
    tmp_path: Path, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoogan.training.trainer import Trainer

    iterate: Callable[[Trainer], None] = Trainer.iterate

    def interrupted(trainer: Trainer) -> None:
        if trainer.iteration == 1:
            os.kill(os.getpid(), number)
        iterate(trainer)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    assert train(tmp_path / "run", "--iterations", "4") == code
    assert "zoo train --out" in capsys.readouterr().out
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--device", "cpu"]) == 0
    assert train(tmp_path / "whole", "--iterations", "4") == 0
    assert_same_bits(tmp_path / "whole", tmp_path / "run")


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", "--iterations", "1") == 0
    capsys.readouterr()
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--device", "cpu"]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--iterations", "2", "--device", "cpu"]) == 0
    assert checkpoints.list_checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "iteration-00000002"
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]["iterations"] == 2


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", "--iterations", "3", "--set", "training.checkpoint_every=1") == 0
    whole = final_state(tmp_path / "run")
    newest = checkpoints.list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    (newest / "generator.safetensors").write_bytes(b"nothing")
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--device", "cpu"]) == 0
    assert "iteration-00000003 is damaged" in capsys.readouterr().out
    again = final_state(tmp_path / "run")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


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
def test_a_persons_mistake_exits_2_without_a_traceback(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *options]) == 2
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said
    assert not (tmp_path / "runs").exists(), "nothing is left behind by a mistake"


def test_a_used_folder_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert train(tmp_path, "--iterations", "1") == 2
    assert "--resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_edit_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(run, "--iterations", "1") == 0
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    for options, expected in (
        ([str(text), "--attribute", "Eyeglasses=1"], "notes.txt"),
        ([str(tmp_path / "gone.jpg"), "--attribute", "Eyeglasses=1"], "gone.jpg"),
        ([str(text)], "--attribute"),
        (["--attribute", "Eyeglasses=1"], "no photo"),
    ):
        assert main(["edit", str(run), *options, "--out", str(tmp_path / "edits")]) == 2
        assert expected in capsys.readouterr().err
    assert main(["edit", str(tmp_path / "norun"), str(text), "--attribute", "Eyeglasses=1"]) == 2
    assert "not a run" in capsys.readouterr().err


def test_a_grid_of_faces_that_have_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, run = tmp_path / "before", tmp_path / "after", str(tmp_path / "run")
    before.mkdir()
    for i in range(40):
        Image.new("RGB", (20, 20), (6 * i, 0, 0)).save(before / f"{i}.png")
    (before / "labels.csv").write_text("file,Eyeglasses\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(40)))
    sizes = ("data.image_size=16", "data.batch=4", "data.workers=0", "generator.width=4", "discriminator.width=4")
    options = ["--device", "cpu", "--iterations", "1", *(part for size in sizes for part in ("--set", size))]
    source = ["--data", "folder", "--root", str(before)]
    assert main(["train", "--model", "sagan", "--out", run, *options, *source]) == 0
    before.rename(after)
    grid = ["edit", run, "--grid", "--device", "cpu", "--out", str(tmp_path / "grid.png")]
    assert main(grid) == 2
    assert f"{before} is not there; say where the source's files are with --root DIR" in capsys.readouterr().err
    assert main([*grid, "--root", str(after)]) == 0
    assert (tmp_path / "grid.png").exists()
    assert main(["edit", run, str(after / "1.png"), "--attribute", "Eyeglasses=1", "--root", str(after)]) == 2
    assert "only --grid" in capsys.readouterr().err


def test_tensorboard_through_accelerate(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--iterations", "1", "--set", "training.trackers=tensorboard") == 0
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))


@pytest.mark.parametrize("fails", ["nowhere", "in the loop", "before it"])
def test_trackers_are_closed_on_every_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    closed: list[str] = []

    def fail(trainer: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.finish", lambda tracker: closed.append(tracker.name))
    if fails == "in the loop":
        monkeypatch.setattr("zoogan.training.trainer.Trainer.iterate", fail)
    if fails == "before it":
        monkeypatch.setattr("zoogan.training.session.read_sample_faces", fail)
    code = train(tmp_path / "run", "--iterations", "1", "--set", "training.trackers=tensorboard")
    assert (code == 0) == (fails == "nowhere")
    assert closed == ["tensorboard"]


def test_bf16_trains(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--iterations", "2", "--precision", "bf16") == 0


def test_half_a_line_of_metrics_does_not_stop_a_resume(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--iterations", "1") == 0
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 2, "ima')
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--iterations", "2", "--device", "cpu"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]


def test_sigterm_to_the_whole_group_leaves_the_workers_to_the_training(tmp_path: Path) -> None:
    """Schedulers send SIGTERM to every process of a job; loader workers must not die before it saves."""
    options = ["train", "--model", "sagan", "--out", str(tmp_path / "run"), *TINY, "--iterations", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "zoogan", *options, "--set", "data.workers=1", "--set", "training.sample_every=0"],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("iteration 3/"):
            os.killpg(process.pid, signal.SIGTERM)
            break
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 143, "".join(said) + rest
    assert "--resume" in rest and checkpoints.find_newest_checkpoint(tmp_path / "run" / "checkpoints")[0] is not None


def test_threads_are_at_most_those_of_the_config_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than torch takes by itself: that is what the machine has, or OMP_NUM_THREADS says."""
    for config, machine, taken in ((2, 4, 2), (2, 1, 1), ("null", 4, 4)):
        asked: list[int] = []
        monkeypatch.setattr(torch, "set_num_threads", asked.append)
        monkeypatch.setattr(torch, "get_num_threads", lambda machine=machine: machine)
        run = tmp_path / f"{config}-{machine}"
        assert train(run, "--iterations", "1", "--set", f"training.threads={config}") == 0
        assert asked == [taken, machine]


def test_a_model_without_checkpoints_is_not_trained_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(run, "--iterations", "1") == 0
    shutil.rmtree(run / "checkpoints")  # as an imported run is
    before = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu", "--iterations", "2"]) == 2
    assert "holds a model and no checkpoint" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (run / "model").iterdir()}
