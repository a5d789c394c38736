"""Measure editors whose results are known beforehand, with a real judge: a table in markdown.

python benchmarks/report_extremes.py --judge JUDGE [--faces N] [--attribute NAME] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from zoogan.composition.build import compose
from zoogan.config import compose_config
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.evaluation.build_report import get_versions, make_value
from zoogan.evaluation.metric_runner import run_metrics
from zoogan.evaluation.reports.bootstrap import RESAMPLES, draw_face_weights
from zoogan.evaluation.reports.scale import format_briefly
from zoogan.evaluation.study import open_study
from zoogan.interfaces import Editor, Study
from zoogan.judges.judge import load_judge
from zoogan.plugins.host import get_zoo
from zoogan.testing.editors import KnownEditor, TrueRedraw
from zoogan.training.prepare import describe_source

METRICS = ("edit_error", "success", "preservation", "locality")
COLUMNS = (
    "edit_error", "success", "success.adding", "success.removing", "preservation", "preservation.truth",
    "outside_truth.l1",
)  # fmt: skip


def make_untrained_editor(method: str, source: DrawnSource, seed: int) -> Editor:
    """Make an editor of the method's untrained networks, as its drawn recipe begins with them."""
    registry, facts = get_zoo().registry, describe_source(source)
    data = {"image_size": facts.image_size, "attributes": list(facts.attributes)}
    config = compose_config(get_zoo().get_method(method), registry, sets={"data": data})
    torch.manual_seed(seed)
    composition = compose(config, facts, registry)
    return composition.game.make_editor(composition.networks.eval().requires_grad_(False), attributes=facts.attributes)


def measure_editor(editor: Editor, study: Study) -> dict[str, Any]:
    """Measure the columns: value, ends of the 95 % interval and number of faces."""
    registry = get_zoo().registry
    metrics = {name: registry.build("metric", registry.components["metric", name].config()) for name in METRICS}
    results = run_metrics(editor, study, metrics, study.source.attributes, strict=True)
    weights = draw_face_weights(study.faces, RESAMPLES, study.seed)
    values = [make_value(metric, measure, results, study, weights, {}) for metric, measure in results.measures]
    return {v.name: {"value": v.value, "low": v.low, "high": v.high, "n": v.n} for v in values if v.name in COLUMNS}


def format_table(rows: dict[str, dict[str, Any]]) -> str:
    """Format one row for each editor."""
    lines = ["| editor | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, values in rows.items():
        cells = [
            f"{format_briefly(v['value'])} ({format_briefly(v['low'])} to {format_briefly(v['high'])})"
            for v in map(values.get, COLUMNS)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; with --out also store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="judge of drawn faces, from `zoo judge train`")
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--attribute", default="Eyeglasses")
    parser.add_argument("--seed", type=int, default=0, help="seed of the untrained networks")
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args(argv)
    judge = load_judge(options.judge)
    attributes = (options.attribute,)
    data = DrawnData(
        image_size=judge.image_size, attributes=attributes, balance=options.attribute, held_out=options.faces
    )
    source = DrawnSource(data)
    study = open_study(source, "drawn", faces=options.faces, judge=judge)
    editors = {
        "identity": KnownEditor(attributes),
        "true redraw": KnownEditor(attributes, TrueRedraw(source, options.attribute)),
        "sagan, untrained": make_untrained_editor("sagan", source, options.seed),
        "stargan, untrained": make_untrained_editor("stargan", source, options.seed),
    }
    rows = {name: measure_editor(editor, study) for name, editor in editors.items()}
    print(format_table(rows))
    if options.out is not None:
        command = f"python benchmarks/report_extremes.py --judge JUDGE --faces {study.faces} --seed {options.seed}"
        about = {"date": datetime.now(UTC).date().isoformat(), "command": command, "attribute": options.attribute}
        about |= {"faces": study.faces, "judge": judge.digest, "versions": get_versions(("torch", "timm"))}
        options.out.write_text(json.dumps(about | {"editors": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
