"""`zoo show RUN`: what the files of a run say about it. Imports torch for `--json` alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoogan.errors import ConfigError
from zoogan.paths import expand_path
from zoogan.plugins.host import PluginHost
from zoogan.runs.locations import find_run_folder
from zoogan.runs.summary import Figure, RunSummary

LISTED_NAMES = 8


def find_shown_run(host: PluginHost, name: str) -> Path | None:
    """Find the run that `zoo show NAME` means; None for the name of a method, which wins, and for other words.

    Raises:
        ConfigError: A path that is no run.
    """
    if name in host.registry.methods or name in host.catalogue:
        return None
    try:
        return find_run_folder(name)
    except ConfigError:
        if expand_path(name).exists() or any(mark in name for mark in "/\\~:"):
            raise
        return None


def make_document(host: PluginHost, summary: RunSummary) -> dict[str, Any]:
    """Make the JSON of a run: its summary, and what its editor can do, for which the run is opened.

    Args:
        host: The plugins.
        summary: The summary of the run.
    """
    if not summary.files:
        return summary.as_json() | {"editor": None}
    from zoogan.runs.description import describe_editor
    from zoogan.runs.opening import load

    description = describe_editor(load(summary.path, registry=host.registry))
    return summary.as_json() | {"editor": description.model_dump(mode="json")}


def print_run(summary: RunSummary) -> None:
    """Print the summary of a run for people."""
    for label, text in list_lines(summary):
        print(f"{label + ':':<14}{text}")
    print()
    width = max(map(len, summary.commands), default=0)
    for label, command in summary.commands.items():
        print(f"  {label:<{width}}  {command}")


def list_lines(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """Yield the lines about a run, as (label, text)."""
    from zoogan.terminal.progress import format_duration

    yield "run", str(summary.path)
    recipe = f", recipe {summary.recipe}" if summary.recipe else ""
    yield "method", f"{summary.method} ({summary.title}){recipe}"
    yield "faces", f"{summary.source}, {summary.image_size} px"
    domains = summary.domains if summary.condition == "domain" else ()
    for label, names in (("attributes", summary.attributes), ("domains", domains), ("parts", summary.parts)):
        if names:
            yield label, join_names(names)
    yield "trained", describe_length(summary) + (
        "" if summary.seconds is None else f", {format_duration(summary.seconds)} h:min:s" if summary.seconds >= 3600
        else f", {format_duration(summary.seconds)} min:s"
    )  # fmt: skip
    if summary.stages:
        yield "stages", ", ".join(f"{name} ({state})" for name, state in summary.stages.items())
    megabytes = sum(summary.files.values()) / 1e6
    yield "networks", f"{', '.join(Path(name).stem for name in summary.files) or 'none yet'} ({megabytes:.1f} MB)"
    if summary.directions:
        yield "directions", join_names(summary.directions)
    if summary.checkpoints:
        yield "checkpoints", join_names([name.removeprefix("iteration-").lstrip("0") for name in summary.checkpoints])
    for figure in summary.figures:
        yield "measured", format_figure(figure)
    if summary.report is not None:
        yield "report", str(summary.report)


def describe_length(summary: RunSummary) -> str:
    """Describe how long a run was trained."""
    if not summary.files:
        return f"no model yet, {summary.iterations} iterations are planned"
    if summary.iteration is None:
        return "elsewhere (imported weights)"
    planned = "" if summary.is_finished else f" of {summary.iterations}"
    images = "" if summary.images is None else f", {summary.images:,} images"
    return f"{summary.iteration}{planned} iteration{'' if summary.iteration == 1 and not planned else 's'}{images}"


def join_names(names: Sequence[str]) -> str:
    """Join names, the first few of many."""
    more = len(names) - LISTED_NAMES
    return ", ".join(names[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def format_figure(figure: Figure) -> str:
    """Format a figure of a report, as `edit_error 0.0312 (0.029 to 0.033)`."""
    name = figure.name if figure.attribute is None else f"{figure.name} of {figure.attribute}"
    between = "" if figure.low is None or figure.high is None else f" ({figure.low:.3g} to {figure.high:.3g})"
    return f"{name} {figure.value:.4g}{between}"
