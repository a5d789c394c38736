"""The stage that trains a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from zoogan.composition.memory import check_batch_memory
from zoogan.composition.stages import StageContext, StageStopped
from zoogan.config import DataConfig
from zoogan.errors import ConfigError
from zoogan.interfaces import Source
from zoogan.judges.judge import Judge, JudgeFacts, load_judge
from zoogan.judges.network import BACKBONE, JudgeNetwork, plan_network
from zoogan.judges.splits import add_valid_split, check_splits
from zoogan.judges.train import JudgePlan, train_judge
from zoogan.judges.training import JudgeTrainingConfig
from zoogan.names import import_object
from zoogan.training.stages.config import JudgeStage


def get_judge_settings(context: StageContext) -> JudgeStage:
    """Get the settings of a stage that trains a judge.

    Raises:
        TypeError: The stage has settings of another kind.
    """
    if not isinstance(context.config, JudgeStage):
        raise TypeError(f"stage {context.name!r}: its settings must be a JudgeStage, got {context.config!r}")
    return context.config


def open_judge_source(context: StageContext) -> tuple[Source, DataConfig]:
    """Open the faces that the judge of a stage learns from, those of the run, with the attributes that it reads.

    Raises:
        ConfigError: The source cannot be opened, or no judge can be trained on it.
    """
    stage, data = get_judge_settings(context), context.parent.data
    if stage.attributes is not None:
        data = data.model_copy(update={"attributes": stage.attributes})
    source: Source = context.registry.build("source", data)
    check_splits(add_valid_split(source))
    return source, data


def run_judge_stage(context: StageContext) -> None:
    """Train the judge of a stage from the beginning; after a stop nothing is kept.

    Raises:
        ConfigError: The source does not suit.
        StageStopped: A signal stopped the training.
    """
    assert context.path is not None
    stage = get_judge_settings(context)
    source, data = open_judge_source(context)
    training = JudgeTrainingConfig(
        iterations=stage.iterations, seed=stage.seed, batch=stage.batch, backbone=stage.backbone or BACKBONE,
        parts=stage.parts, part_balance=stage.part_balance, fine=stage.fine, width=stage.width,
    )  # fmt: skip
    plan = JudgePlan(source, data, training, context.path, True, context.device)
    with context.show_progress(stage.iterations, images=stage.batch) as display:

        def watch(iteration: int, terms: Mapping[str, float]) -> bool:
            display.advance(iteration)
            if terms:
                display.report(iteration, terms)
            return context.get_signal() is not None

        judge = train_judge(plan, watch)
    if judge is None:
        raise StageStopped(context.get_signal())


def open_judge_stage(context: StageContext) -> Judge:
    """Open the judge of a stage, or build an untrained one from the settings.

    Raises:
        ConfigError: The folder is no judge, or the judge reads too few attributes.
    """
    stage = get_judge_settings(context)
    names = stage.attributes if stage.attributes is not None else context.facts.attributes
    if context.untrained:
        return make_untrained_judge(context, stage, names)
    judge = load_judge(context.folder, device=context.device)
    if missing := [name for name in names if name not in judge.attributes]:
        raise ConfigError(
            f"stages.{context.name}: the judge in {context.folder} does not read {', '.join(missing)}; it reads "
            f"{', '.join(judge.attributes) or 'no attributes'}. Take another judge, or leave out --stage {context.name}"
        )
    return judge


def make_untrained_judge(context: StageContext, stage: JudgeStage, names: tuple[str, ...]) -> Judge:
    """Make an untrained judge of the attributes and parts of a run."""
    facts, source = context.facts, context.parent.data.source
    advice = f"lower stages.{context.name}.batch or data.image_size"
    check_batch_memory(stage.batch, facts.channels, facts.image_size, torch.device("cpu"), advice)
    fields: Any = getattr(import_object(context.registry.components["source", source].build), "fields", ())
    has_pose = isinstance(fields, tuple | list | set | frozenset) and "pose" in fields
    build = plan_network(
        stage.backbone or BACKBONE, facts.image_size, len(names), pose=has_pose, classes=len(facts.parts),
        fine=stage.fine, width=stage.width,
    )  # fmt: skip
    judge_facts = JudgeFacts(
        build=build, attributes=names, thresholds=(0.5,) * len(names), table={}, parts=facts.parts, source=source,
        data={}, training={}, seed=stage.seed, versions={}, date="",
    )  # fmt: skip
    return Judge(JudgeNetwork(build), judge_facts).to(context.device)
