"""Run the command line as `python -m zoogan ...`, so that `torchrun --nproc-per-node 2 -m zoogan train ...` works."""

from __future__ import annotations

import sys

from zoogan.cli import main

if __name__ == "__main__":
    sys.exit(main())
