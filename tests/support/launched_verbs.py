"""Run several `zoo` commands one after the other in the processes that `accelerate launch` started.

Usage: `accelerate launch ... launched_verbs.py JOBS`. JOBS is a JSON file with [port, arguments] for each command.
Modules are imported once, but each command runs in its own child process, as if it had been launched alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch._dynamo  # noqa: F401  # needed by the first step of an optimizer, and slow to import

import zoogan.cli.evaluate
import zoogan.training.session  # noqa: F401
from zoogan.cli import main

if __name__ == "__main__":
    for port, arguments in json.loads(Path(sys.argv[1]).read_text()):
        child = os.fork()
        if child == 0:
            # The launcher's rendezvous cannot be used twice, so every command gets its own port.
            os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
            sys.exit(main(arguments))
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(code)
