"""Stages that a user gives instead of making them: runs, judges, official weights."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from zoogan.composition.stages import StageContext, open_stage
from zoogan.config import GameConfig
from zoogan.config.registry import MethodSpec
from zoogan.config.stages import Stage, select_stages
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import find_folder
from zoogan.judges.judge import read_judge_facts
from zoogan.plugins.host import PluginHost
from zoogan.runs.folder import RunFolder
from zoogan.runs.imported import import_run
from zoogan.training.origin import check_facts, find_relevant_facts, make_start_layer, open_origin
from zoogan.training.stages.config import JudgeStage, TrainedStage

DECIDED = {"image_size": ("image_size",), "attributes": ("attributes", "balance"), "parts": ("label_set",)}
"""The settings of `data` that each fact of a given run decides."""


def make_given_layer(zoo: PluginHost, spec: MethodSpec, config: GameConfig) -> dict[str, Any]:
    """Make the settings that a config takes over from its given stages, as from a run to start from.

    The networks of a given run decide the settings of its stage; its image size, and labels and parts if its networks
    were built for them, decide `data` of the stage where the stage sets its own, else `data` of the whole run.

    Args:
        zoo: Plugins and the registry.
        spec: The method.
        config: Its config without these settings.

    Returns:
        Settings under `stages`, and under `data` if there are any.

    Raises:
        ConfigError: A given stage cannot be used.
    """
    stages: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, (_, stage) in select_stages(spec.stages, config).items():
        if stage.path is None:
            continue
        if isinstance(stage, TrainedStage):
            settings, shared = make_run_layer(zoo, name, stage)
            stages[name] = {"set": settings}
            data = {**shared, **data}
        elif isinstance(stage, JudgeStage):
            stages[name] = make_judge_layer(name, stage, config)
    return ({"stages": stages} if stages else {}) | ({"data": data} if data else {})


def make_run_layer(zoo: PluginHost, name: str, stage: TrainedStage) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the settings that a given run decides: those of its stage, and of `data` of the whole run."""
    setting, registry = f"stages.{name}", zoo.registry
    if stage.method not in registry.methods:
        return {}, {}  # reported with the other settings of the stage
    path = find_given_run(zoo, name, stage)
    networks = make_start_layer(registry.methods[stage.method], registry, path, setting)
    theirs = networks.pop("data")
    _, stored, facts = open_origin(path, registry, setting)
    relevant = find_relevant_facts(stored, facts, registry)
    keys = [key for fact, keys in DECIDED.items() if fact in relevant for key in keys if key in theirs]
    own = stage.set.get("data", {})
    apart = {key: theirs[key] for key in keys if key in own}
    shared = {key: theirs[key] for key in keys if key not in own}
    return networks | ({"data": apart} if apart else {}), shared


def make_judge_layer(name: str, stage: JudgeStage, config: GameConfig) -> dict[str, Any]:
    """Make the settings of its stage that a given judge decides.

    Raises:
        ConfigError: It is no judge, or does not read the attributes of the stage (by default those of the run).
    """
    assert stage.path is not None
    facts = read_judge_facts(stage.path)
    needed = config.data.attributes if stage.attributes is None else stage.attributes
    if missing := [attribute for attribute in needed if attribute not in facts.attributes]:
        raise ConfigError(
            f"stages.{name}: the judge in {stage.path} does not read {', '.join(missing)}; it reads "
            f"{', '.join(facts.attributes) or 'no attributes'}. Take another judge, or leave out --stage {name}"
        )
    return {"attributes": list(facts.attributes), "backbone": facts.build.backbone}


def check_judge_parts(name: str, path: Path, parts: tuple[str, ...]) -> None:
    """Check that a given judge that reads parts reads those of the run.

    Raises:
        ConfigError: It reads others, whose numbers would mean other parts.
    """
    theirs = tuple(read_judge_facts(path).parts)
    if theirs and parts and theirs != parts:
        raise ConfigError(
            f"stages.{name}: the judge in {path} reads the parts {', '.join(theirs)}, but the faces of this run have "
            f"{', '.join(parts)} (data.label_set). Take a judge of the same parts, or leave out --stage {name}"
        )


