"""Kill trainings at random moments and at every step of a save, resume them, and compare the result bit for bit.

python benchmarks/kill_training.py --kills 200 --points 0 --seed 1

Every training is a fork of this process, which has imported everything but has trained nothing. The script prints one
line of JSON; its exit code is 1 if any run was lost or differs from the one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zoogan import files
from zoogan.cli import main as zoo
from zoogan.plugins.host import get_zoo
from zoogan.runs import checkpoints, opening
from zoogan.training.trainer import Trainer

SETTINGS = (
    "data.image_size=16", "data.batch=4", "data.faces=16", "data.held_out=4", "data.workers=0", "generator.width=4",
    "discriminator.width=4", "training.checkpoint_every=1", "training.keep=2", "training.sample_every=0",
    "training.log_every=1", "training.average=0.9",
)  # fmt: skip
LAST_SECONDS = 300  # of one training; a longer one hangs
CALLS: tuple[tuple[Any, str], ...] = (
    (os, "replace"), (os, "fsync"), (shutil, "rmtree"), (Path, "mkdir"), (Path, "unlink"), (Path, "write_text"),
    (files, "exchange_folders"), (files, "save_file"),
)  # fmt: skip
"""What a training calls when it changes files: it is killed before each call in turn."""
USUAL_CALLS = 40  # of a training of two iterations, at least


def start_training(run: Path, iterations: int, prepare: Callable[[], object]) -> int:
    """Fork a process that trains a run, or goes on with it; returns its id.

    Args:
        run: The run folder.
        iterations: Length of the training.
        prepare: Called in the process before it trains.
    """
    command = ["train", "--out", str(run), "--device", "cpu", "--iterations", str(iterations)]
    if (run / "config.yaml").exists():
        command.append("--resume")
    else:
        command += ["--model", "sagan", *(part for setting in SETTINGS for part in ("--set", setting))]
    if pid := os.fork():
        return pid
    try:
        log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        prepare()
        code = zoo(command)
        run.with_suffix(".modules").write_text("\n".join(sys.modules))
        os._exit(code)
    finally:
        os._exit(99)


def wait_for(pid: int) -> int:
    """Wait for a process, at most `LAST_SECONDS`; returns its exit code, minus the signal that killed it."""
    limit = time.monotonic() + LAST_SECONDS
    while time.monotonic() < limit:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -999


def report_first_iteration(pipe: int) -> None:
    """Let a training write a byte when its first iteration begins."""
    iterate = Trainer.iterate

    def announce(trainer: Trainer) -> None:
        Trainer.iterate = iterate  # type: ignore[method-assign]
        os.write(pipe, b"1")
        iterate(trainer)

    Trainer.iterate = announce  # type: ignore[method-assign]


def die_before_call(at: int) -> None:
    """Kill this process before the `at`-th call that changes files."""
    count = 0

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_or_die(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return call_or_die

    for owner, name in CALLS:
        setattr(owner, name, wrap(getattr(owner, name)))


def read_result(run: Path) -> dict[str, bytes]:
    """Read what must be the same however often a training was killed: the newest checkpoint, the model, the log."""
    newest = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    paths = [*newest.glob("*.safetensors"), newest / "state.json", *(run / "model").iterdir()]
    result = {str(path.relative_to(run)): path.read_bytes() for path in paths}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = {"seconds", "iterations_per_second"}
    kept = [{key: value for key, value in line.items() if key not in times} for line in lines]
    return result | {"metrics": json.dumps(kept).encode()}


def find_fault(run: Path, had_model: bool) -> str | None:
    """Find what is wrong with a run whose training was just killed; None if nothing is."""
    newest, damaged = checkpoints.find_newest_checkpoint(run / "checkpoints")
    if damaged:
        return damaged[0]
    if had_model and (newest is None or not (run / "model").is_dir()):
        return "the model or the checkpoint is gone"
    if (run / "model").is_dir():
        opening.load(run)
    return None


class Attack:
    """Trains, kills and compares.

    Args:
        place: A folder for the runs.
        iterations: Length of each training.
        minutes: How long to go on.
    """

    def __init__(self, place: Path, iterations: int, minutes: float) -> None:
        self.place, self.iterations, self.end = place, iterations, time.monotonic() + 60 * minutes
        self.faults: list[str] = []
        self.finished = self.runs = 0
        reference = place / "whole"
        self.train_whole(reference)
        for name in reference.with_suffix(".modules").read_text().splitlines():
            with contextlib.suppress(Exception):  # no fork has to import it again
                importlib.import_module(name)
        self.expected = read_result(reference)
        again = self.make_run()
        self.seconds = self.train_whole(again)  # without the imports, as long as those that are killed
        self.compare(again, 0, "undisturbed")

    def train_whole(self, run: Path) -> float:
        """Train a run that nobody disturbs; returns the seconds."""
        began = time.monotonic()
        if code := wait_for(start_training(run, self.iterations, lambda: None)):
            raise SystemExit(f"the training that nobody disturbs ended with {code}: see {run}.log")
        return time.monotonic() - began

    def make_run(self) -> Path:
        """Choose a new run folder."""
        self.runs += 1
        return self.place / f"run-{self.runs:04d}"

    def check(self, run: Path, had_model: bool, where: str) -> None:
        """Note what is wrong with a run whose training was killed."""
        try:
            fault = find_fault(run, had_model)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault:
            self.faults.append(f"{where}: {fault}")

    def compare(self, run: Path, code: int, where: str) -> None:
        """Compare a finished run with the one that nobody disturbed, and remove it."""
        self.finished += 1
        result = read_result(run) if code == 0 else {}
        if different := sorted(
            name for name in {**result, **self.expected} if result.get(name) != self.expected.get(name)
        ):
            self.faults.append(f"{where}: exit code {code}, different: {', '.join(different)}: see {run}.log")
        else:
            shutil.rmtree(run)

    def kill_at_random(self, kills: int, generator: random.Random) -> int:
        """Kill trainings at random moments after their first iteration has begun; returns how many were killed."""
        killed, run = 0, self.make_run()
        while killed < kills and time.monotonic() < self.end:
            reader, writer = os.pipe()
            had_model = (run / "model").is_dir()
            pid = start_training(run, self.iterations, lambda writer=writer: report_first_iteration(writer))
            os.close(writer)
            os.read(reader, 1)  # returns also if the process ends before
            os.close(reader)
            time.sleep(generator.uniform(0, 0.8 * self.seconds))
            os.kill(pid, signal.SIGKILL)
            code = wait_for(pid)
            if code == -signal.SIGKILL:
                killed += 1
                self.check(run, had_model, f"kill {killed}")
                continue
            self.compare(run, code, f"after kill {killed}")
            run = self.make_run()
        self.compare(run, wait_for(start_training(run, self.iterations, lambda: None)), f"after kill {killed}")
        return killed

    def kill_at_calls(self, points: int | None, generator: random.Random) -> int:
        """Kill trainings before one of the calls that change files; returns how many were killed.

        Args:
            points: How many, chosen at random; None = all.
            generator: Chooses them.
        """
        at, count = 0, 0
        while (points is None or count < points) and time.monotonic() < self.end:
            at = at + 1 if points is None else generator.randint(1, USUAL_CALLS)
            run = self.make_run()
            code = wait_for(start_training(run, self.iterations, lambda at=at: die_before_call(at)))
            if code != -signal.SIGKILL:
                self.compare(run, code, "undisturbed")
                if points is None:
                    break
                continue
            count += 1
            self.check(run, False, f"call {at}")
            self.compare(run, wait_for(start_training(run, self.iterations, lambda: None)), f"call {at}")
        return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attack and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills at random moments")
    parser.add_argument("--points", type=int, help="kills before calls that change files; default: before each")
    parser.add_argument("--iterations", type=int, default=4, help="length of each training")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long, whatever was done")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--place", type=Path, help="folder for the runs; default: a temporary one")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    get_zoo()
    place = options.place or Path(tempfile.mkdtemp(prefix="kill-training-"))
    place.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    attack = Attack(place, options.iterations, options.minutes)
    generator = random.Random(options.seed)
    points = attack.kill_at_calls(options.points, generator) if options.points != 0 else 0
    kills = attack.kill_at_random(options.kills, generator) if options.kills else 0
    print(json.dumps({
        "kills": kills, "crash_points": points, "finished_and_equal": attack.finished - len(attack.faults),
        "faults": attack.faults, "seed": options.seed, "iterations": options.iterations,
        "seconds": round(time.monotonic() - began, 1),
    }))  # fmt: skip
    if not attack.faults and options.place is None:
        shutil.rmtree(place)
    return 1 if attack.faults else 0


if __name__ == "__main__":
    sys.exit(main())
