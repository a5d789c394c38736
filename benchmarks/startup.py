"""How long `zoo --help` takes, and whether it imports torch: one line of JSON.

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


def seconds() -> float:
    """One start in a fresh process."""
    began = time.perf_counter()
    subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imports_torch() -> bool:
    """Whether torch is among the imported modules."""
    traced = [sys.executable, "-X", "importtime", *COMMAND[1:]]
    said = subprocess.run(traced, check=True, capture_output=True, text=True).stderr
    return any(line.rpartition("|")[2].strip() == "torch" for line in said.splitlines())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure after one unmeasured start, which fills the caches of bytecode and disk."""
    given = sys.argv[1:] if argv is None else argv
    runs = int(given[0]) if given else 10
    seconds()
    taken = [seconds() for _ in range(runs)]
    result = {
        "command": "python -m zoogan --help",
        "runs": runs,
        "median_seconds": round(statistics.median(taken), 3),
        "fastest_seconds": round(min(taken), 3),
        "imports_torch": imports_torch(),
        "python": sys.version.split()[0],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
