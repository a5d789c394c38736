"""Measure how long `zoo --help` takes, and whether it imports torch: one line of JSON.

python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

COMMAND = (sys.executable, "-m", "zoogan", "--help")


def measure_start() -> float:
    """Measure the seconds of one start in a fresh process."""
    began = time.perf_counter()
    subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imports_torch() -> bool:
    """Tell whether torch is among the imported modules."""
    command = [sys.executable, "-X", "importtime", *COMMAND[1:]]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return any(line.rpartition("|")[2].strip() == "torch" for line in report.splitlines())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure after one unmeasured start, which fills the caches of bytecode and disk."""
    arguments = sys.argv[1:] if argv is None else argv
    runs = int(arguments[0]) if arguments else 10
    measure_start()
    seconds = [measure_start() for _ in range(runs)]
    result = {
        "command": "python -m zoogan --help",
        "runs": runs,
        "median_seconds": round(statistics.median(seconds), 3),
        "fastest_seconds": round(min(seconds), 3),
        "imports_torch": imports_torch(),
        "python": sys.version.split()[0],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
