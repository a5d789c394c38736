"""Functions that show one message to the user: `print`, or `hide_message` for silence."""

from __future__ import annotations

from collections.abc import Callable

Show = Callable[[str], object]


def hide_message(message: str) -> None:
    """Drop a message."""
