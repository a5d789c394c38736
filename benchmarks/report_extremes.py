"""What a report says of editors whose worth is known beforehand, through a real judge: a table in markdown.

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
from zoogan.evaluation.reports.bootstrap import RESAMPLES, face_weights
from zoogan.evaluation.reports.page import number
from zoogan.evaluation.reports.report import value_of, versions_of
from zoogan.evaluation.study import examine, open_study
from zoogan.interfaces import Editor, Study
from zoogan.judges.judge import load_judge
from zoogan.plugins.host import get_zoo
from zoogan.testing.editors import KnownEditor, TrueRedraw
from zoogan.training.session import facts_of

METRICS = ("edit_error", "success", "preservation", "locality")
COLUMNS = (
    "edit_error", "success", "success.adding", "success.removing", "preservation", "preservation.truth",
    "outside_truth.l1",
)  # fmt: skip


def untrained(method: str, source: DrawnSource, seed: int) -> Editor:
    """The method's networks as its drawn recipe begins with them."""
    registry, facts = get_zoo().registry, facts_of(source)
    data = {"image_size": facts.image_size, "attributes": list(facts.attributes)}
    config = compose_config(get_zoo().method(method), registry, sets={"data": data})
    torch.manual_seed(seed)
    composition = compose(config, facts, registry)
    return composition.game.editor(composition.networks.eval().requires_grad_(False), attributes=facts.attributes)


def told(editor: Editor, study: Study) -> dict[str, Any]:
    """The columns: value, ends of the 95 % interval and number of faces."""
    registry = get_zoo().registry
    metrics = {name: registry.build("metric", registry.components["metric", name].config()) for name in METRICS}
    found = examine(editor, study, metrics, study.source.attributes, strict=True)
    weights = face_weights(study.faces, RESAMPLES, study.seed)
    values = [value_of(metric, measure, found, study, weights, {}) for metric, measure in found.measures]
    return {v.name: {"value": v.value, "low": v.low, "high": v.high, "n": v.n} for v in values if v.name in COLUMNS}


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """One row an editor."""
    lines = ["| editor | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, values in rows.items():
        cells = [f"{number(v['value'])} ({number(v['low'])} to {number(v['high'])})" for v in map(values.get, COLUMNS)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; with --out also store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="of drawn faces; `zoo judge train` makes one")
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--attribute", default="Eyeglasses")
    parser.add_argument("--seed", type=int, default=0, help="of the untrained networks")
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    asked = parser.parse_args(argv)
    judge = load_judge(asked.judge)
    attributes = (asked.attribute,)
    data = DrawnData(image_size=judge.image_size, attributes=attributes, balance=asked.attribute, held_out=asked.faces)
    source = DrawnSource(data)
    study = open_study(source, "drawn", faces=asked.faces, judge=judge)
    editors = {
        "identity": KnownEditor(attributes),
        "true redraw": KnownEditor(attributes, TrueRedraw(source, asked.attribute)),
        "sagan, untrained": untrained("sagan", source, asked.seed),
        "stargan, untrained": untrained("stargan", source, asked.seed),
    }
    rows = {name: told(editor, study) for name, editor in editors.items()}
    print(markdown(rows))
    if asked.out is not None:
        command = f"python benchmarks/report_extremes.py --judge JUDGE --faces {study.faces} --seed {asked.seed}"
        about = {"date": datetime.now(UTC).date().isoformat(), "command": command, "attribute": asked.attribute}
        about |= {"faces": study.faces, "judge": judge.digest, "versions": versions_of(("torch", "timm"))}
        asked.out.write_text(json.dumps(about | {"editors": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
