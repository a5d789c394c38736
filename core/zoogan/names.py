"""To be written."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from typing import Any


def suggest_name(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the nearest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def import_object(path: str) -> Any:
    """The object behind an import string `package.module:Name`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


SHOWN = 5  # of a long list of problems, how many are spelled out


def join_problems(problems: Sequence[str]) -> str:
    """The first few problems, one a line, and how many there are."""
    more = len(problems) - SHOWN
    rest = [f"... and {more} more ({len(problems)} in all)"] if more > 0 else []
    return "\n".join([*problems[:SHOWN], *rest])
