"""Opens a run: builds its networks with the weights of its model or of a checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from zoogan.composition.build import compose
from zoogan.composition.stages import open_stages
from zoogan.config.registry import Registry
from zoogan.devices import choose_device
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo
from zoogan.runs.checkpoints import REMOVE, find_problem, list_checkpoints, parse_iteration
from zoogan.runs.folder import RunFolder, read_length
from zoogan.runs.latents import read_directions
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import find_run_folder
from zoogan.runs.model_files import drop_networks_without_file, find_network_files, load_weights, read_model

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
        path: The run folder; `gallery:NAME` for a run that an installed package brings; or `owner/name` on the Hugging
            Face Hub, at a branch, tag or commit as `owner/name@revision`. See `find_run_folder`.
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
    untrained: tuple[str, ...] = ()
    if checkpoint is None:
        length, untrained = read_model(folder, composition)
    else:
        chosen = find_checkpoint(folder, checkpoint)
        files, length = find_network_files(chosen), read_length(chosen / "state.json")
        drop_networks_without_file(composition, files)
        load_weights(composition, files)
    networks = composition.networks.to(device).eval().requires_grad_(False)
    editor = composition.game.to(device).make_editor(networks, attributes=facts.attributes)
    if untrained:
        editor.untrained = untrained
    if isinstance(editor, SynthesisEditor):
        editor.set_directions(*read_directions(folder.directions, editor))
    iteration, images = (None, None) if length is None else (length.iteration, length.position)
    run = LoadedRun(config, facts, editor, iteration, images, folder.path, stages, checkpoint)
    log.info("opened %s: %r", folder.path, run)
    return run


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
        why = "best.json is damaged" if folder.best.exists() else "training.best was not set"
        raise ConfigError(f"{folder.path}: no best checkpoint: {why}; take one by its iteration: {listed}")
    if iteration is None:
        if not str(checkpoint).isdigit():
            raise ConfigError(f"checkpoint {checkpoint!r}: expected an iteration or best; checkpoints: {listed}")
        iteration = int(checkpoint)
    path = paths.get(iteration)
    if path is None:
        raise ConfigError(f"{folder.path}: no checkpoint of iteration {iteration}; checkpoints: {listed}")
    problem = find_problem(path)
    if problem:
        raise ConfigError(f"{path}: {problem}; {REMOVE}")
    return path
