"""Measures the edits of a run against their true redraws; the result is shown at the end of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from zoogan.interfaces import Editor, Source


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
        One line for each attribute. An empty list if the source cannot redraw faces, or if the editor generates faces
        instead of editing them.
    """
    from zoogan.evaluation.metric_runner import run_metrics
    from zoogan.evaluation.metrics.edit_error import EditError
    from zoogan.evaluation.metrics.locality import Locality
    from zoogan.evaluation.study import open_study
    from zoogan.interfaces import World

    if editor.can_sample or not (source.count_faces("test") or source.count_faces("valid")):
        return []
    alone = World.make_single()  # the other processes only wait for this one
    study = open_study(source, source_name, device=device, world=alone, editor=editor)
    metrics = {"edit_error": EditError(), "locality": Locality()}
    if source.redraw(study.split, [0]) is None:
        return []
    result = run_metrics(editor, study, metrics, attributes)
    statistics = {(measure.name, measure.attribute): measure.statistic for _, measure in result.measures}
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
