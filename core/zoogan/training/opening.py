"""Opens one training: prepares it up to its first iteration. Imports torch only when called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config import GameConfig
from zoogan.devices import is_main_process
from zoogan.plugins.host import PluginHost
from zoogan.terminal.messages import Show

if TYPE_CHECKING:
    from zoogan.training.session import Session


@dataclass(frozen=True)
class FinishedRun:
    """A run to resume whose training is already finished.

    Attributes:
        folder: of the run.
        iterations: that it was trained for.
        is_renewed: whether its model was missing or of another iteration, and was written anew.
    """

    folder: Path
    iterations: int
    is_renewed: bool


def open_training(
    zoo: PluginHost,
    config: GameConfig,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    numbered: bool = False,
    quiet: bool = False,
    show: Show = print,
    stages: Mapping[str, Any] | None = None,
    allow: Collection[str] = (),
) -> Session | FinishedRun:
    """Prepare a training up to its first iteration, and claim its folder.

    Args:
        zoo: plugins and the registry.
        config: complete.
        folder: of the run.
        device: auto, cpu, cuda or mps.
        resume: whether to go on with the run in the folder.
        numbered: the folder's name was chosen automatically; if it is taken, the next free number is used.
        quiet: whether to show no progress.
        show: shows notes and warnings.
        stages: what the method's stages gave, opened, by name.
        allow: with `resume`, keys of settings that may differ from the checkpoint's.

    Returns:
        The training; its `train()` runs the loop. A resumed run that needs no further iteration is a `FinishedRun`.

    Raises:
        ConfigError: The config, the device, the source or the weights cannot be used.
    """
    from zoogan.runs.checkpoints import find_newest_checkpoint, parse_iteration
    from zoogan.runs.folder import RunFolder
    from zoogan.runs.model_files import repair_model

    run_folder = RunFolder(folder)
    path = find_newest_checkpoint(run_folder.checkpoints)[0] if resume else None
    if path is not None and parse_iteration(path) >= config.training.iterations:
        is_renewed = is_main_process() and repair_model(run_folder, path, zoo.registry)
        return FinishedRun(folder, parse_iteration(path), is_renewed)
    from zoogan.training.prepare import prepare
    from zoogan.training.session import Session

    prepared = prepare(zoo, config, run_folder, device=device, resume=resume, show=show, stages=stages, allow=allow)
    return Session(prepared, quiet=quiet, numbered=numbered)
