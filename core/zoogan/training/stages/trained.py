"""The stage that trains another registered method."""

from __future__ import annotations

from typing import Any

from zoogan.composition.build import compose
from zoogan.composition.stages import StageContext, StageStopped
from zoogan.config import GameConfig, compose_config, merge, validate
from zoogan.config.changes import flatten_settings
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.source import make_domain_names
from zoogan.names import suggest_name
from zoogan.runs.folder import RunFolder
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.opening import load
from zoogan.training.opening import FinishedRun, open_training
from zoogan.training.stages.config import TrainedStage

OWN_DATA = ("batch", "balance", "flip", "random_crop")  # how faces are drawn: the recipe of the stage decides
MOVABLE_DATA = ("root", "workers")  # settings of `data` that differ between machines


def get_trained_settings(context: StageContext) -> TrainedStage:
    """Get the settings of a stage that trains a method.

    Raises:
        TypeError: The stage has settings of another kind.
    """
    if not isinstance(context.config, TrainedStage):
        raise TypeError(f"stage {context.name!r}: its settings must be a TrainedStage, got {context.config!r}")
    return context.config


def run_trained_stage(context: StageContext) -> int | None:
    """Train the method of a stage to its end, from the newest checkpoint in the stage's folder if there is one.

    Returns:
        The signal that this process received in the last iteration, if any: the stage is complete, but no other begins.

    Raises:
        ConfigError: The config or the source cannot be used.
        StageStopped: A signal stopped the training, which was saved.
    """
    assert context.zoo is not None and context.path is not None
    is_begun = RunFolder(context.path).config.exists()
    config = configure_begun_stage(context) if is_begun else configure_trained_stage(context)
    training = open_training(
        context.zoo, config, context.path, device=context.device.type, resume=is_begun, quiet=context.quiet,
        show=context.show, allow=[*context.allow, *flatten_settings(get_trained_settings(context).set)],
    )  # fmt: skip
    if isinstance(training, FinishedRun):
        return None
    outcome = training.train()
    if outcome.is_stopped:
        raise StageStopped(outcome.signal, outcome.iteration)
    return outcome.signal


def open_trained_stage(context: StageContext) -> LoadedRun:
    """Open the run of a stage, or build an untrained one from the settings.

    Raises:
        ConfigError: The folder is no run, or the settings do not fit.
    """
    if not context.untrained:
        return load(context.folder, device=context.device, registry=context.registry)
    config = configure_trained_stage(context)
    facts = derive_facts(config, context.parent, context.facts)
    composition = compose(config, facts, context.registry, {})
    networks = composition.networks.to(context.device).eval().requires_grad_(False)
    editor = composition.game.to(context.device).make_editor(networks, attributes=facts.attributes)
    return LoadedRun(config, facts, editor)


def configure_trained_stage(context: StageContext) -> GameConfig:
    """Compose the complete config of a stage's training: recipe < data of the run < `set` of the stage.

    Raises:
        ConfigError: The method is unknown or has stages itself, or a setting is wrong; names the stage.
    """
    stage, parent, registry, where = get_trained_settings(context), context.parent, context.registry, context.name
    spec = registry.methods.get(stage.method)
    if spec is None:
        hint = suggest_name(stage.method, registry.methods)
        known = ", ".join(sorted(registry.methods))
        raise ConfigError(f"stages.{where}.method: no method is called {stage.method!r}{hint}; installed: {known}")
    if spec.stages:
        raise ConfigError(f"stages.{where}.method: {stage.method} has stages itself, which a stage may not have")
    data = {key: value for key, value in parent.data.model_dump(mode="json").items() if key not in OWN_DATA}
    own = stage.set.get("data", {})
    try:
        config = compose_config(
            spec, registry, recipe=stage.recipe, source=data["source"], sets=merge({"data": data}, stage.set)
        )
        if config.data.source != data["source"]:
            return config
        values = config.model_dump(mode="json")
        drawn = {key: values["data"][key] for key in OWN_DATA}
        if drawn["balance"] not in config.data.attributes:
            drawn["balance"] = None  # the recipe's, for attributes that this run does not use
        values["data"] = merge({**data, **drawn}, own)  # mappings of the recipe were only merged
        return validate(spec, registry, values)
    except ConfigError as error:
        raise ConfigError(prefix_lines(f"stages.{where}", error)) from error


def configure_begun_stage(context: StageContext) -> GameConfig:
    """Read the config of a stage's training that has begun, with what a resumed training may change.

    Raises:
        ConfigError: See `RunFolder.read_config`; or a changed setting is wrong.
    """
    registry: Registry = context.registry
    stored, _ = RunFolder(context.folder).read_config(registry)
    composed = configure_trained_stage(context).model_dump(mode="json")
    training: dict[str, Any] = get_trained_settings(context).set.get("training", {})
    changes = {"training": training, "data": {key: composed["data"][key] for key in MOVABLE_DATA}}
    return validate(registry.methods[stored.method], registry, merge(stored.model_dump(mode="json"), changes))


def derive_facts(config: GameConfig, parent: GameConfig, facts: Facts) -> Facts:
    """Derive the facts of a stage's data from those of the run, without reading anything.

    Args:
        config: The complete config of the stage's training.
        parent: The complete config of the run.
        facts: Facts about the data of the run.
    """
    changes: dict[str, Any] = {}
    own, other = config.data, parent.data
    if own.image_size != other.image_size:
        changes["image_size"] = own.image_size
    if own.attributes != other.attributes:
        groups = tuple(group for group in facts.exclusive if set(group) <= set(own.attributes))
        domains = make_domain_names(own.attributes, groups) or facts.domains
        changes |= {"attributes": own.attributes, "exclusive": groups, "domains": domains}
    label_set: Any = getattr(own, "label_set", None)
    if label_set is not None and label_set != getattr(other, "label_set", None):
        changes |= {"parts": label_set.names, "transparent": label_set.transparent}
    return facts.model_copy(update=changes)


def prefix_lines(prefix: str, error: ConfigError) -> str:
    """Put the place of a mistake before every line of an error."""
    return "\n".join(f"{prefix}: {line}" for line in str(error).splitlines())
