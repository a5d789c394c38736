"""Shell completion. Imports no torch: it runs at every press of the tab key."""

from __future__ import annotations


def complete_model(incomplete: str) -> list[str]:
    """Return the installed models whose names begin with `incomplete`."""
    from zoogan.plugins.host import get_zoo

    return [name for name in sorted(get_zoo().registry.methods) if name.startswith(incomplete)]
