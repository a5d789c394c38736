"""Names: import strings, suggestions for misspelt names, and short lists of problems. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

MAX_PROBLEMS = 5  # of a long list of problems, how many are printed


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the known name that is nearest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def import_object(path: str) -> Any:
    """Import the object behind an import string `package.module:Name`. What its module prints goes to stderr.

    Raises:
        ImportError: The module cannot be imported, or tried to end the program.
    """
    module, _, name = path.partition(":")
    try:
        with redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module), name)
    except SystemExit as error:
        raise ImportError(f"{module} tried to end the program when it was imported") from error


def join_names(names: Sequence[str]) -> str:
    """Join the first few names with commas, and say how many more there are."""
    more = len(names) - MAX_PROBLEMS
    return ", ".join([*names[:MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def join_problems(problems: Sequence[str]) -> str:
    """Join the first few problems, one a line, and say how many there are in all."""
    more = len(problems) - MAX_PROBLEMS
    rest = [f"... and {more} more ({len(problems)} in all)"] if more > 0 else []
    return "\n".join([*problems[:MAX_PROBLEMS], *rest])
