"""Lists the installed methods and those of the catalogue. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost


@dataclass(frozen=True)
class MethodInfo:
    """Facts about a method, from the registry and the catalogue, without importing its code.

    Attributes:
        name: The id, such as `stargan-v2`.
        title: The name for people.
        summary: What it does, in one sentence; empty if the catalogue does not know the method.
        paper: Where it was published, such as `Choi et al., CVPR`.
        year: Year of publication; None if the catalogue does not know the method.
        installed: Whether it can be trained here.
        recipes: Names of its recipes; empty if it is not installed.
        plugin: The plugin that registered it; None if it is not installed.
        distribution: The package that it comes with; None if it is not written yet or not in the catalogue.
        stages: Names of the trainings and jobs that come before its own training, in order.
    """

    name: str
    title: str
    summary: str
    paper: str
    year: int | None
    installed: bool
    recipes: tuple[str, ...]
    plugin: str | None
    distribution: str | None
    stages: tuple[str, ...] = ()


def list_methods(*, plugins: Sequence[str | Path] = (), host: PluginHost | None = None) -> list[MethodInfo]:
    """List the installed methods, sorted by name, then the other methods of the catalogue.

    Args:
        plugins: Single-file plugins to load first, as of `zoo list --plugin`.
        host: The zoo to list; None = the zoo of this process.
    """
    from zoogan.plugins.host import get_zoo

    host = host or get_zoo()
    host.load_files([Path(path) for path in plugins])
    catalogue, methods = host.catalogue, host.registry.methods
    rows = []
    for name, spec in sorted(methods.items()):
        entry = catalogue.get(name)
        rows.append(
            MethodInfo(
                name=name,
                title=entry.title if entry else spec.title,
                summary=entry.summary if entry else "",
                paper=entry.paper.format_short() if entry else spec.paper,
                year=entry.year if entry else None,
                installed=True,
                recipes=tuple(spec.list_recipes()),
                plugin=spec.plugin,
                distribution=entry.distribution if entry else None,
                stages=tuple(stage.name for stage in spec.stages),
            )
        )
    for name, entry in catalogue.items():
        if name not in methods:
            rows.append(
                MethodInfo(
                    name=name,
                    title=entry.title,
                    summary=entry.summary,
                    paper=entry.paper.format_short(),
                    year=entry.year,
                    installed=False,
                    recipes=(),
                    plugin=None,
                    distribution=entry.distribution,
                    stages=entry.stages,
                )
            )
    return rows
