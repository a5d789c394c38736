"""Measures the edits of a run against their true redraws; the result is shown at the end of a training.

Edits that are images are measured by their pixels, edits that are segmentations by their parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from zoogan.interfaces import Editor, Metric, Source, Statistic

Statistics = Mapping[tuple[str, str | None], "Statistic"]
"""Statistics by measure and attribute."""


def measure_truth(
    source: Source, source_name: str, editor: Editor, attributes: Sequence[str], device: torch.device
) -> list[str]:
    """Measure how far edits of held-out faces are from the true results.

    Args:
        source: Source of the faces.
        source_name: As `data.source` names it.
        editor: The editor to measure.
        attributes: The attributes to edit.
        device: The device to edit on.

    Returns:
        One line for each attribute. An empty list if there are none, if the source cannot redraw faces, or if the
        editor generates faces instead of editing them.
    """
    from zoogan.evaluation.metric_runner import run_metrics
    from zoogan.evaluation.study import get_kind, open_study
    from zoogan.interfaces import World

    if get_kind(editor) != "edits" or not attributes or not (source.count_faces("test") or source.count_faces("valid")):
        return []
    alone = World.make_single()  # the other processes only wait for this one
    study = open_study(source, source_name, device=device, world=alone, editor=editor)
    if source.redraw(study.split, [0]) is None:
        return []
    result = run_metrics(editor, study, make_metrics(editor), attributes)
    statistics = {(measure.name, measure.attribute): measure.statistic for _, measure in result.measures}
    notes = {measure.attribute: measure.note for _, measure in result.measures if measure.name == "layout.iou"}
    if not editor.makes_images:
        return describe_layouts(statistics, attributes, notes)
    return describe_images(statistics, attributes)


def make_metrics(editor: Editor) -> dict[str, Metric]:
    """Make the metrics for what an editor makes; none of them trains a judge."""
    from zoogan.evaluation.metrics.edit_error import EditError
    from zoogan.evaluation.metrics.layout import Layout, LayoutConfig
    from zoogan.evaluation.metrics.locality import Locality

    if not editor.makes_images:
        return {"layout": Layout(LayoutConfig(success=False, reference=False))}
    return {"edit_error": EditError(), "locality": Locality()}


def describe_images(statistics: Statistics, attributes: Sequence[str]) -> list[str]:
    """Describe the edit error of each attribute, a line each."""
    lines = []
    for name in attributes:
        keys = {way: (f"edit_error.{way}", name) for way in ("adding", "removing")}
        ways = {
            way: statistics[key] for way, key in keys.items() if key in statistics and statistics[key].count_faces()
        }
        if ("edit_error", name) in statistics:
            parts = ", ".join(f"{way} {statistic.compute():.3f}" for way, statistic in ways.items())
            error, outside = statistics["edit_error", name], statistics["outside_truth.l1", name]
            lines.append(
                f"  {name}: edit error {error.compute():.3f} ({parts}; 1 = no edit, 0 = the true redraw), "
                f"L1 outside {outside.compute():.4f}, on {error.count_faces()} held-out faces"
            )
    return lines


def describe_layouts(statistics: Statistics, attributes: Sequence[str], notes: Mapping[str | None, str]) -> list[str]:
    """Describe the edited maps of each attribute beside the unedited ones, a line each.

    Args:
        statistics: Those of the metric `layout`.
        attributes: The edited attributes.
        notes: Attribute -> the part that it is about, as its note says.
    """

    def read(name: str, attribute: str) -> str:
        value = statistics.get((f"layout.{name}", attribute))
        return "" if value is None else f"{value.compute():.3f}"

    lines = []
    for name in attributes:
        if ("layout.changed", name) not in statistics:
            continue
        ways = ", ".join(f"{way} {value}" for way in ("adding", "removing") if (value := read(f"changed.{way}", name)))
        parts = [f"changed pixels right {read('changed', name)} ({ways}; unedited {read('changed.unedited', name)})"]
        parts.append(f"others kept {read('kept', name)} (unedited {read('kept.unedited', name)})")
        if iou := read("iou", name):
            parts.append(f"IoU {notes.get(name, '')} {iou} (unedited {read('iou.unedited', name)})")
        if left := read("left", name):
            parts.append(f"left after removal {left} (unedited {read('left.unedited', name)})")
        faces = statistics["layout.changed", name].count_faces()
        lines.append(f"  {name}: {', '.join(parts)}, on {faces} held-out faces")
    return lines
