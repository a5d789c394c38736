"""The files of a run's model: reading, checking and mending them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from zoogan.composition.build import Composition, compose
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError, NotFinite
from zoogan.files import StateDict, find_damaged_file, list_not_finite, read_tensors_file
from zoogan.foreign_files import explain_unreadable_weights
from zoogan.names import join_names, join_problems
from zoogan.runs.checkpoints import find_newest_checkpoint
from zoogan.runs.folder import GAME_FILE, RunFolder, TrainedLength, read_length
from zoogan.runs.lock import lock_run

log = logging.getLogger("zoogan.runs")


def read_model(folder: RunFolder, composition: Composition) -> tuple[TrainedLength | None, tuple[str, ...]]:
    """Load the weights of the final model, or those of the newest whole checkpoint where the model is damaged.

    A damaged model is mended from that checkpoint, unless a training owns the run or it cannot be written.

    Args:
        folder: The run.
        composition: Gets the weights; networks that the model leaves out are removed from it.

    Returns:
        How long the weights were trained, and the networks that have only their initial weights.

    Raises:
        ConfigError: No model was saved yet, or it is damaged or was shared without a network that editing needs, and
            there is no whole checkpoint.
        NotFinite: The weights are not finite.
    """
    problem = find_model_problem(folder, composition)
    if problem is None:
        files = {name: folder.model / f"{name}.safetensors" for name in _list_model_names(composition)}
        files = {name: file for name, file in files.items() if file.exists()}
        drop_networks_without_file(composition, files)
        load_weights(composition, files)
        return folder.read_model_length(), folder.list_untrained()
    checkpoint, _ = find_newest_checkpoint(folder.checkpoints)
    if checkpoint is None and not folder.model.exists():
        raise ConfigError(f"{folder.path}: no model in this run yet; training saves it at every checkpoint")
    if checkpoint is None and (slots := list_left_out_networks(folder, composition)):
        raise ConfigError(
            f"{folder.path / 'model'}: the run was shared without {join_names(slots)}, as if only training read it, "
            f"but editing with {composition.config.method} needs it; ask the person who shared the run for a copy that "
            "zoogan.export_run makes anew"
        )
    if checkpoint is None:
        raise ConfigError(
            f"{folder.path / 'model'}: {problem}, and no whole checkpoint can mend it; copy the file again from where "
            "the run came from, or train anew"
        )
    log.warning("%s: %s; using %s instead", folder.path / "model", problem, checkpoint)
    files = find_network_files(checkpoint)
    length = read_length(checkpoint / "state.json")
    load_weights(composition, files)
    try:
        with lock_run(folder.path):
            write_mended_model(folder, composition, length)
        log.warning("%s: mended", folder.path / "model")
    except (ConfigError, OSError) as error:
        log.warning("%s: not mended: %s", folder.path / "model", error)
    return length, ()


def write_mended_model(folder: RunFolder, composition: Composition, length: TrainedLength | None) -> None:
    """Write the model anew from a composition with the weights of a checkpoint."""
    folder.write_model(composition.config, composition.facts, composition.networks, composition.game, length=length)


def drop_networks_without_file(composition: Composition, files: Mapping[str, Path]) -> None:
    """Remove the networks that a model leaves out, as in runs of the gallery."""
    for slot in [slot for slot in composition.networks if slot not in files]:
        del composition.networks[slot]


def load_weights(composition: Composition, files: Mapping[str, Path]) -> None:
    """Load the networks' weights, and the game's own state if there is a file of it.

    Args:
        composition: Gets the weights.
        files: The file of each network by slot, and of the game as `game`.

    Raises:
        ConfigError: A file is damaged, or does not fit the config.
        NotFinite: Weights are NaN or infinite.
    """
    modules: dict[str, nn.Module] = {**composition.networks, GAME_FILE: composition.game}
    for name, file in files.items():
        if name not in modules:
            continue
        state = read_tensors_file(file)
        if problems := list_mismatches(name, {name: state}, modules[name]):
            raise ConfigError(
                f"{file}: does not fit the networks that config.yaml describes:\n{join_problems(problems)}\n"
                "put the old settings of these networks back"
            )
        check_weights_finite(state, str(file))
        modules[name].load_state_dict(state)


def check_weights_finite(state: StateDict, where: str) -> None:
    """Refuse weights that would make black pictures.

    Args:
        state: The tensors of a network by name.
        where: The file, for the message.

    Raises:
        NotFinite: Names the first tensors.
    """
    if names := list_not_finite(state):
        raise NotFinite(
            f"{where}: not finite (NaN or infinity): {join_names(names)}; take another checkpoint or file, since these "
            "weights make no picture"
        )


def repair_model(folder: RunFolder, checkpoint: Path, registry: Registry) -> bool:
    """Write the model again from a checkpoint if it is damaged, incomplete or of another iteration.

    That happens when a write was killed or the folder was lost. Returns whether it was written.
    """
    config, facts = folder.read_config(registry)
    composition = compose(config, facts, registry)
    length = read_length(checkpoint / "state.json")
    if find_model_problem(folder, composition, spare=False) is None and folder.read_model_length() in (None, length):
        return False
    load_weights(composition, find_network_files(checkpoint))
    write_mended_model(folder, composition, length)
    return True


def find_model_problem(folder: RunFolder, composition: Composition, *, spare: bool = True) -> str | None:
    """Find out whether the files of the final model are whole, as far as the model says what they were.

    Args:
        folder: The run.
        composition: Names the files that are needed.
        spare: Whether networks that only training reads may be missing.

    Returns:
        The first problem; None if there is none.
    """
    problem = _find_model_problem(folder, composition, spare)
    return problem and _find_model_problem(folder, composition, spare)  # a training may just have replaced the folder


def _find_model_problem(folder: RunFolder, composition: Composition, spare: bool) -> str | None:
    try:
        checksums = folder.read_model_config().get("files", {})
    except ConfigError as error:
        return str(error)
    names = [f"{name}.safetensors" for name in _list_model_names(composition)]
    left_out = folder.read_model_config().get("left_out", ())
    optional = [f"{name}.safetensors" for name in (*composition.game.training_networks, *left_out)] if spare else []
    for name in names:
        file = folder.model / name
        if not file.exists():
            if name not in optional:
                return f"{name} is missing"
            continue
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            return f"{name} cannot be read: {explain_unreadable_weights(file, error)}"
        if name in checksums and (problem := find_damaged_file(folder.model, {name: checksums[name]})):
            return problem
    return None


def list_left_out_networks(folder: RunFolder, composition: Composition) -> list[str]:
    """List the networks that editing needs and that the model was written without on purpose.

    A network that config.json of the model names is no such network: its file was lost. Nor is one that it names as
    `left_out`: its editor can do without.
    """
    content = folder.read_model_config()
    written = [*content.get("networks", list(composition.networks)), *content.get("left_out", ())]
    needed = [slot for slot in composition.networks if slot not in composition.game.training_networks]
    return [slot for slot in needed if slot not in written and not (folder.model / f"{slot}.safetensors").exists()]


def _list_model_names(composition: Composition) -> list[str]:
    """List the names of the files of a model: the slots, and the game if it has a state of its own."""
    return [*composition.networks, *([GAME_FILE] if composition.game.state_dict() else [])]


def find_network_files(checkpoint: Path) -> dict[str, Path]:
    """Find the file of each network in a checkpoint: its average where there is one."""
    files = {file.name.removesuffix(".safetensors"): file for file in checkpoint.glob("*.safetensors")}
    return {name: files.get(f"{name}.average", file) for name, file in files.items() if "." not in name}


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
