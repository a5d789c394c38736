"""Training as Python users start it; `zoo train` calls the same functions. Imports torch only when training begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config import GameConfig, merge
from zoogan.devices import check_device_name, choose_device, is_main_process
from zoogan.errors import ConfigError, TrainingStopped
from zoogan.plugins.host import PluginHost, get_zoo
from zoogan.runs.locations import explain_occupied_folder
from zoogan.runs.lock import lock_run
from zoogan.terminal.messages import Show, hide_message
from zoogan.training.configure import (
    check_allow,
    configure_new_run,
    configure_resumed_run,
    merge_options,
    nest_source,
)
from zoogan.training.opening import FinishedRun, open_training

if TYPE_CHECKING:
    from zoogan.runs.loaded import LoadedRun
    from zoogan.training.session import Outcome, Session


def train(
    method: str | None = None,
    *,
    model: str | None = None,
    data: str | Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    recipe: str | None = None,
    config: str | Path | None = None,
    iterations: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    start_from: str | Path | None = None,
    device: str = "auto",
    precision: str | None = None,
    resume: bool = False,
    allow: str | Collection[str] = (),
    stages: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    quiet: bool = False,
    **groups: Any,
) -> LoadedRun:
    """Train a method on faces, and open the run.

    `zoogan.train("sagan", data="drawn", iterations=500, out="runs/x", training={"seed": 1}, generator={"width": 32})`
    is `zoo train --model sagan --data drawn --iterations 500 --out runs/x --set training.seed=1 --set
    generator.width=32`. Settings are laid over each other in this order: recipe, `config`, `settings`, keyword groups,
    single options.

    Args:
        method: a name of `zoo list`, such as sagan. May be left out where `resume` is set.
        model: the same, as `--model` of the command line; give one of them.
        data: a source (drawn by default, celeba, celebamask_hq, folder, folders), or settings of `data` such as
            {"source": "folder", "image_size": 64}.
        root: the folder of the source.
        recipe: named settings of the method; by default those for the source, on a CPU small ones.
        config: a YAML file of settings.
        iterations: how long to train, `training.iterations`.
        out: the run folder; by default runs/<method>-<recipe>-<NNN>, or runs/<method>-<folder>-<image size>-<NNN> where
            the data have a folder and no recipe is named.
        seed: `training.seed`.
        start_from: a run whose weights the training begins with.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.
        resume: go on with the run in `out`, from its newest valid checkpoint.
        allow: with `resume`, settings that may differ from those of the checkpoint, such as
            "optimizers.generator.lr", and `processes`. Those that change no number need not be named.
        stages: for methods made of stages, by name: a finished result to copy (a run, a judge, official weights), None
            to leave an optional stage out, or settings of the stage.
        settings: nested, as in a config file.
        plugins: single-file plugins to load as well.
        quiet: print no progress, notes and warnings.
        **groups: settings by group, such as training={...} or generator={...}; the name of a component alone chooses
            it, as in augment="ada".

    Returns:
        The trained run, on the device that it was trained on. Under `torchrun` every process gets it.

    Raises:
        ConfigError: Options or settings are wrong (every problem is named), or the folder is in use. Nothing was
            written.
        TrainingStopped: SIGINT (Ctrl-C) or SIGTERM stopped the training; its run was saved and can be resumed.
        NotFinite: A term, a gradient or a weight became NaN or infinite; the last checkpoint stays.
        DataError: A face could not be read. As after any error, the last complete update was saved.
        OutOfMemory: The memory does not suffice; says what needs less.
        DiskError: The disk is full; says how much is needed.
    """
    if method is not None and model is not None and method != model:
        raise ConfigError(f"model={model!r}: the method is {method!r} already; give one of them")
    zoo, method = load_plugins(plugins), method or model
    layer = merge(nest_source(settings or {}), groups)
    source = data if isinstance(data, str) else None
    if isinstance(data, Mapping):
        source = data.get("source")
        layer = merge(layer, {"data": {key: value for key, value in data.items() if key != "source"}})
    layer = merge_options(
        layer, iterations=iterations, seed=seed, precision=precision, start_from=start_from, root=root,
        stages=stages,
    )  # fmt: skip
    check_device_name(device)
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    show = hide_message if quiet or not is_main_process() else print
    configure = (
        partial(configure_resumed_run, allow=allowed)
        if resume
        else partial(configure_new_run, device=device, show=show)
    )
    check_allow(allowed, resume)
    complete, folder = configure(
        zoo,
        method,
        out=None if out is None else Path(out),
        recipe=recipe,
        source=source,
        config=None if config is None else Path(config),
        settings=layer,
    )
    ended = run_training(
        zoo, complete, folder, device=device, resume=resume, numbered=out is None, quiet=quiet, show=show, allow=allowed
    )
    if isinstance(ended, EndedTraining) and ended.outcome.is_stopped:
        raise TrainingStopped(ended.folder, ended.outcome.iteration, ended.outcome.signal)
    from zoogan.runs.opening import load

    where = ended.session.accelerator.device if isinstance(ended, EndedTraining) and ended.session else None
    return load(ended.folder, device=where or choose_device(device), registry=zoo.registry)


@dataclass(frozen=True)
class EndedTraining:
    """A training that ran to its end, or until a signal.

    Attributes:
        folder: of the run.
        outcome: how it ended.
        session: the run's own training; None if a stage was stopped before it.
        stage: the stage that was stopped, if any.
    """

    folder: Path
    outcome: Outcome
    session: Session | None
    stage: str | None = None


def run_training(
    zoo: PluginHost,
    config: GameConfig,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    numbered: bool = False,
    quiet: bool = False,
    show: Show = print,
    announce: Callable[[Session], object] = lambda session: None,
    allow: Collection[str] = (),
) -> EndedTraining | FinishedRun:
    """Train a method: its stages first, if it has any, then the run itself.

    Args:
        zoo: plugins and the registry.
        config: complete.
        folder: of the run.
        device: auto, cpu, cuda or mps.
        resume: whether to go on with the run in the folder.
        numbered: the folder's name was chosen automatically; if it is taken, the next free number is used.
        quiet: whether to show no progress.
        show: shows notes and warnings.
        announce: called with the run's own training before its first iteration.
        allow: with `resume`, keys of settings that may differ from the checkpoint's.

    Raises:
        ConfigError: The config, the device, the source, a stage or the weights cannot be used, or another process
            trains in the folder.
    """
    with ExitStack() as stack:

        def own_folder(path: Path) -> None:
            """Lock the run folder, in the first of several processes."""
            if is_main_process():
                stack.enter_context(lock_run(path, removes_empty=numbered))

        if not numbered:
            own_folder(folder)  # before anything is read that another training may change
            if not resume and (
                reason := explain_occupied_folder(folder, ignores_lock=True)
            ):  # since the options were checked
                raise ConfigError(f"--out {folder}: {reason}; choose another")
        opened: Mapping[str, Any] = {}
        if zoo.registry.methods[config.method].stages:
            from zoogan.runs.checkpoints import list_checkpoints
            from zoogan.runs.folder import RunFolder
            from zoogan.training.resume import check_setup
            from zoogan.training.stages.walk import StagedTraining

            if resume and (begun := list_checkpoints(RunFolder(folder).checkpoints)):
                check_setup(RunFolder(folder), begun[-1], config, zoo.registry, allow)  # before config.yaml is written
            staged = StagedTraining(
                zoo, config, folder, device=device, resume=resume, numbered=numbered, quiet=quiet, show=show,
                allow=allow,
            )  # fmt: skip
            if numbered:
                own_folder(staged.folder)
            folder, numbered = staged.folder, False
            if stopped := staged.run():
                return EndedTraining(folder, stopped.outcome, None, stopped.name)
            resume = resume and has_begun(folder)
            opened = staged.open_all()
        training = open_training(
            zoo, config, folder, device=device, resume=resume, numbered=numbered, quiet=quiet, show=show, stages=opened,
            allow=allow,
        )  # fmt: skip
        if isinstance(training, FinishedRun):
            return training
        if numbered:
            own_folder(training.folder.path)
        announce(training)
        outcome = training.train()
        return EndedTraining(training.folder.path, outcome, training)


def has_begun(folder: Path) -> bool:
    """Whether the training of a run has saved anything."""
    return any((folder / name).is_dir() and any((folder / name).iterdir()) for name in ("checkpoints", "model"))


def load_plugins(files: Sequence[str | Path]) -> PluginHost:
    """Load single-file plugins into the zoo of this process.

    Raises:
        ConfigError: A file is no working plugin.
    """
    zoo = get_zoo()
    before = len(zoo.failures)
    zoo.load_files([Path(file) for file in files])
    if failures := zoo.failures[before:]:
        raise ConfigError("\n".join(map(str, failures)))
    return zoo
