"""Importing official weights of a method made of stages: each stage, then the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from zoogan.composition.build import expect_facts
from zoogan.composition.stages import FOLDER, StageContext, open_stages
from zoogan.config import GameConfig, StageConfig, compose_config, merge
from zoogan.config.registry import MethodSpec
from zoogan.config.stages import select_stages
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import find_folder, replace_folder
from zoogan.names import import_object
from zoogan.plugins.host import PluginHost
from zoogan.runs.imported import Foundation, ImportedRun, import_run, write_imported_run
from zoogan.runs.opening import load
from zoogan.runs.stage_records import StageRecord, compute_digest, write_records
from zoogan.training.origin import check_facts, find_relevant_facts, open_origin
from zoogan.training.stages.config import JudgeStage, TrainedStage
from zoogan.training.stages.given import (
    check_attributes,
    check_judge_parts,
    copy_given,
    find_given_run,
    make_given_layer,
    make_judge_layer,
)
from zoogan.training.stages.trained import configure_trained_stage, derive_facts, prefix_lines
from zoogan.training.stages.weight_files import Recipient, sort_weight_files

SHARED_FACTS = ("parts", "transparent", "crop")
LABEL_FACTS = ("exclusive", "domains")  # of the same attributes


def import_staged_run(
    method: str,
    weights: Sequence[Path],
    *,
    out: Path,
    settings: Mapping[str, Any],
    photos: Sequence[Path] = (),
    zoo: PluginHost,
) -> ImportedRun:
    """Read official weights of a method made of stages, and write a run, whole or not at all.

    Args:
        method: The name of the method.
        weights: Files of official weights, or folders of which all weight files are taken.
        out: The run folder to create.
        settings: Settings that are not in the weights, nested; `stages.<name>.path` gives a stage.
        photos: Faces to test ambiguous weights with; by default drawn faces.
        zoo: Methods and components.

    Raises:
        ConfigError: See `zoogan.import_weights`.
    """
    spec = zoo.get_method(method)
    base = compose_config(spec, zoo.registry, sets={"stages": settings.get("stages", {})})
    own, stages = sort_files(zoo, spec, base, weights)
    notes: list[str] = []
    with replace_folder(out) as draft:
        importing = StagedImport(zoo, spec, base, settings, stages, draft)
        notes += importing.make_stages(photos)
        foundation = importing.make_foundation()
        layer = importing.merge_stage_settings(foundation.start)
        _, own_notes = write_imported_run(
            draft, zoo.registry, spec, list(own.files.values()), layer, photos, foundation
        )
        importing.write_records()
    return ImportedRun(load(out, registry=zoo.registry), (*notes, *own_notes))


def sort_files(
    zoo: PluginHost, spec: MethodSpec, config: GameConfig, weights: Sequence[Path]
) -> tuple[Recipient, dict[str, Recipient]]:
    """Sort files by the importers of a method and of its stages.

    Args:
        zoo: Plugins and the registry.
        spec: The method.
        config: A complete config of it, for the methods of the stages and what is given.
        weights: Files, and folders whose weight files are all taken.

    Returns:
        The recipient of the method itself, and that of each stage that is made of files.

    Raises:
        ConfigError: Lists every file that does not belong, and everything that is missing.
    """
    own, stages, missing = Recipient(f"{spec.name} itself", spec.name, spec.official_files), dict[str, Recipient](), []
    for name, (stage, settings) in select_stages(spec.stages, config).items():
        given = None if settings.path is None else f"--stage {name}={settings.path}"
        if isinstance(settings, TrainedStage):
            other = zoo.get_method(settings.method)
            title, files = f"stage {name} ({other.name})", other.official_files
            stages[name] = Recipient(title, other.name, files, f"{name}=RUN", given, not stage.optional)
        elif stage.importer is not None:
            files = stage.official_files
            stages[name] = Recipient(f"stage {name}", name, files, f"{name}=FOLDER", given, not stage.optional)
        elif given is None and not stage.optional:
            missing.append(f"missing: stage {name}; add --stage {name}=FOLDER")
    sort_weight_files(weights, [*stages.values(), own], missing)
    return own, {name: recipient for name, recipient in stages.items() if recipient.files}


@dataclass
class StagedImport:
    """The stages of a run that is imported.

    Attributes:
        zoo: Plugins and the registry.
        spec: The method.
        base: A complete config of it, with the stages that are given.
        settings: The user's settings, nested.
        files: The files of each stage that is imported.
        folder: Where the run is written.
        origins: By stage, where its result came from; other stages are left out.
        runs: By stage that is a run, the folder to read it from.
        read: By job that is made of files, the settings that these decide.
    """

    zoo: PluginHost
    spec: MethodSpec
    base: GameConfig
    settings: Mapping[str, Any]
    files: Mapping[str, Recipient]
    folder: Path
    origins: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Path] = field(default_factory=dict)
    read: dict[str, dict[str, Any]] = field(default_factory=dict)

    def make_stages(self, photos: Sequence[Path]) -> list[str]:
        """Import or copy every stage that has files or is given; others, which are optional, are left out.

        Returns:
            Sentences for the person who imports.

        Raises:
            ConfigError: Names every stage that cannot be made.
        """
        notes: list[str] = []
        problems: list[str] = []
        for name, (_, stage) in select_stages(self.spec.stages, self.base).items():
            try:
                if name in self.files:
                    notes += self.import_stage(name, photos)
                elif stage.path is not None:
                    self.copy_stage(name, stage)
                else:
                    notes.append(f"stage {name} is left out; --stage {name}=FOLDER gives one")
            except ConfigError as error:
                where = f"stages.{name}"
                problems.append(str(error) if str(error).startswith(where) else prefix_lines(where, error))
        if problems:
            raise ConfigError("\n".join(problems))
        return notes

    def import_stage(self, name: str, photos: Sequence[Path]) -> list[str]:
        """Import the files of a stage into its folder; the user's settings of `data` count for it too."""
        recipient, folder = self.files[name], self.folder / FOLDER / name
        declared, own = select_stages(self.spec.stages, self.base)[name]
        if declared.importer is not None:
            context = self.make_context(name, own, self.base, expect_facts(self.base))
            self.read[name] = dict(import_object(declared.importer)(context, recipient.files))
            self.origins[name] = ", ".join(str(file.resolve()) for file in recipient.files.values())
            return []
        stage = self.settings.get("stages", {}).get(name, {})
        data = {"data": self.settings["data"]} if "data" in self.settings else {}
        files = list(recipient.files.values())
        imported = import_run(
            recipient.name, files, out=folder, settings=merge(data, stage.get("set", {})), photos=photos,
            zoo=self.zoo,
        )  # fmt: skip
        self.origins[name] = ", ".join(str(file.resolve()) for file in files)
        self.runs[name] = folder
        return [f"stage {name}: {note}" for note in imported.notes]

    def copy_stage(self, name: str, stage: StageConfig) -> None:
        """Copy a given result into the folder of its stage."""
        assert stage.path is not None
        if isinstance(stage, TrainedStage):
            self.runs[name] = find_given_run(self.zoo, name, stage)
        elif not find_folder(stage.path).is_dir():
            raise ConfigError(f"{stage.path} is no folder; name the folder of a finished result")
        copy_given(self.make_context(name, stage, self.base, expect_facts(self.base)))
        self.origins[name] = str(stage.path)

    def make_context(self, name: str, stage: StageConfig, config: GameConfig, facts: Facts) -> StageContext:
        """Make the context of a stage in the folder of the run."""
        path = self.folder / FOLDER / name
        return StageContext(name, stage, config, facts, self.zoo.registry, {}, torch.device("cpu"), path, zoo=self.zoo)

    # ---- what the stages decide ----

    def make_foundation(self) -> Foundation:
        """Read off the stages what they decide of the run.

        Raises:
            ConfigError: A given stage is a run of another method.
        """
        stages: dict[str, Any] = {}
        for stage in self.spec.stages:
            settings = getattr(self.base.stages, stage.name)
            path = self.runs.get(stage.name)
            made = settings if path is None else settings.model_copy(update={"path": path})
            stages[stage.name] = made if stage.name in self.origins else None
        data = self.base.data.model_copy(update={"attributes": ()})  # `check_stage` compares with those of the weights
        config = self.base.model_copy(update={"data": data, "stages": self.base.stages.model_copy(update=stages)})
        left_out = {"stages": {name: None for name, stage in stages.items() if stage is None}}
        start = merge(merge({"stages": self.read}, left_out), make_given_layer(self.zoo, self.spec, config))
        return Foundation(start, self.find_facts, self.open_stages)

    def merge_stage_settings(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Merge what the stages are into the user's settings, above what the user asks of them."""
        return merge(self.settings, {"stages": start["stages"]})

    def find_facts(self, config: GameConfig) -> dict[str, Any]:
        """Find the facts of the first stage that is a run, which count where the weights do not tell."""
        for run in self.runs.values():
            _, stored, facts = open_origin(run, self.zoo.registry)
            names = [*SHARED_FACTS, *(LABEL_FACTS if facts.attributes == config.data.attributes else ())]
            relevant = find_relevant_facts(stored, facts, self.zoo.registry) | {"crop", "exclusive"}
            return {name: getattr(facts, name) for name in names if name in relevant}
        return {}

    def open_stages(self, config: GameConfig, facts: Facts) -> Mapping[str, Any]:
        """Check that the stages were made for the faces of the run, and open them.

        Raises:
            ConfigError: Names every fact on which two disagree.
        """
        problems: list[str] = []

        def collect(check: Callable[[], None]) -> None:
            try:
                check()
            except ConfigError as error:
                problems.append(str(error))

        for name, (_, stage) in select_stages(self.spec.stages, config).items():
            collect(lambda name=name, stage=stage: self.check_stage(name, stage, config, facts))  # type: ignore[misc]
        if problems:
            raise ConfigError("\n".join(problems))
        return open_stages(config, facts, self.zoo.registry, self.folder)

    def check_stage(self, name: str, stage: StageConfig, config: GameConfig, facts: Facts) -> None:
        """Check that the networks of a stage were built for the faces of the run, and a judge reads its attributes.

        Raises:
            ConfigError: They were built for others; names every fact that differs.
        """
        registry, origin = self.zoo.registry, Path(self.origins[name])
        if isinstance(stage, JudgeStage):
            make_judge_layer(name, getattr(self.base.stages, name), config)
            check_judge_parts(name, origin, facts.parts)
        if not isinstance(stage, TrainedStage):
            return
        _, stored, theirs = open_origin(self.runs[name], registry)
        if registry.methods[stored.method].stages:
            raise ConfigError(f"stages.{name}: {origin} is a run of a method with stages; take one without")
        context = self.make_context(name, stage, config, facts)
        expected = derive_facts(configure_trained_stage(context), config, facts)
        check_facts(origin, stored, theirs, expected, registry, f"stages.{name}")
        if "attributes" in find_relevant_facts(stored, theirs, registry):
            check_attributes(name, facts.attributes, theirs.attributes)

    def write_records(self) -> None:
        """Record where each stage came from, and its digest."""
        records = {
            name: StageRecord(
                name=name, state="given", origin=origin, digest=compute_digest(self.folder / FOLDER / name)
            )
            for name, origin in self.origins.items()
        }
        write_records(self.folder, records)
