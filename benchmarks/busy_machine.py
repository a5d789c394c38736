"""Measure the iterations a second of `zoo train`, on an idle machine and beside busy processes: one line of JSON.

    python benchmarks/busy_machine.py --iterations 60 --busy 1 --limit 120

It measures the zoogan on PYTHONPATH, or else the installed version. `--environment GOMP_SPINCOUNT=10000` sets a
variable of OpenMP. The iterations before the first report do not count, because they include imports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LOG_EVERY = 5  # iterations
# Ends with its parent, so that an interrupted benchmark leaves no busy process behind.
BUSY = (sys.executable, "-c", "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass")


def measure_rate(options: argparse.Namespace, folder: Path) -> dict[str, float | int]:
    """Train in a fresh process until the last iteration, or until the time limit.

    Returns:
        `iterations` that were timed and `iterations_per_second`; both 0 if there was no second report in time.
    """
    command = [
        sys.executable, "-m", "zoogan", "train", "--model", options.model, "--device", "cpu", "--out", str(folder),
        "--iterations", str(options.iterations), "--set", f"training.log_every={LOG_EVERY}",
    ]  # fmt: skip
    for setting in options.set:
        command += ["--set", setting]
    environment = os.environ | dict(item.split("=", 1) for item in options.environment)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + options.limit
    lines: list[dict[str, float]] = []
    try:
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.5)
            lines = read_reports(folder / "metrics.jsonl")
            if lines and lines[-1]["iteration"] >= options.iterations:
                break
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode > 0:
        raise SystemExit(f"failed with exit code {process.returncode}: {' '.join(command)}")
    lines = read_reports(folder / "metrics.jsonl")
    if len(lines) < 2:
        return {"iterations": 0, "iterations_per_second": 0.0}
    iterations = int(lines[-1]["iteration"] - lines[0]["iteration"])
    rate = iterations / (lines[-1]["seconds"] - lines[0]["seconds"])
    return {"iterations": iterations, "iterations_per_second": round(rate, 3)}


def read_reports(path: Path) -> list[dict[str, float]]:
    """Read the whole lines of metrics.jsonl; none while there is no file."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sagan")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside the training")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each of the two trainings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `zoo train`; repeatable")
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        quiet = measure_rate(options, Path(folder) / "quiet")
        others = [subprocess.Popen(BUSY) for _ in range(options.busy)]
        try:
            busy = measure_rate(options, Path(folder) / "busy")
        finally:
            for other in others:
                other.kill()
                other.wait()
    result = {
        "benchmark": "busy_machine", "model": options.model, "quiet": quiet, "busy": busy,
        "busy_processes": options.busy, "settings": options.set, "environment": options.environment,
        "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "machine": platform.machine(),
        "date": time.strftime("%Y-%m-%d"), "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
