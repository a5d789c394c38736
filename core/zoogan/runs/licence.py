"""The licence of a run's weights, as far as its data decides it. Imports no torch."""

from __future__ import annotations

from zoogan.config import GameConfig

DRAWN = "drawn"  # faces that zoogan renders itself, which show nobody


def is_drawn(config: GameConfig) -> bool:
    """Return whether a run was trained on drawn faces, so that its weights may be passed on."""
    return str(config.data.source) == DRAWN


def describe_licence(config: GameConfig) -> str:
    """Say what may be done with the weights of a run: the name of a licence, or a sentence."""
    if is_drawn(config):
        return "apache-2.0"
    return f"decided by the licence of the faces that it was trained on ({config.data.source})"
