"""Whatever watches a training, or feeds it, may fail; the training is not lost."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from accelerate import Accelerator

from support.runs import REGISTRY, are_same_tensors, assert_same_checkpoints, flatten_state, tiny_run
from zoogan import files
from zoogan.cli import main
from zoogan.composition.build import compose
from zoogan.runs import checkpoints
from zoogan.terminal.progress import Display
from zoogan.terminal.signals import StopSignals
from zoogan.testing.conformance import make_random_batches, make_tiny_config, make_tiny_facts
from zoogan.training.logbook import Logbook
from zoogan.training.trainer import Trainer


def find_saved_iteration(run: Path) -> int:
    """Find the iteration of the newest checkpoint that can be read."""
    state, _ = checkpoints.find_newest_checkpoint(run / "checkpoints")
    assert state is not None
    return int(state.name.rpartition("-")[2])


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four iterations that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert tiny_run("sagan", folder, iterations=4) == 0
    return folder


def fail(*_: Any, **__: Any) -> None:
    raise ConnectionError("no route to host")


def test_tracker_that_cannot_start_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.start", fail)
    assert tiny_run("sagan", tmp_path / "run", training={"trackers": "tensorboard", "log_every": 1}) == 0
    messages = [record.getMessage() for record in caplog.records if record.name == "zoogan.training"]
    assert [message for message in messages if "trackers" in message] == [
        "trackers: start failed (ConnectionError: no route to host); the training goes on without them"
    ]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("action", ["log", "finish"])
def test_tracker_that_fails_later_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture, action: str) -> None:
    calls: list[str] = []

    def record(*_: Any, name: str = "log", **__: Any) -> None:
        calls.append(name)
        if name == action:
            fail()

    trackers = [SimpleNamespace(finish=partial(record, name="finish")) for _ in range(2)]
    accelerator: Any = SimpleNamespace(init_trackers=lambda *_, **__: None, log=record, trackers=trackers)
    logbook = Logbook(tmp_path / "metrics.jsonl", accelerator)
    logbook.open_trackers("sagan")
    for iteration in (1, 2):
        logbook.write(iteration, {}, {"loss": 1.0})
    logbook.close_trackers()
    assert len(caplog.records) == 1 and f"trackers: {action} failed" in caplog.text
    assert calls == (["log"] if action == "log" else ["log", "log"]) + ["finish", "finish"]
    assert len(logbook.path.read_text().splitlines()) == 2


def test_full_disk_costs_lines_of_the_log_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logbook, path, full = Logbook(tmp_path / "metrics.jsonl", None), tmp_path / "metrics.jsonl", False
    plain_open = Path.open

    def open_file(self: Path, *arguments: Any, **options: Any) -> Any:
        if full and self == path:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain_open(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_file)
    logbook.write(1, {}, {"loss": 1.0})
    full = True
    logbook.write(2, {}, {"loss": 2.0})
    logbook.write(3, {}, {"loss": 3.0})
    full = False
    logbook.write(4, {"seconds": 9.0}, {"loss": 4.0})
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: cannot be written (No space left on device); the training goes on"
    ]
    again = Logbook(path, None)
    again.drop_after(4)
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [1, 4]
    assert again.seconds == 9.0


def test_damaged_log_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"iteration": 1, "seconds": 3}\n[]\n{"other": 1}\nnull\n\xff\xfe\n{"iteration": "x"}\n{"iter')
    logbook = Logbook(path, None)
    logbook.drop_after(5)
    assert path.read_text() == '{"iteration": 1, "seconds": 3}\n' and logbook.seconds == 3


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.ENOSPC, "full")])
def test_training_goes_on_when_nobody_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    class ClosedPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise error

        def flush(self) -> None:
            raise error

    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    display = Display(0, 10, 4)
    with display:
        display.report(1, {"discriminator/real": 1.0})
        display.print_line("saved")
        display.report(2, {})
    assert display.console.quiet


def test_lost_terminal_does_not_end_a_training() -> None:
    def fail_to_stop() -> None:
        raise OSError(errno.EIO, "Input/output error")

    display = Display(0, 10, 4)
    with display:
        display.bar = cast(Any, SimpleNamespace(stop=fail_to_stop))
    assert display.console.quiet


@pytest.mark.parametrize(
    "place", ["zoogan.training.session.save_sample_grid", "zoogan.training.trainer.Trainer.fetch_batch"]
)
def test_error_between_iterations_saves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str, whole_run: Path
) -> None:
    calls = 0
    original = Trainer.fetch_batch

    def fail_later(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3 or "grid" in place:
            raise OSError("broken.png: damaged")
        return original(*arguments, **options)

    monkeypatch.setattr(place, fail_later)
    run, training = tmp_path / "run", {"sample_every": 2}
    assert tiny_run("sagan", run, iterations=4, training=training) == 1
    assert find_saved_iteration(run) == 2
    told = " ".join("".join(capsys.readouterr()).split())
    assert "saved in" in told and "iteration-00000002; --resume goes on there" in told and "broken.png: damaged" in told
    monkeypatch.undo()
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu"]) == 0
    for file in ("generator", "discriminator"):
        resumed, whole = (folder / "model" / f"{file}.safetensors" for folder in (run, whole_run))
        assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("step", "call", "saved"),
    [
        ("discriminator", "average_gradients", 2),
        ("generator", "average_gradients", 2),
        ("generator", "optimizer", None),  # which may have changed half of the weights
    ],
)
def test_error_inside_an_iteration_keeps_what_was_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_run: Path, step: str, call: str, saved: int | None
) -> None:
    """The forward pass has changed the statistics of BatchNorm when the backward pass runs out of memory."""
    original = Trainer.update

    def fail(*_: Any) -> None:
        raise MemoryError

    def fail_in_third_iteration(self: Trainer, current: Any, *arguments: Any) -> None:
        if self.iteration == 2 and current.name == step:
            owner, name = (self.world, call) if call != "optimizer" else (self.optimizers[step], "step")
            monkeypatch.setattr(owner, name, fail)
        original(self, current, *arguments)

    monkeypatch.setattr(Trainer, "update", fail_in_third_iteration)
    run = tmp_path / "run"
    assert tiny_run("sagan", run, iterations=4) == 5
    if saved is None:
        assert checkpoints.find_newest_checkpoint(run / "checkpoints") == (None, [])
        return
    assert find_saved_iteration(run) == saved
    monkeypatch.undo()
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu"]) == 0
    assert_same_checkpoints(run, whole_run)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("sagan", {"cadence": {"discriminator_repeat": 2, "fresh_batch": True}}), ("stylegan2", {})],
)
def test_resume_after_any_update_of_an_iteration_is_exact(method: str, settings: dict[str, Any]) -> None:
    config = make_tiny_config(method, REGISTRY, settings)

    def start(position: int = 0) -> Trainer:
        composition = compose(config, make_tiny_facts(config), REGISTRY)
        return Trainer(composition, REGISTRY, Accelerator(cpu=True), make_random_batches(composition, position))

    whole = start()
    for _ in range(2):
        whole.iterate()
    expected, place = flatten_state(whole.get_state()), 0

    def update_or_fail(trainer: Trainer, place: int, step: Any, *arguments: Any) -> None:
        if (trainer.iteration, trainer.updates) == (1, place):
            trainer.world.average_gradients = fail  # type: ignore[method-assign]
        Trainer.update(trainer, step, *arguments)

    while True:
        broken = start()
        broken.update = partial(update_or_fail, broken, place)  # type: ignore[method-assign]
        try:
            for _ in range(2):
                broken.iterate()
        except ConnectionError:
            assert broken.undo_update()
        else:
            break
        state = broken.get_state()
        resumed = start(state.position)
        resumed.restore(state)
        resumed.iterate()
        assert are_same_tensors(flatten_state(resumed.get_state()), expected), f"after update {place}"
        assert resumed.position == whole.position
        place += 1
    assert place >= 2


class Killed(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize(
    ("owner", "name", "before"),
    [(files, "exchange_folders", 1), (files, "save_file", 14)],  # at the second model, in the second checkpoint
)
def test_training_killed_inside_a_save_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_run: Path, owner: Any, name: str, before: int
) -> None:
    """From the killed call on nothing more is written; `benchmarks/kill_training.py` kills real processes."""
    calls = 0

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    original = getattr(owner, name)

    def call_or_die(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < before:
            return original(*arguments, **options)
        for place, function in ((os, "replace"), (os, "fsync"), (shutil, "rmtree"), (Path, "write_text")):
            monkeypatch.setattr(place, function, die)
        raise Killed

    monkeypatch.setattr(owner, name, call_or_die)
    run = tmp_path / "run"
    with pytest.raises(Killed):
        tiny_run("sagan", run, iterations=4, training={"checkpoint_every": 1})
    monkeypatch.undo()
    assert find_saved_iteration(run) in (1, 2) and (run / "model").is_dir()
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu"]) == 0
    assert_same_checkpoints(run, whole_run)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_signals_of_terminals_and_schedulers_stop_a_training(name: str) -> None:
    number = getattr(signal, name)
    inherited = signal.signal(number, signal.SIG_DFL)  # ignored under nohup
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), number)
            assert signals.received == number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, inherited)


def test_launched_process_takes_a_signal_passed_on_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM and terminals signal torchrun and its processes, and torchrun passes the signal on to them."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    try:
        with StopSignals() as signals:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            assert signals.received == signal.SIGINT
            monkeypatch.setattr("zoogan.terminal.signals.REPEATED", 0.0)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)


LONG_CALL = """
import ctypes, os, signal, sys, threading, time
signal.signal(int(sys.argv[1]), signal.default_int_handler)  # the parent may ignore it
from zoogan.terminal import signals
signals.GRACE = 0.1

def send():
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(0.2)
    print("not stopped by the first one", flush=True)
    os.kill(os.getpid(), int(sys.argv[1]))

with signals.StopSignals("iteration"):
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    threading.Thread(target=send, daemon=True).start()
    libc.pthread_mutex_lock(mutex)  # waits forever, and no handler of Python runs
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of zeros is a free one on Linux")
def test_signals_are_answered_inside_a_long_call() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LONG_CALL, str(int(signal.SIGINT))], capture_output=True, text=True, timeout=60
    )
    assert result.stderr == "SIGINT: stopping after this iteration; a second signal stops at once\n"
    assert result.stdout == "not stopped by the first one\n" and result.returncode == 128 + signal.SIGINT


def test_hangup_stays_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
