"""Base of losses without settings."""

from __future__ import annotations

from zoogan.facts import Facts


class OptionlessLoss:
    """A loss without settings: `HingeLoss()` in Python, `HingeLoss(config, facts)` from the registry.

    Args:
        config: Unused.
        facts: Unused.
    """

    def __init__(self, config: object = None, facts: Facts | None = None) -> None:
        pass
