"""To be written."""

from __future__ import annotations

from typing import Any


def truth_told(session: Any, editor: Any) -> list[str]:
    """How far held-out edits are from the truth, a line an attribute; nothing where the source does not know it, or
    where faces are made and not edited."""
    from zoogan.evaluation.metrics.edit_error import EditError
    from zoogan.evaluation.metrics.locality import Locality
    from zoogan.evaluation.study import examine, open_study
    from zoogan.interfaces import World

    if editor.makes_faces or not (session.source.size("test") or session.source.size("valid")):
        return []
    alone = World.alone()  # the other processes have gone home
    device, name = session.accelerator.device, session.config.data.source
    study = open_study(session.source, name, device=device, world=alone, editor=editor)
    metrics = {"edit_error": EditError(), "locality": Locality()}
    if session.source.redraw(study.split, [0]) is None:
        return []
    found = examine(editor, study, metrics, session.facts.attributes)
    told = {(measure.name, measure.attribute): measure.statistic for _, measure in found.measures}
    lines = []
    for name in session.facts.attributes:
        named = {way: (f"edit_error.{way}", name) for way in ("adding", "removing")}
        ways = {way: told[key] for way, key in named.items() if key in told and told[key].faces()}
        if ("edit_error", name) in told:
            parts = ", ".join(f"{way} {statistic.value():.3f}" for way, statistic in ways.items())
            lines.append(
                f"  {name}: edit error {told['edit_error', name].value():.3f} ({parts}; 1 = no edit, 0 = the true "
                f"redraw), L1 outside {told['outside_truth.l1', name].value():.4f}, on "
                f"{told['edit_error', name].faces()} held-out faces"
            )
    return lines
