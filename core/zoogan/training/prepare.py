"""Everything that a training needs before its first iteration, made once and before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from zoogan.composition.build import Composition, compose
from zoogan.composition.rehearsal import rehearse
from zoogan.composition.stages import cast_stages
from zoogan.config import GameConfig
from zoogan.config.registry import Registry
from zoogan.devices import choose_device, is_main_process
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Game, Source, World
from zoogan.plugins.host import PluginHost
from zoogan.runs import checkpoints
from zoogan.runs.checkpoints import TrainingState
from zoogan.runs.folder import RunFolder
from zoogan.terminal.messages import Show, hide_message
from zoogan.training.accelerator import open_accelerator
from zoogan.training.origin import check_frozen_are_trained
from zoogan.training.resume import check_weights_fit, load_resume_state
from zoogan.training.start import StartWeights, load_start


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to begin.

    Attributes:
        zoo: plugins and the registry.
        folder: the run folder; nothing was written into it yet.
        source: the faces.
        composition: the game and its networks with the weights that they begin with, the complete config and the facts.
        accelerator: device, precision and trackers of this process.
        world: the processes that train together.
        start: weights of the run that a new training starts from; None without one.
        state: the checkpoint that a resumed training continues from; None without one.
        show: shows a message, on the main process alone.
    """

    zoo: PluginHost
    folder: RunFolder
    source: Source
    composition: Composition
    accelerator: Accelerator
    world: World
    start: StartWeights | None
    state: TrainingState | None
    show: Show

    @property
    def config(self) -> GameConfig:
        """The complete config, which names the attributes."""
        return self.composition.config

    @property
    def facts(self) -> Facts:
        """The facts of the source."""
        return self.composition.facts

    @property
    def registry(self) -> Registry:
        """Everything that plugins registered."""
        return self.zoo.registry

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return torch.device(self.accelerator.device)

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and prints messages."""
        return bool(self.accelerator.is_main_process)


def prepare(
    zoo: PluginHost,
    config: GameConfig,
    folder: RunFolder,
    *,
    device: str = "auto",
    resume: bool = False,
    show: Show = print,
    stages: Mapping[str, Any] | None = None,
    allow: Collection[str] = (),
) -> Prepared:
    """Check a training and make everything that it needs. Writes nothing.

    Args:
        zoo: plugins and the registry.
        config: complete.
        folder: a new run folder; with `resume` that of the run to continue.
        device: auto, cuda, mps or cpu.
        resume: whether to continue from the newest valid checkpoint.
        show: shows notes and warnings; called on the main process only.
        stages: what the method's stages gave, opened, by name.
        allow: with `resume`, keys of settings that may differ from the checkpoint's.

    Raises:
        ConfigError: The config, the device, the source or the weights cannot be used.
    """
    choose_device(device)
    if not is_main_process():
        show = hide_message
    state = load_resume_state(folder, config, zoo.registry, show, allow) if resume else None
    # The checkpoints of a resumed run replace the weights that it started from.
    has_begun = resume and bool(checkpoints.list_checkpoints(folder.checkpoints))
    if not has_begun:
        check_frozen_are_trained(config)
    source, facts, config = open_data(config, zoo.registry)
    accelerator = open_accelerator(config, device, folder)
    world = World()  # after Accelerate has started the process group
    starts = config.training.start_from is not None and not has_begun
    start = load_start(config, facts, zoo.registry, world) if starts else None
    rehearse(config, facts, zoo.registry, device=torch.device(accelerator.device))
    opened = stages or {}
    if config.training.precision == "fp64":
        cast_stages(opened, torch.float64)
    composition = compose(config, facts, zoo.registry, opened)
    composition.game.check_training()
    check_augment(config, composition.game, torch.device(accelerator.device))
    if state is not None:
        check_weights_fit(state, composition)
    if start is not None:
        start.load_into(composition)
    for note in composition.game.list_warnings() if accelerator.is_main_process else ():
        show(f"note: {note}")
    return Prepared(zoo, folder, source, composition, accelerator, world, start, state, show)


def open_data(config: GameConfig, registry: Registry) -> tuple[Source, Facts, GameConfig]:
    """Open the source of a config and read its facts.

    Returns:
        The source, the facts, and the config with the names of the attributes. They are stored even if the setting was
        empty, so that folders added later become no domains.
    """
    source: Source = registry.build("source", config.data)
    facts = describe_source(source)
    data = config.data.model_copy(update={"attributes": facts.attributes})
    return source, facts, config.model_copy(update={"data": data})


def describe_source(source: Source) -> Facts:
    """Read the facts of a source, in the form that networks and runs keep."""
    return Facts(
        image_size=source.image_size,
        attributes=source.attributes,
        exclusive=source.exclusive,
        domains=source.domains,
        parts=source.parts,
        transparent=source.transparent,
        crop=source.crop,
    )


def check_augment(config: GameConfig, game: Game, device: torch.device) -> None:
    """Refuse an augmentation that the device may be unable to compute.

    Raises:
        ConfigError: names the augmentation, and what to do.
    """
    augment = getattr(game, "augment", None)  # not every game has a discriminator
    if device.type in getattr(augment, "unsupported_devices", ()):
        settings: Any = dict(config)["augment"]  # a slot of the game's config
        raise ConfigError(
            f"augment.use: {settings.use} needs operators that torch may lack on {device.type}; take "
            "augment.use=diffaugment, or --device cpu"
        )
