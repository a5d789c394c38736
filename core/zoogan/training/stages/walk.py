"""Plans, runs and resumes the stages of a method, before its own training."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from zoogan.composition.rehearsal import rehearse
from zoogan.composition.stages import (
    FOLDER,
    StageContext,
    StageStopped,
    import_stage_function,
    open_stage,
    open_stages,
)
from zoogan.config import GameConfig
from zoogan.config.stages import Stage, select_stages
from zoogan.devices import join_processes
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import World
from zoogan.plugins.host import PluginHost
from zoogan.runs.folder import RunFolder
from zoogan.runs.locations import create_run_folder
from zoogan.runs.stage_records import StageRecord, check_digest, compute_digest, read_records, write_records
from zoogan.terminal.messages import Show, hide_message
from zoogan.terminal.signals import StopSignals
from zoogan.training.accelerator import check_mode, get_mixed_precision
from zoogan.training.origin import check_frozen_are_trained, find_relevant_facts
from zoogan.training.prepare import open_data
from zoogan.training.session import Outcome
from zoogan.training.stages.config import JudgeStage, TrainedStage
from zoogan.training.stages.given import (
    check_attributes,
    check_given_job,
    check_given_run,
    check_judge_parts,
    copy_given,
    find_given_run,
)
from zoogan.training.stages.judge import open_judge_source
from zoogan.training.stages.trained import configure_trained_stage, prefix_lines

# Waiting processes need no messages, but torch ends a collective after its timeout (by default 30 minutes with gloo, 10
# with NCCL), and a job may take longer. So they wait in a group of their own, for at most this long.
LONGEST_JOB = timedelta(days=30)


@dataclass(frozen=True)
class StoppedStage:
    """A signal stopped a stage.

    Attributes:
        name: of the stage.
        outcome: its last saved iteration, and the signal.
    """

    name: str
    outcome: Outcome


class StagedTraining:
    """The stages of a run, checked and rehearsed; `run` makes those that are missing.

    Args:
        zoo: plugins and the registry.
        config: of the whole run, complete.
        folder: a new run folder; with `resume` that of the run to continue.
        device: auto, cuda, mps or cpu.
        resume: whether to continue.
        numbered: the folder's name was chosen automatically; if it is taken, the next free number is used.
        quiet: whether to show no progress.
        show: shows messages.
        allow: with `resume`, keys of settings that may differ where the training of a stage goes on.

    Raises:
        ConfigError: Any stage or the run itself cannot be trained; nothing was written. Names every problem.
    """

    def __init__(
        self,
        zoo: PluginHost,
        config: GameConfig,
        folder: Path,
        *,
        device: str = "auto",
        resume: bool = False,
        numbered: bool = False,
        quiet: bool = False,
        show: Show = print,
        allow: Collection[str] = (),
    ) -> None:
        self.allow = allow
        self.zoo, self.registry, self.folder = zoo, zoo.registry, folder
        self.device = join_processes(device)
        self.world = World()  # after the processes have joined
        self.is_main = self.world.rank == 0
        self.quiet = quiet or not self.is_main
        self.show = show if self.is_main else hide_message
        self.stages = select_stages(self.registry.methods[config.method].stages, config)
        records = read_records(folder) if resume else {}
        self.records = {name: records.get(name, StageRecord(name=name)) for name in self.stages}
        _, self.facts, self.config = open_data(config, self.registry)
        self.opened: dict[str, Any] = {}
        self.rehearse_all()
        self.show(self.describe_plan())
        self.claim_folder(numbered)

    def make_context(self, name: str, *, untrained: bool = False, opens: bool = True) -> StageContext:
        """Make the context of a stage.

        Args:
            name: of the stage.
            untrained: whether to leave out its folder; it gets no earlier stages then.
            opens: whether to open the earlier stages that it reads.
        """
        stage, settings = self.stages[name]
        names = [other for other in stage.after if other in self.stages and opens and not untrained]
        earlier = {other: self.open(other) for other in names}
        return StageContext(
            name, settings, self.config, self.facts, self.registry, earlier, self.device,
            None if untrained else self.folder / FOLDER / name, self.zoo, show=self.show, quiet=self.quiet,
            allow=self.allow,
        )  # fmt: skip

    # ---- before anything is written ----

    def rehearse_all(self) -> None:
        """Check and rehearse the run and every stage that is not complete, and check the digests of the others.

        Raises:
            ConfigError: Names every problem.
        """
        problems: list[str] = []
        configs = {"": self.config}

        def collect(check: Callable[[], None]) -> None:
            try:
                check()
            except ConfigError as error:
                problems.append(str(error))

        for name, record in self.records.items():
            if record.is_complete:
                if self.is_main:
                    collect(lambda record=record: check_digest(self.folder, record))  # type: ignore[misc]
            else:
                collect(lambda name=name: self.rehearse_stage(name, configs))  # type: ignore[misc]
        collect(lambda: self.rehearse_run(self.config, self.facts))
        modes = {get_mixed_precision(config) for config in configs.values()}
        if self.world.size > 1 and len(modes) > 1:
            described = ", ".join(f"{n or 'the run'} {c.training.precision}" for n, c in configs.items())
            problems.append(
                f"training.precision: several processes train all stages in one precision, got {described}; set "
                "stages.NAME.set.training.precision"
            )
        problems = [problem for found in self.world.gather_objects(problems) for problem in found]
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))

    def rehearse_run(self, config: GameConfig, facts: Facts) -> None:
        """Check one training and run its steps once, with untrained stages."""
        check_mode(config)
        check_frozen_are_trained(config)
        rehearse(config, facts, self.registry)

    def rehearse_stage(self, name: str, configs: dict[str, GameConfig]) -> None:
        """Check a stage that is still to be made or copied.

        Args:
            name: of the stage.
            configs: gets the config of a training.

        Raises:
            ConfigError: It cannot be made, or does not fit the run.
        """
        stage, settings = self.stages[name]
        untrained = self.make_context(name, untrained=True)
        import_stage_function(stage, "run")
        if isinstance(settings, TrainedStage):
            try:
                _, facts, config = open_data(configure_trained_stage(untrained), self.registry)
                if settings.path is None:
                    self.rehearse_run(config, facts)
                    configs[name] = config
            except ConfigError as error:
                where = f"stages.{name}"
                raise ConfigError(str(error) if str(error).startswith(where) else prefix_lines(where, error)) from error
            if settings.path is not None:
                run = find_given_run(self.zoo, name, settings)
                facts = check_given_run(untrained, stage, run, facts)
            with torch.device("meta"):
                relevant = find_relevant_facts(config, facts, self.registry)
            if "attributes" in relevant:
                check_attributes(name, self.facts.attributes, facts.attributes)
            return
        if settings.path is not None:
            untrained = replace(untrained, stages=self.open_for_check(stage.after))
            check_given_job(untrained, stage, settings.path)
            if isinstance(settings, JudgeStage):
                check_judge_parts(name, settings.path, self.facts.parts)
        elif isinstance(settings, JudgeStage):
            try:
                source, _ = open_judge_source(untrained)
            except ConfigError as error:
                raise ConfigError(prefix_lines(f"stages.{name}", error)) from error
            if settings.attributes is None:
                check_attributes(name, self.facts.attributes, source.attributes)

    def open_for_check(self, names: Sequence[str]) -> dict[str, Any]:
        """Open stages to check a given result that was made from them: complete and given ones, else untrained."""
        if not names:
            return {}
        opened = open_stages(self.config, self.facts, self.registry)
        for name, (stage, settings) in self.stages.items():
            if self.records[name].is_complete:
                opened[name] = self.open(name)
            elif settings.path is not None:
                path = settings.path
                if isinstance(settings, TrainedStage):
                    path = find_given_run(self.zoo, name, settings)
                context = replace(self.make_context(name, untrained=True), path=path)
                earlier = {other: opened[other] for other in stage.after if other in opened}
                opened[name] = open_stage(stage, replace(context, stages=earlier))
        return {name: opened[name] for name in names if name in opened}

    def describe_plan(self) -> str:
        """Describe what is trained, copied and skipped, a line each."""
        lines = [f"stages of {self.config.method}:"]
        for stage in self.registry.methods[self.config.method].stages:
            lines.append(f"  {stage.name}: {self.describe_stage(stage)}")
        return "\n".join([*lines, f"  then {self.config.method}: {self.config.training.iterations} iterations"])

    def describe_stage(self, stage: Stage) -> str:
        """Describe what happens to a stage."""
        if stage.name not in self.stages:
            return f"left out, because stages.{stage.name} is null"
        settings, record = self.stages[stage.name][1], self.records[stage.name]
        if record.is_complete:
            return f"skipped, because it is {record.state}{f' ({record.origin})' if record.origin else ''}"
        if settings.path is not None:
            return f"copied from {settings.path}"
        verb = "goes on" if record.state == "running" else "runs"
        if not isinstance(settings, TrainedStage):
            return verb
        config = configure_trained_stage(self.make_context(stage.name, untrained=True))
        return f"{verb}: {config.method} ({config.recipe}), {config.training.iterations} iterations"

    def claim_folder(self, numbered: bool) -> None:
        """Create the run folder with the config, the facts and the records of the stages."""
        self.world.barrier()  # no process may look at the folder after another has begun to fill it
        path = create_run_folder(self.folder) if numbered and self.is_main else self.folder
        self.folder = self.world.gather_objects(path)[0]
        if self.is_main:
            RunFolder(self.folder).write_config(self.config, self.facts)
            write_records(self.folder, self.records)
        self.world.barrier()

    # ---- the walk ----

    def run(self) -> StoppedStage | None:
        """Copy the given stages, then make the others in order.

        Returns:
            The stage that a signal stopped; None if all are complete.

        Raises:
            Exception: What a stage raised, in all processes.
        """
        waiting = [name for name, record in self.records.items() if not record.is_complete]
        given = [name for name in waiting if self.stages[name][1].path is not None]
        for name in [*given, *(name for name in waiting if name not in given)]:  # given ones first: they may go away
            try:
                if name in given:
                    self.make(name, copy_given, "given")
                else:
                    self.make(name, import_stage_function(self.stages[name][0], "run"), "done")
            except StageStopped as stop:
                return StoppedStage(name, Outcome("stopped", stop.iteration, stop.signal))
        return None

    def make(self, name: str, run: Callable[[StageContext], Any], state: Any) -> None:
        """Make one stage and record it."""
        settings, started = self.stages[name][1], time.monotonic()
        context = self.make_context(name, opens=state == "done")
        signal: int | None = None
        before = self.records[name].seconds
        origin = None if settings.path is None else str(settings.path)
        if state == "done":
            self.show(f"stage {name}: {self.describe_stage(self.stages[name][0])}")
        self.record(name, state="running", origin=origin)
        try:
            if settings.is_joint and state == "done":
                received = self.world.gather_objects(run(replace(context, world=self.world)))
                signal = next((number for number in received if isinstance(number, int)), None)
            else:
                signal = self.run_on_main(context, run)
        finally:
            self.record(name, seconds=round(before + time.monotonic() - started, 3))
        digest = compute_digest(self.folder / FOLDER / name) if self.is_main else None
        if self.is_main and digest is None:
            raise RuntimeError(f"stage {name}: its run {self.stages[name][0].run!r} left an empty folder")
        self.record(name, state=state, digest=digest)
        self.world.barrier()
        self.show(f"stage {name}: {state}")
        if signal is not None:
            raise StageStopped(signal)

    def record(self, name: str, **changes: Any) -> None:
        """Change the record of a stage, and store it on the main process."""
        self.records[name] = self.records[name].model_copy(update=changes)
        if self.is_main:
            write_records(self.folder, self.records)

    def run_on_main(self, context: StageContext, run: Callable[[StageContext], Any]) -> int | None:
        """Run a job on the main process while the others wait.

        Returns:
            The signal that the main process received, if the job finished in spite of it.

        Raises:
            StageStopped: A signal stopped it; in all processes.
            Exception: What the job raised; ConfigError or RuntimeError in the other processes.
        """
        group = dist.new_group(backend="gloo", timeout=LONGEST_JOB) if self.world.size > 1 else None
        error: BaseException | None = None
        signal: int | None = None
        with StopSignals(None if self.quiet else f"step of stage {context.name}") as signals:
            if self.is_main:
                try:
                    run(replace(context, get_signal=lambda: signals.received and int(signals.received)))
                except BaseException as raised:  # raised in the other processes too
                    error = raised
                signal = None if signals.received is None else int(signals.received)
            if group is not None:
                message: list[Any] = [(describe_error(error), signal)]
                dist.broadcast_object_list(message, src=0, group=group)  # type: ignore[arg-type]
                description, signal = message[0]
                if not self.is_main:
                    error = restore_error(context.name, description)
        if error is not None:
            raise error
        return signal

    def open(self, name: str) -> Any:
        """Open a complete stage, once."""
        if name not in self.opened:
            self.opened[name] = open_stage(self.stages[name][0], self.make_context(name))
        return self.opened[name]

    def open_all(self) -> Mapping[str, Any]:
        """Open all stages, by name."""
        return {name: self.open(name) for name in self.stages}


def describe_error(error: BaseException | None) -> tuple[str, Any] | None:
    """Describe an error of the main process for the others, as (kind, content)."""
    if error is None:
        return None
    if isinstance(error, StageStopped):
        return "stopped", error.signal
    return ("config" if isinstance(error, ConfigError) else "other"), f"{type(error).__name__}: {error}"


def restore_error(name: str, description: tuple[str, Any] | None) -> BaseException | None:
    """Make the error that the other processes raise, see `describe_error`."""
    if description is None:
        return None
    kind, content = description
    if kind == "stopped":
        return StageStopped(content)
    text = f"stage {name} failed on the main process: {content}"
    return ConfigError(text) if kind == "config" else RuntimeError(text)
