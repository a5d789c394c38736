"""The core's own components, registered through the same hook as everybody's."""

from __future__ import annotations

from zoogan.config.registry import Registry
from zoogan.plugins.hooks import hookimpl


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register what ships with the core."""
    from zoogan.conditions import config as conditions
    from zoogan.data import config as data
    from zoogan.evaluation import config as evaluation
    from zoogan.layers import config as layers
    from zoogan.losses import config as losses
    from zoogan.training import config as training

    for module in (conditions, data, evaluation, layers, losses, training):
        module.register(registry)
