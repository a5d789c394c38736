"""A run folder has one owner at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zoogan
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.runs.locations import create_run_folder, explain_occupied_folder
from zoogan.runs.lock import LOCK, lock_run

HOLD = """
import sys, time
from pathlib import Path
from zoogan.runs.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import multiprocessing, sys, time
from pathlib import Path
from zoogan.errors import ConfigError
from zoogan.runs.lock import lock_run

def contend(folder, ready, answers, done):
    ready.wait()
    try:
        with lock_run(folder):
            answers.put("held")
            done.wait()
    except ConfigError as error:
        answers.put(str(error))

fork = multiprocessing.get_context("fork")
for turn in range(20):
    folder, ready, answers, done = Path(sys.argv[1]) / str(turn), fork.Barrier(2), fork.Queue(), fork.Event()
    both = [fork.Process(target=contend, args=(folder, ready, answers, done)) for _ in range(2)]
    for process in both:
        process.start()
    texts = sorted((answers.get(timeout=20) for _ in both), key=len)
    done.set()
    for process in both:
        process.join()
    assert texts[0] == "held" and any(f"process {process.pid} on" in texts[1] for process in both), texts
    assert not folder.exists() or not list(folder.iterdir()), "it stays, empty, if the one that lost had made it"
assert "torch" not in sys.modules
"""


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[Path], subprocess.Popen[str]]:
    def start(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    return start


def test_second_process_is_told_who_holds_the_folder(
    hold: Callable[[Path], subprocess.Popen[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    owner = hold(folder)
    try:
        config = tmp_path / "stored" / "config.yaml"
        assert json.loads((folder / LOCK).read_text())["pid"] == owner.pid
        assert main(["train", "--model", "sagan", "--iterations", "1", "--out", str(folder), "--device", "cpu"]) == 2
        message = " ".join(capsys.readouterr().err.split())
        assert f"process {owner.pid} on " in message and "trains there since" in message
        assert [file.name for file in folder.iterdir()] == [LOCK] and not config.exists()
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert (folder / LOCK).exists(), "a killed process leaves its file"
    with lock_run(folder):  # which hinders nobody
        assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
    assert not (folder / LOCK).exists() and folder.exists()


def test_one_of_two_processes_wins_twenty_times(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", RACE, str(tmp_path)], check=True, timeout=120)


def test_resume_of_a_folder_in_use_is_refused(sagan_copy: Path) -> None:
    before = sorted(path.name for path in sagan_copy.iterdir())
    with lock_run(sagan_copy), pytest.raises(ConfigError, match="is training there already"):
        zoogan.train(out=sagan_copy, resume=True, device="cpu", quiet=True)
    assert sorted(path.name for path in sagan_copy.iterdir()) == before


def test_lock_of_a_killed_training_does_not_occupy_a_folder(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("{")
    with pytest.raises(ConfigError, match=r"sagn"):
        zoogan.train("sagn", out=tmp_path, device="cpu", quiet=True)
    with lock_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_draft_of_a_killed_training_does_not_occupy_a_folder(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / ".config.yaml.123.tmp").touch()
    assert explain_occupied_folder(tmp_path, ignores_lock=True) is None
    assert explain_occupied_folder(tmp_path) == "the folder is in use"
    (tmp_path / "mine.tmp").touch()
    assert explain_occupied_folder(tmp_path, ignores_lock=True) == "the folder already holds files"


def test_wrong_settings_leave_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with pytest.raises(ConfigError):
        zoogan.train("sagan", out=folder, data={"source": "folder", "root": str(tmp_path / "no")}, device="cpu")
    assert not folder.parent.exists()


def test_unreachable_parent_of_numbered_runs_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "not-mounted")
    with pytest.raises(ConfigError, match="cannot be written"):
        create_run_folder(tmp_path / "runs" / "sagan-drawn-64-001")


def test_folder_that_a_training_holds_is_in_use_for_others(tmp_path: Path) -> None:
    with lock_run(tmp_path / "run"):
        assert explain_occupied_folder(tmp_path / "run") == "the folder is in use"
        assert explain_occupied_folder(tmp_path / "run", ignores_lock=True) is None
