"""Configs of the metrics. Imports no torch."""

from __future__ import annotations

from zoogan.evaluation import distribution_config
from zoogan.registry import Registry


def register(registry: Registry) -> None:
    """Register the metrics."""
    distribution_config.register(registry)
