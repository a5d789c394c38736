"""Run `zoo` commands in two processes that `accelerate launch` starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from support import launched_verbs


def launch(commands: list[list[str]], jobs: Path, *, fails: bool = False) -> str:
    """Run each command in two processes; return their output, or the errors where the last command `fails`."""
    jobs.write_text(json.dumps([(find_unused_port(), arguments) for arguments in commands]))
    # `--multi_gpu` means several processes on one machine to accelerate; `--device cpu` makes them use gloo.
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launcher += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", str(find_unused_port())]
    command = [*launcher, launched_verbs.__file__, str(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert (result.returncode != 0) == fails, result.stderr[-3000:]
    return result.stderr if fails else result.stdout


def find_unused_port() -> int:
    """Find a free TCP port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
