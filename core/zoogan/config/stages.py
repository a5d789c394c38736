"""Stages: the trainings and jobs that a method needs before its own training. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from zoogan.config.models import GameConfig, StageConfig
from zoogan.errors import ConfigError
from zoogan.names import suggest_name


@dataclass(frozen=True)
class OfficialFiles:
    """How the official files of a method or a stage are told apart, so that those of all stages can be sorted.

    Attributes:
        identify: Import string of a function `(content) -> str | None` that returns which network the content of a file
            is, by the names and shapes in it; None = none of this method. It gets a state_dict, or the mapping that
            holds several.
        needed: The networks without which no run can be made.
    """

    identify: str
    needed: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A training or a job whose result a method uses; its settings are the field `stages.<name>` of the config.

    Attributes:
        name: Unique in the method; the name of its folder and of its settings.
        run: Import string of a function that fills the folder of its context, whole or not at all. It may be called
            again after a stop.
        open: Import string of a function that returns what the game and the editor get. With `untrained` in its
            context it reads nothing and builds an untrained equivalent from the config alone.
        after: Earlier stages whose results the stage needs.
        optional: Whether `--stage NAME=none` may leave it out.
        importer: Import string of a function `(context, files) -> settings` that fills the folder with official
            weights, for a stage that is not the training of a method; `files` has a file by network. It returns the
            settings of the stage that the weights decide.
        official_files: How these files are told apart; required for an importer.
    """

    name: str
    run: str
    open: str
    after: tuple[str, ...] = ()
    optional: bool = False
    importer: str | None = None
    official_files: OfficialFiles | None = None


def find_stage_problem(stages: Sequence[Stage], config: type[GameConfig]) -> str | None:
    """Find the first mistake in the stages of a method; None if there is none.

    Args:
        stages: The stages.
        config: The config class of the method.
    """
    field = getattr(config, "model_fields", {}).get("stages")
    fields = getattr(getattr(field, "annotation", None), "model_fields", {})
    earlier: list[str] = []
    for stage in stages:
        where = f"stage {stage.name!r}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", stage.name):
            return f"{where}: expected a name of lower-case letters, digits and underscores"
        if stage.name in earlier:
            return f"{where}: two stages have this name"
        if unknown := [name for name in stage.after if name not in earlier]:
            return f"{where}: after names {', '.join(unknown)}; earlier stages: {', '.join(earlier) or 'none'}"
        if stage.name not in fields:
            return f"{where}: {config.__name__}.stages has no such field; fields: {', '.join(fields) or 'none'}"
        if (stage.importer is None) != (stage.official_files is None):
            return f"{where}: importer and official_files belong together: declare both or neither"
        kinds = get_args(fields[stage.name].annotation) or (fields[stage.name].annotation,)
        if not any(isinstance(kind, type) and issubclass(kind, StageConfig) for kind in kinds):
            return f"{where}: its field in {config.__name__}.stages must be a StageConfig, got {kinds[0]!r}"
        if (NoneType in kinds) != stage.optional:
            return f"{where}: its field in {config.__name__}.stages must accept None exactly if the stage is optional"
        earlier.append(stage.name)
    if extra := [name for name in fields if name not in earlier]:
        return f"{config.__name__}.stages has fields without a stage: {', '.join(extra)}"
    if field is not None and earlier and field.exclude:
        return f"{config.__name__}: declare the field `stages` anew, so that it is stored"
    return None


def select_stages(stages: Sequence[Stage], config: GameConfig) -> dict[str, tuple[Stage, StageConfig]]:
    """Select the stages that a config does not leave out, in order, each with its settings."""
    settings: dict[str, Any] = dict(config.stages)
    return {stage.name: (stage, settings[stage.name]) for stage in stages if settings[stage.name] is not None}


def check_stage_names(method: str, stages: Sequence[Stage], settings: Mapping[str, Any]) -> None:
    """Check that settings name stages of a method, and leave out only optional ones.

    Args:
        method: Id of the method.
        stages: Its stages.
        settings: Settings by stage; None leaves a stage out.

    Raises:
        ConfigError: Names every mistake.
    """
    names = {stage.name: stage for stage in stages}
    problems = []
    for name, value in settings.items():
        if not names:
            problems.append(f"stages.{name}: {method} has no stages; leave out --stage {name}")
        elif name not in names:
            hint = suggest_name(name, names)
            problems.append(f"stages.{name}: {method} has no stage of that name{hint}; stages: {', '.join(names)}")
        elif value is None and not names[name].optional:
            optional = [stage.name for stage in stages if stage.optional]
            only = f"only {', '.join(optional)} may be left out" if optional else "none may be left out"
            problems.append(f"stages.{name}: {method} needs this stage; {only}")
    if problems:
        raise ConfigError("\n".join(problems))
