"""Opened stages: the results of earlier trainings and jobs, which a game uses and no step trains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoogan.config import GameConfig
from zoogan.config.models import StageConfig
from zoogan.config.registry import Registry
from zoogan.config.stages import Stage, select_stages
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import find_folder, replace_folder
from zoogan.interfaces import ContractError, World
from zoogan.interfaces.draws import derive_seed
from zoogan.names import import_object
from zoogan.plugins.host import PluginHost
from zoogan.plugins.pasting import quote_run
from zoogan.terminal.messages import Show, hide_message
from zoogan.terminal.progress import Display

FOLDER = "stages"  # in a run folder


class StageStopped(Exception):
    """A signal stopped a stage. Its `run` raises this after it has saved what it can.

    Args:
        signal: Number of the signal; None in a process that did not receive it itself.
        iteration: The last completed iteration that was saved; None if nothing was saved.
    """

    def __init__(self, signal: int | None = None, iteration: int | None = None) -> None:
        super().__init__(f"stopped by signal {signal}")
        self.signal, self.iteration = signal, iteration


@dataclass(frozen=True)
class StageContext:
    """Everything that `run` and `open` of a stage may read.

    Attributes:
        name: Name of the stage.
        config: Settings of the stage.
        parent: The complete config of the run to which the stage belongs.
        facts: Facts about the data of that run.
        registry: Methods and components.
        stages: Earlier stages, opened: those of `Stage.after` that are not left out.
        device: Where networks go.
        path: Folder of the stage, see `folder`; None if untrained.
        zoo: Plugins, for observers; None in `open`.
        world: The processes that run the stage together; a single one for jobs.
        show: Shows a message to the user, on the main process alone.
        quiet: Show no progress.
        get_signal: Returns the number of the signal that asks a job to stop, None so far.
        allow: Keys of settings that may differ where a training goes on, see `zoogan.train`.
    """

    name: str
    config: StageConfig
    parent: GameConfig
    facts: Facts
    registry: Registry
    stages: Mapping[str, Any]
    device: torch.device
    path: Path | None = None
    zoo: PluginHost | None = None
    world: World = field(default_factory=World.make_single)
    show: Show = hide_message
    quiet: bool = True
    get_signal: Callable[[], int | None] = lambda: None
    allow: Collection[str] = ()

    @property
    def untrained(self) -> bool:
        """Whether `open` must build an untrained equivalent from the config alone; nothing is read."""
        return self.path is None

    @property
    def folder(self) -> Path:
        """The folder that `run` fills and `open` reads; after an interrupted replacement the old folder.

        Raises:
            RuntimeError: The context is untrained.
        """
        if self.path is None:
            raise RuntimeError(f"stage {self.name!r} is untrained and has no folder; build it from its config alone")
        return find_folder(self.path)

    def write_folder(self) -> AbstractContextManager[Path]:
        """Fill the folder whole or not at all: yields a draft that takes its place at the end without an error."""
        if self.path is None:
            raise RuntimeError(f"stage {self.name!r} is untrained and has no folder")
        return replace_folder(self.path)

    def show_progress(self, total: int, *, images: int = 1, unit: str = "iteration") -> Display:
        """Show the progress of a job, as a context: `display.advance(done)` and `display.report(done, terms)`.

        Args:
            total: How many there are.
            images: Images in each.
            unit: What is counted.
        """
        return Display(0, total, images, self.quiet, unit=unit)

    def check_signal(self) -> None:
        """Stop a job if a signal asks for it. Call it now and then.

        Raises:
            StageStopped: A signal was received.
        """
        if (signal := self.get_signal()) is not None:
            raise StageStopped(signal)


def open_stages(
    config: GameConfig,
    facts: Facts,
    registry: Registry,
    folder: Path | None = None,
    *,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """Open the stages of a run, frozen and in eval mode; or build untrained equivalents.

    Args:
        config: The complete config of the run.
        facts: Facts about its data.
        registry: Methods and components.
        folder: The run folder; None builds untrained equivalents, for checks of shapes.
        device: Where networks go; None = torch's default device, which may be `meta`.

    Returns:
        What `Stage.open` returned, by name, without the stages that the config leaves out.

    Raises:
        ConfigError: A stage is missing or cannot be opened.
    """
    place = torch.get_default_device() if device is None else torch.device(device)
    opened: dict[str, Any] = {}
    for name, (stage, settings) in select_stages(registry.methods[config.method].stages, config).items():
        path = None if folder is None else folder / FOLDER / name
        if path is not None and not find_folder(path).is_dir():
            raise ConfigError(
                f"{folder}: its stage {name} is missing (no {FOLDER}/{name} in it); go on with the training: "
                f"zoo train --out {quote_run(path.parents[1])} --resume"
            )
        earlier = {other: opened[other] for other in stage.after if other in opened}
        opened[name] = open_stage(stage, StageContext(name, settings, config, facts, registry, earlier, place, path))
    return opened


def open_stage(stage: Stage, context: StageContext) -> Any:
    """Open one stage, freeze its networks and put them in eval mode.

    Raises:
        ConfigError: It cannot be opened.
    """
    function = import_stage_function(stage, "open")
    with torch.random.fork_rng(devices=[]):  # the initial weights of untrained networks
        torch.manual_seed(derive_seed(context.parent.training.seed, "stage", context.name))
        opened = function(context)
    for module in list_modules(opened):
        module.eval().requires_grad_(False)
    return opened


def import_stage_function(stage: Stage, kind: str) -> Callable[[StageContext], Any]:
    """Import `run` or `open` of a stage.

    Raises:
        ConfigError: It cannot be imported.
    """
    path = getattr(stage, kind)
    try:
        function: Callable[[StageContext], Any] = import_object(path)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"stage {stage.name!r}: {kind}={path!r} cannot be imported: {error}. Correct it in its plugin"
        ) from error
    return function


def list_modules(opened: Any) -> list[nn.Module]:
    """List the modules of an opened stage: itself, the values of a mapping, or its attributes."""

    def find(value: Any, depth: int) -> Iterator[nn.Module]:
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, Mapping):
            for inner in value.values():
                yield from find(inner, depth)
        elif depth and hasattr(value, "__dict__"):
            for inner in (getattr(value, "networks", None), *vars(value).values()):
                yield from find(inner, depth - 1)

    modules = {id(module): module for module in find(opened, 1)}
    return list(modules.values())


def cast_stages(stages: Mapping[str, Any], dtype: torch.dtype) -> None:
    """Cast the networks of opened stages, so that they compute in the precision of the training."""
    for opened in stages.values():
        for module in list_modules(opened):
            module.to(dtype)


def check_apart(stages: Mapping[str, Any], game: nn.Module) -> None:
    """Check that a game holds no network of a stage as a module of its own, where it would get into its state.

    Raises:
        ContractError: It does; names the stage.
    """
    inside = {id(module) for module in game.modules()}
    for name, opened in stages.items():
        if any(id(module) in inside for root in list_modules(opened) for module in root.modules()):
            raise ContractError(
                f"{type(game).__name__} holds a network of stage {name!r} as its own module, so that it would be saved "
                "with the game. Keep components['stages'] itself, and take the network from it where it is used"
            )
