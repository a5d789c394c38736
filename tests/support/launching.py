"""Run `zoo` commands in two processes: of one machine, or of two, which are two agents of torchrun here."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support import launched_verbs

TIMEOUT = 480  # seconds
# `--multi_gpu` means several processes on one machine to accelerate; `--device cpu` makes them use gloo.
ACCELERATE = "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 --mixed_precision no"
TORCHRUN = "torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-id zoogan"


def launch(commands: list[list[str]], jobs: Path) -> str:
    """Run each command in two processes that `accelerate launch` starts; return their output."""
    options = [*ACCELERATE.split(), "--dynamo_backend", "no", "--main_process_port", str(find_unused_port())]
    (output,), code = start_launchers([options], commands, jobs, [Path.cwd()])
    assert code == 0, output[-3000:]
    return output


def launch_agents(commands: list[list[str]], jobs: Path, folders: Sequence[Path]) -> tuple[list[str], int]:
    """Run each command in two processes of two agents of torchrun, each with a working folder of its own.

    Returns:
        (what each agent and its process printed, the largest exit code).
    """
    endpoint = f"127.0.0.1:{find_unused_port()}"
    agents = [[*TORCHRUN.split(), "--rdzv-endpoint", endpoint]] * 2
    return start_launchers(agents, commands, jobs, folders)


def start_launchers(
    launchers: Sequence[Sequence[str]], commands: list[list[str]], jobs: Path, folders: Sequence[Path]
) -> tuple[list[str], int]:
    """Start launchers together, each in its folder, and wait for all."""
    jobs.write_text(json.dumps([(find_unused_port(), arguments) for arguments in commands]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    outputs = [jobs.with_suffix(f".{number}.txt") for number in range(len(launchers))]  # a full pipe would stop one
    with contextlib.ExitStack() as stack:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", *launcher, launched_verbs.__file__, str(jobs)], env=environment, cwd=folder,
                stdout=stack.enter_context(output.open("w")), stderr=subprocess.STDOUT,
            )
            for launcher, folder, output in zip(launchers, folders, outputs)
        ]  # fmt: skip
        for process in started:
            stack.callback(process.kill)
        codes = [process.wait(timeout=TIMEOUT) for process in started]
    return [output.read_text() for output in outputs], max(map(abs, codes))


def find_unused_port() -> int:
    """Find a free TCP port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