def check_attributes(name: str, attributes: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Check that a stage that reads labels knows every attribute of the run.

    Args:
        name: Name of the stage.
        attributes: Those of the run.
        theirs: Those of the stage.

    Raises:
        ConfigError: Names those that it lacks.
    """
    if missing := [attribute for attribute in attributes if attribute not in theirs]:
        raise ConfigError(
            f"stages.{name}: it lacks the attributes {', '.join(missing)} of this run (data.attributes); it has "
            f"{', '.join(theirs) or 'none'}. Use the same names in both"
        )


def find_given_run(zoo: PluginHost, name: str, stage: TrainedStage) -> Path:
    """Find the folder of a given run; official weights are imported into a temporary one first.

    Raises:
        ConfigError: There is no such run or file, or it cannot be imported.
    """
    path = stage.path
    assert path is not None
    if (path / "config.yaml").exists():
        return path
    reads_weights = zoo.get_method(stage.method).importer is not None
    may_hold_weights = path.is_dir() and reads_weights and any(file.is_file() for file in path.iterdir())
    if not path.exists() or (path.is_dir() and not may_hold_weights):
        open_origin(path, zoo.registry, f"stages.{name}")  # raises, and names the nearest run
    if not reads_weights:
        raise ConfigError(f"stages.{name}: {path} is no run, and {stage.method} reads no official weights; name a run")
    try:
        return Path(import_once(zoo, stage.method, path, json.dumps(stage.set, sort_keys=True)).name) / "run"
    except ConfigError as error:
        raise ConfigError(f"stages.{name}: {error}") from error


@cache
def import_once(zoo: PluginHost, method: str, weights: Path, settings: str) -> tempfile.TemporaryDirectory[str]:
    """Import official weights into the folder `run` of a temporary folder, which is removed when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="zoogan-stage-")
    import_run(method, [weights], out=Path(folder.name) / "run", settings=json.loads(settings), zoo=zoo)
    return folder


def check_given_run(context: StageContext, stage: Stage, run: Path, now: Facts) -> Facts:
    """Check that a given run has weights and was built for the faces of its stage.

    Args:
        context: Of the stage.
        stage: The stage.
        run: The run.
        now: Facts about the data of the stage.

    Returns:
        The facts of the run.

    Raises:
        ConfigError: It has stages of its own, lacks weights, or was built for other faces.
    """
    setting = f"stages.{context.name}"
    _, config, facts = open_origin(run, context.registry, setting)
    if context.registry.methods[config.method].stages:
        raise ConfigError(f"{setting}: {run} is a run of {config.method}, which has stages itself; take one without")
    check_facts(run, config, facts, now, context.registry, setting)
    check_given_job(context, stage, run)
    return facts


def check_given_job(context: StageContext, stage: Stage, path: Path) -> None:
    """Check that the result at a path can be opened as a stage.

    Raises:
        ConfigError: It cannot.
    """
    if not find_folder(path).is_dir():
        raise ConfigError(f"stages.{context.name}: {path} is no folder; name the folder of a finished result")
    open_stage(stage, replace(context, path=path))


def copy_given(context: StageContext) -> None:
    """Copy a given result into the folder of its stage, so that the run can be moved.

    Of a run the config, the facts, the model and the directions are copied, of another folder everything.
    """
    settings = context.config
    assert context.zoo is not None and settings.path is not None
    with context.write_folder() as draft:
        if not isinstance(settings, TrainedStage):
            shutil.copytree(find_folder(settings.path), draft, dirs_exist_ok=True)
            return
        run = RunFolder(find_given_run(context.zoo, context.name, settings))
        for file in (run.config, run.facts):
            shutil.copy(file, draft)
        shutil.copytree(run.model, draft / "model")
        if run.directions.is_dir():
            shutil.copytree(run.directions, draft / run.directions.name)
