"""Functions that show a person one message: `print`, or `hide_message` where nobody should see it."""

from __future__ import annotations

from collections.abc import Callable

Show = Callable[[str], object]


def hide_message(message: str) -> None:
    """Show nothing."""
