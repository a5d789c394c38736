"""What a shell completes. Imports no torch: it runs at every press of the tab key."""

from __future__ import annotations


def complete_model(incomplete: str) -> list[str]:
    """The installed models whose names begin so."""
    from zoogan.plugins.host import get_zoo

    return [name for name in sorted(get_zoo().registry.methods) if name.startswith(incomplete)]
