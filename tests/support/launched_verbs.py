"""Run several `zoo` commands one after the other in the processes that `accelerate launch` started.

`accelerate launch ... launched_verbs.py JOBS`, where JOBS is a json file of [port, options] for each command. Imports
are paid once, yet each command runs in a child of its own, as it would had it been launched alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import zoogan.cli.evaluate
import zoogan.training.session  # noqa: F401
from zoogan.cli import main

if __name__ == "__main__":
    for port, options in json.loads(Path(sys.argv[1]).read_text()):
        child = os.fork()
        if child == 0:
            # The launcher's own meeting place remembers who met there: every command gets another.
            os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
            sys.exit(main(options))
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(code)
