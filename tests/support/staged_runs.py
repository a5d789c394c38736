"""Train the staged method of `staged_plugin.py` in process, and read the files that must not differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from zoogan.cli import main
from zoogan.composition.stages import StageContext
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts
from zoogan.training import JudgeStage

PLUGIN = Path(__file__).with_name("staged_plugin.py")


def train_staged(out: Path, *options: str) -> int:
    """Run `zoo train` for the staged method in process; return the exit code."""
    return main(["train", "--plugin", str(PLUGIN), "--device", "cpu", "--out", str(out), *options])


def begin(out: Path, *options: str) -> int:
    """Begin a run of the staged method."""
    return train_staged(out, "--model", "staged", *options)


def resume(out: Path, *options: str) -> int:
    """Resume a run of the staged method."""
    return train_staged(out, "--resume", *options)


def read_results(run: Path) -> dict[str, bytes]:
    """Read the models of a run and of its stages, and the files of its jobs, by path."""
    paths = [path for path in sorted(run.rglob("*")) if path.parent.name in ("model", "colours") and path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def read_states(run: Path) -> dict[str, Any]:
    """Read the records of a run's stages by name."""
    return {record["name"]: record for record in json.loads((run / "stages.json").read_text())["stages"]}


def make_judge_context(zoo: Any, path: Path | None, stage: JudgeStage, **options: Any) -> StageContext:
    """Make the context of a stage that trains a judge on 16 px faces."""
    data = {"data": {"image_size": 16, "faces": 80, "held_out": 60, "workers": 0, "attributes": ["Male"]}}
    config = make_tiny_config("sagan", zoo.registry, data)
    facts = make_tiny_facts(config)
    return StageContext("judge", stage, config, facts, zoo.registry, {}, torch.device("cpu"), path, zoo, **options)
