"""Checkpoints: one folder each, named by iteration and replaced as a whole, with a manifest of checksums.

Nothing in them is a pickle: tensors are safetensors, the rest is JSON.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.files import find_folder, hash_file, replace_folder, restore_folder, write_tensors

CHECKPOINT_FORMAT = 1
NAME = re.compile(r"\.?(iteration-(\d+))(\.old)?")  # with a dot and .old: renamed during an interrupted replacement


class CheckpointError(Exception):
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
    """

    iteration: int
    position: int
    game: dict[str, Tensor]
    networks: dict[str, dict[str, Tensor]]
    averages: dict[str, dict[str, Tensor]]
    optimizers: dict[str, dict[str, Tensor]]


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
        for suffix, group in {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers}.items():
            for name, tensors in group.items():
                write_tensors(draft / f"{name}{suffix}.safetensors", tensors)
        content = {"format": CHECKPOINT_FORMAT, "iteration": state.iteration, "position": state.position}
        (draft / "state.json").write_text(json.dumps(content, indent=1))
        files = {
            file.name: {"sha256": hash_file(file), "bytes": file.stat().st_size} for file in sorted(draft.iterdir())
        }
        (draft / "manifest.json").write_text(json.dumps({"format": CHECKPOINT_FORMAT, "files": files}, indent=1))
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
        for name, entry in manifest["files"].items():
            file = path / name
            if not file.exists():
                return f"{name} is missing"
            if file.stat().st_size != entry["bytes"] or hash_file(file) != entry["sha256"]:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"manifest.json cannot be read ({error})"
    return None


def find_newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Find the newest valid checkpoint. Returns it (or None), and a sentence on each newer one that is damaged."""
    damaged: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        problem = find_problem(path)
        if problem is None:
            return path, damaged
        damaged.append(f"checkpoint {path.name} is damaged: {problem}")
    return None, damaged


def read_checkpoint(path: Path) -> TrainingState:
    """Read a checkpoint.

    Raises:
        CheckpointError: It is damaged, or of a newer format.
    """
    problem = find_problem(path)
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    info: dict[str, Any] = json.loads((path / "state.json").read_text())
    if info["format"] > CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer zoogan (format {info['format']}, this one reads {CHECKPOINT_FORMAT})"
        )
    groups: dict[str, dict[str, dict[str, Tensor]]] = {"": {}, ".average": {}, ".optimizer": {}}
    for file in path.glob("*.safetensors"):
        name, dot, suffix = file.name.removesuffix(".safetensors").partition(".")
        groups[dot + suffix][name] = load_file(file)
    game = groups[""].pop("game")
    return TrainingState(
        info["iteration"], info["position"], game, groups[""], groups[".average"], groups[".optimizer"]
    )
