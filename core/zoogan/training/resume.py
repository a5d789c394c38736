"""The checkpoint that a resumed training continues from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from zoogan.composition.build import Composition
from zoogan.config import GameConfig
from zoogan.config.changes import check_same_setup
from zoogan.config.registry import Registry
from zoogan.devices import count_processes
from zoogan.errors import ConfigError, NotFinite
from zoogan.names import join_problems
from zoogan.runs.checkpoints import REMOVE, TrainingState, find_newest_checkpoint, read_checkpoint, read_setup
from zoogan.runs.folder import RunFolder
from zoogan.runs.model_files import list_mismatches
from zoogan.terminal.messages import Show
from zoogan.training.advice import describe_not_finite


def load_resume_state(
    folder: RunFolder, config: GameConfig, registry: Registry, show: Show, allow: Collection[str] = ()
) -> TrainingState | None:
    """Load the newest valid checkpoint of a run.

    Args:
        folder: the run folder.
        config: the config to go on with.
        registry: everything that plugins registered.
        show: shows messages about newer checkpoints that are damaged, or that there is no checkpoint.
        allow: keys of settings that may differ from the checkpoint's, or `processes`.

    Returns:
        The state, or None where no checkpoint was written yet.

    Raises:
        ConfigError: Every checkpoint is damaged, or the run has a model without checkpoints, which a training would
            overwrite; or the config or the number of processes changed and `allow` does not name it.
        NotFinite: The checkpoint holds values that are not finite, as older versions could save.
    """
    path, damaged = find_newest_checkpoint(folder.checkpoints)
    if path is None and not damaged and any(folder.model.glob("*.safetensors")):
        raise ConfigError(
            f"{folder.path}: holds a model and no checkpoint, as imported runs do; there is nothing to go on "
            "from, and training would replace it. Train anew with another --out"
        )
    for message in damaged:
        show(f"warning: {message}; going back to an older one")
    if path is None and not damaged:
        show("no checkpoint was written yet: starting at iteration 0")
        return None
    if path is None:
        raise ConfigError(f"{folder.path}: no whole checkpoint to resume from; train anew with another --out")
    check_setup(folder, path, config, registry, allow)
    state = read_checkpoint(path)
    if state.list_not_finite():
        raise NotFinite(f"{path}: not finite: {describe_not_finite(state)}; {REMOVE}")
    return state


def check_setup(
    folder: RunFolder, checkpoint: Path, config: GameConfig, registry: Registry, allow: Collection[str]
) -> None:
    """Check that a training goes on with the config and the processes of its checkpoint.

    Args:
        folder: the run folder.
        checkpoint: to go on from.
        config: to go on with.
        registry: everything that plugins registered.
        allow: keys of settings that may differ, or `processes`.

    Raises:
        ConfigError: Names what differs.
    """
    if (setup := read_setup(checkpoint)) is not None:
        check_same_setup(setup, config, count_processes(), registry, allow, str(folder.path))


def check_weights_fit(state: TrainingState, composition: Composition) -> None:
    """Check that the weights of a checkpoint fit the networks that the config describes.

    Raises:
        ConfigError: Names the first tensors that do not fit.
    """
    problems = [
        problem
        for slot, network in composition.networks.items()
        for problem in list_mismatches(slot, {slot: state.networks.get(slot, {})}, network)
    ]
    if problems:
        raise ConfigError(
            "--resume: the networks of the config are not those of the checkpoint:\n"
            f"{join_problems(problems)}\nput their old settings back, or train a new run --from this one"
        )
