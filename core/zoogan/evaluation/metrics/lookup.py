"""Looks up the registered metrics: which run by default, and their headline figures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from zoogan.config.registry import Registry
from zoogan.interfaces import DefaultKind, Headline, Kind, Metric
from zoogan.names import import_object


def load_metric_classes(registry: Registry) -> Mapping[str, type[Metric]]:
    """Import the classes of all metrics, by name.

    A metric that cannot be imported is left out with a warning, so that one broken plugin does not stop the others.
    Metrics that are built by a function are left out: they declare nothing.
    """
    classes = {}
    for name in registry.list_names("metric"):
        component = registry.components["metric", name]
        try:
            builder = import_object(component.build)
        except Exception as error:  # importing a plugin's module can raise any error
            warnings.warn(
                f"metric {name!r} of plugin {component.plugin!r} is left out: {component.build!r} cannot be imported "
                f"({type(error).__name__}: {error})",
                stacklevel=2,
            )
            continue
        if isinstance(builder, type) and issubclass(builder, Metric):
            classes[name] = builder
    return classes


def list_default_metrics(registry: Registry, kind: Kind, parts: bool = False, layouts: bool = False) -> list[str]:
    """List the metrics that `zoo evaluate` runs unless metrics are named, in the order of the report.

    Args:
        registry: The registry of metrics.
        kind: What is measured.
        parts: Whether it is samples of faces with parts; the metrics of parts come last.
        layouts: Whether it is edits that are segmentations alone.
    """
    groups: list[DefaultKind] = ["layouts"] if layouts else [kind, "parts"] if parts else [kind]
    places = {name: metric.default_for for name, metric in load_metric_classes(registry).items()}
    return [
        name
        for group in groups
        for _, name in sorted((place[group], name) for name, place in places.items() if group in place)
    ]


def collect_headlines(registry: Registry) -> Mapping[str, Headline]:
    """Collect the headlines of all metrics, by measure."""
    return {
        measure: headline
        for metric in load_metric_classes(registry).values()
        for measure, headline in metric.headlines.items()
    }
