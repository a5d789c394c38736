"""Opens a run: builds its networks with the weights of its model or of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from zoogan.composition.build import Composition, compose
from zoogan.composition.stages import open_stages
from zoogan.config.registry import Registry
from zoogan.devices import choose_device
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.files import StateDict, read_tensors_file
from zoogan.plugins.host import get_zoo
from zoogan.runs.checkpoints import find_problem, list_checkpoints, parse_iteration
from zoogan.runs.folder import GAME_FILE, RunFolder, read_length
from zoogan.runs.latents import read_directions
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import find_run_folder

log = logging.getLogger("zoogan.runs")


def load(
    path: str | Path,
    *,
    checkpoint: int | str | None = None,
    device: str | torch.device = "cpu",
    registry: Registry | None = None,
) -> LoadedRun:
    """Open a trained run, ready to edit or sample.

    Args:
        path: The run folder, or `gallery:NAME` for a run that an installed package brings; see `find_run_folder`.
        checkpoint: An iteration, or `best` by `training.best`; None = the final model.
        device: Where the networks go; `auto` is the best device present.
        registry: Methods and components; None = those of all installed plugins.

    Raises:
        ConfigError: Not a run, no trained model in it yet, no such checkpoint, or no such device.
    """
    folder = RunFolder(find_run_folder(path))
    if isinstance(device, str):
        device = choose_device(device)
    registry = registry or get_zoo().registry
    config, facts = folder.read_config(registry)
    stages = open_stages(config, facts, registry, folder.path, device=device)
    composition = compose(config, facts, registry, stages)
    if checkpoint is None:
        files, length = find_model_files(folder, composition), folder.read_model_length()
    else:
        chosen = find_checkpoint(folder, checkpoint)
        files, length = find_network_files(chosen), read_length(chosen / "state.json")
    for slot in [slot for slot in composition.networks if slot not in files]:
        del composition.networks[slot]
    load_weights(composition, files)
    networks = composition.networks.to(device).eval().requires_grad_(False)
    editor = composition.game.to(device).make_editor(networks, attributes=facts.attributes)
    if checkpoint is None:
        editor.untrained = folder.list_untrained()
    if isinstance(editor, SynthesisEditor):
        editor.set_directions(*read_directions(folder.directions, editor))
    iteration, images = (None, None) if length is None else (length.iteration, length.position)
    run = LoadedRun(config, facts, editor, iteration, images, folder.path, stages, checkpoint)
    log.info("opened %s: %r", folder.path, run)
    return run


def load_weights(composition: Composition, files: Mapping[str, Path]) -> None:
    """Load the networks' weights, and the game's own state if there is a file of it.

    Args:
        composition: Gets the weights.
        files: The file of each network by slot, and of the game as `game`.
    """
    for name, network in composition.networks.items():
        network.load_state_dict(read_tensors_file(files[name]))
    if GAME_FILE in files:
        composition.game.load_state_dict(read_tensors_file(files[GAME_FILE]))


def repair_model(folder: RunFolder, checkpoint: Path, registry: Registry) -> bool:
    """Write the model again from a checkpoint if it is incomplete or of another iteration.

    That happens when a write was killed or the folder was lost. Returns whether it was written.
    """
    config, facts = folder.read_config(registry)
    composition = compose(config, facts, registry)
    is_complete = all((folder.model / f"{name}.safetensors").exists() for name in _list_model_names(composition))
    length = read_length(checkpoint / "state.json")
    if is_complete and folder.read_model_length() in (None, length):
        return False
    load_weights(composition, find_network_files(checkpoint))
    folder.write_model(config, facts, composition.networks, composition.game, length=length)
    return True


def find_model_files(folder: RunFolder, composition: Composition) -> dict[str, Path]:
    """Find the file of each network of the final model, and of the game's own state if it has any.

    Networks that only training reads may have none, as in runs of the gallery.

    Raises:
        ConfigError: One is missing.
    """
    files = {name: folder.model / f"{name}.safetensors" for name in _list_model_names(composition)}
    spare = composition.game.training_networks
    files = {name: file for name, file in files.items() if file.exists() or name not in spare}
    for name, file in files.items():
        if not file.exists():
            has_checkpoints = bool(list_checkpoints(folder.checkpoints))
            hint = "its training stopped early" if has_checkpoints else "training saves it at every checkpoint"
            raise ConfigError(f"{folder.path}: no model/{name}.safetensors in this run; {hint}")
    return files


def _list_model_names(composition: Composition) -> list[str]:
    """List the names of the files of a model: the slots, and the game if it has a state of its own."""
    return [*composition.networks, *([GAME_FILE] if composition.game.state_dict() else [])]


def find_network_files(checkpoint: Path) -> dict[str, Path]:
    """Find the file of each network in a checkpoint: its average where there is one."""
    files = {file.name.removesuffix(".safetensors"): file for file in checkpoint.glob("*.safetensors")}
    return {name: files.get(f"{name}.average", file) for name, file in files.items() if "." not in name}


def find_checkpoint(folder: RunFolder, checkpoint: int | str) -> Path:
    """Find the checkpoint of an iteration, or the best one.

    Args:
        folder: The run.
        checkpoint: An iteration, or `best`.

    Raises:
        ConfigError: No such checkpoint, a damaged one, or `best` in a run without `training.best`.
    """
    paths = {parse_iteration(path): path for path in list_checkpoints(folder.checkpoints)}
    listed = ", ".join(map(str, paths)) or "none"
    iteration = folder.read_best_iteration() if checkpoint == "best" else None
    if checkpoint == "best" and iteration is None:
        raise ConfigError(f"{folder.path}: no best checkpoint: training.best was not set; checkpoints: {listed}")
    if iteration is None:
        if not str(checkpoint).isdigit():
            raise ConfigError(f"checkpoint {checkpoint!r}: expected an iteration or best; checkpoints: {listed}")
        iteration = int(checkpoint)
    path = paths.get(iteration)
    if path is None:
        raise ConfigError(f"{folder.path}: no checkpoint of iteration {iteration}; checkpoints: {listed}")
    problem = find_problem(path)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    return path


def list_mismatches(slot: str, states: Mapping[str, StateDict], network: nn.Module) -> list[str]:
    """List the tensors of a network's stored state that do not fit it, one line each.

    Args:
        slot: The network's slot.
        states: Stored state_dicts by slot.
        network: The network that should take the state.
    """
    expected, state = network.state_dict(), states[slot]
    lines = []
    for name in [*expected, *(name for name in state if name not in expected)]:
        there, here = (str(tuple(s[name].shape)) if name in s else "nothing" for s in (state, expected))
        if there != here:
            lines.append(f"{slot}.{name}: {there} in the run, {here} here")
    return lines
