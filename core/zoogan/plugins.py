"""The plugin host (pluggy). Placeholder of the full host: loads the core's components and installed entry points."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from zoogan.registry import Registry


class Zoo:
    def __init__(self) -> None:
        import zoogan.components

        self.registry = Registry()
        modules = [("zoogan", zoogan.components)]
        modules += [(e.name, e.load()) for e in entry_points(group="zoogan.plugins")]
        for name, module in modules:
            self.registry.plugin = name
            module.zoo_register(registry=self.registry)


@cache
def zoo() -> Zoo:
    return Zoo()
