"""The core's own components, registered through the hook that every plugin uses."""

from __future__ import annotations

from zoogan.config.registry import Registry
from zoogan.plugins.hooks import hookimpl


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the components that ship with the core."""
    from zoogan.conditions import config as conditions
    from zoogan.data import config as data
    from zoogan.evaluation import metrics
    from zoogan.layers import config as layers
    from zoogan.losses import config as losses
    from zoogan.training import config as training

    for module in (conditions, data, metrics, layers, losses, training):
        module.register(registry)
