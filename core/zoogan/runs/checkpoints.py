"""Checkpoints: one folder each, named by iteration and replaced as a whole, with a manifest of checksums.

Nothing in them is a pickle: tensors are safetensors, the rest is JSON.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.config.changes import TrainingSetup
from zoogan.errors import ConfigError
from zoogan.files import (
    find_damaged_file,
    find_folder,
    list_checksums,
    list_not_finite,
    replace_folder,
    restore_folder,
    write_tensors,
)

CHECKPOINT_FORMAT = 2  # of a checkpoint inside an iteration; others have 1, which older versions read too
REMOVE = "remove this checkpoint to go on from an older one"
NAME = re.compile(r"\.?(iteration-(\d+))(\.old)?")  # with a dot and .old: renamed during an interrupted replacement


class CheckpointError(ConfigError):
    """A checkpoint cannot be used; the message says which file and why."""


@dataclass
class TrainingState:
    """Everything that training must restore to continue as if it had not stopped.

    Attributes:
        iteration: Completed iterations.
        position: Items of the data that were consumed.
        game: The game's own state, by key.
        networks: The networks' state_dicts, by slot.
        averages: The state_dicts of the networks' averages, by slot.
        optimizers: For each slot, the optimizer's state by parameter name, see `read_optimizer_state`.
        updates: Updates that the next iteration has completed; above 0 only after an error in it.
        records: What these updates recorded for its end, see `Game.get_records`; `name/0`, `name/1`...
        setup: The config and the processes that it was trained with; None in checkpoints of older versions.
    """

    iteration: int
    position: int
    game: dict[str, Tensor]
    networks: dict[str, dict[str, Tensor]]
    averages: dict[str, dict[str, Tensor]]
    optimizers: dict[str, dict[str, Tensor]]
    setup: TrainingSetup | None = None
    updates: int = 0
    records: dict[str, Tensor] = field(default_factory=dict)

    def list_not_finite(self) -> dict[str, list[str]]:
        """List the tensors that hold NaN or an infinity, by what they belong to, such as `generator (average)`."""
        groups = {"": self.networks, " (average)": self.averages, " (optimizer)": self.optimizers}
        owners = {f"{slot}{kind}": tensors for kind, group in groups.items() for slot, tensors in group.items()}
        bad = {owner: list_not_finite(tensors) for owner, tensors in {**owners, "game": self.game}.items()}
        return {owner: names for owner, names in bad.items() if names}


def read_optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state by parameter name: `conv.weight/exp_avg`."""
    return {
        f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def restore_optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Restore a state that `read_optimizer_state` returned."""
    parameters = dict(network.named_parameters())
    for key, value in state.items():
        name, _, field = key.rpartition("/")
        parameter = parameters[name]
        if value.shape == parameter.shape:  # in the parameter's own memory layout
            optimizer.state[parameter][field] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            device = parameter.device if optimizer.defaults.get("fused") else value.device
            optimizer.state[parameter][field] = value.to(device).clone()


def make_checkpoint_name(iteration: int) -> str:
    """Return the folder name of a checkpoint; names sort by iteration."""
    return f"iteration-{iteration:08d}"


def parse_iteration(path: Path) -> int:
    """Return the iteration in a checkpoint's folder name."""
    match = NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[2])


def save_checkpoint(folder: Path, state: TrainingState) -> Path:
    """Write a checkpoint under a folder; it replaces one of the same iteration. Returns its path."""
    path = folder / make_checkpoint_name(state.iteration)
    with replace_folder(path) as draft:
        write_tensors(draft / "game.safetensors", state.game)
        if state.records:
            write_tensors(draft / "game.records.safetensors", state.records)
        for suffix, group in {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers}.items():
            for name, tensors in group.items():
                write_tensors(draft / f"{name}{suffix}.safetensors", tensors)
        content: dict[str, Any] = {
            "format": CHECKPOINT_FORMAT if state.updates else 1,
            "iteration": state.iteration,
            "position": state.position,
        } | ({"updates": state.updates} if state.updates else {})
        if state.setup is not None:
            setup = state.setup
            content |= {"processes": setup.processes, "joint_batch": setup.joint_batch}
            content |= {"config_hash": setup.config_hash, "config": setup.config}
        (draft / "state.json").write_text(json.dumps(content, indent=1))
        manifest = {"format": content["format"], "files": list_checksums(draft)}
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return path


def prune_checkpoints(folder: Path, newest: Path, keep: int, spare: Collection[int | None] = ()) -> None:
    """Remove the oldest checkpoints.

    Args:
        folder: The folder of checkpoints.
        newest: The checkpoint just written; newer ones are not touched.
        keep: How many stay, `newest` included.
        spare: Iterations that stay in any case.
    """
    paths = list_checkpoints(folder)
    last = parse_iteration(newest)
    older = [path for path in paths if parse_iteration(path) < last and parse_iteration(path) not in spare]
    for old in older[: max(0, len(older) - keep + 1)]:
        shutil.rmtree(old)
    for stale in folder.glob(".iteration-*.tmp"):  # left by a write that was killed
        shutil.rmtree(stale, ignore_errors=True)
    for aside in folder.glob(".iteration-*.old"):
        restore_folder(folder / aside.name.removeprefix(".").removesuffix(".old"))


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a run, oldest first, valid or not; see `find_folder` for interrupted replacements."""
    matches = [NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return [find_folder(folder / name) for name in sorted({match[1] for match in matches if match})]


def find_problem(path: Path) -> str | None:
    """Return why a checkpoint is incomplete or damaged, or None."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        return find_damaged_file(path, manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"manifest.json cannot be read ({error})"


def find_newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Find the newest valid checkpoint. Returns it (or None), and a sentence on each newer one that is damaged."""
    damaged: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        problem = find_problem(path)
        if problem is None:
            return path, damaged
        damaged.append(f"checkpoint {path.name} is damaged: {problem}")
    return None, damaged


def read_setup(path: Path) -> TrainingSetup | None:
    """Read what a checkpoint was trained with; None if it does not say so, or cannot be read."""
    try:
        info = json.loads((path / "state.json").read_text())
        return TrainingSetup(info["config"], int(info["processes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_checkpoint(path: Path) -> TrainingState:
    """Read a checkpoint.

    Raises:
        CheckpointError: It is damaged, or of a newer format.
    """
    problem = find_problem(path)
    if problem:
        raise CheckpointError(f"{path}: {problem}; {REMOVE}")
    try:
        info: dict[str, Any] = json.loads((path / "state.json").read_text())
        version, iteration, position = int(info["format"]), int(info["iteration"]), int(info["position"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / 'state.json'}: cannot be read ({error}); {REMOVE}") from error
    if version > CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer zoogan (format {version}, this one reads {CHECKPOINT_FORMAT})"
        )
    kinds = ("", ".average", ".optimizer", ".records")
    groups: dict[str, dict[str, dict[str, Tensor]]] = {kind: {} for kind in kinds}
    for file in path.glob("*.safetensors"):
        name, dot, suffix = file.name.removesuffix(".safetensors").partition(".")
        groups[dot + suffix][name] = load_file(file)
    game = groups[""].pop("game")
    return TrainingState(
        iteration=iteration, position=position, game=game, networks=groups[""], averages=groups[".average"],
        optimizers=groups[".optimizer"], setup=read_setup(path), updates=int(info.get("updates", 0)),
        records=groups[".records"].get("game", {}),
    )  # fmt: skip
