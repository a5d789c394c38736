"""Checkpoints: one folder each, by name, written beside and renamed into place, with a manifest of checksums.

Nothing in them is a pickle: tensors are safetensors, the rest is JSON.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.files import hash_file, sync_to_disk, write_tensors

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says which file and why."""


@dataclass
class State:
    """Everything that training must restore to go on as if it had not stopped.

    iteration: completed iterations. position: items consumed of the data. game, networks, averages: tensors by key.
    optimizers: per network, per parameter name, that parameter's state.
    """

    iteration: int
    position: int
    game: dict[str, Tensor]
    networks: dict[str, dict[str, Tensor]]
    averages: dict[str, dict[str, Tensor]]
    optimizers: dict[str, dict[str, Tensor]]


def optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state by parameter name: `conv.weight/exp_avg`."""
    return {
        f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def restore_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` took."""
    parameters = dict(network.named_parameters())
    for key, value in state.items():
        name, _, field = key.rpartition("/")
        parameter = parameters[name]
        if value.shape == parameter.shape:  # in the parameter's own memory layout
            optimizer.state[parameter][field] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            device = parameter.device if optimizer.defaults.get("fused") else value.device
            optimizer.state[parameter][field] = value.to(device).clone()


def name_of(iteration: int) -> str:
    """The folder name of a checkpoint; names sort by iteration."""
    return f"iteration-{iteration:08d}"


def iteration_of(path: Path) -> int:
    """The iteration that a checkpoint's folder name tells."""
    return int(path.name.rpartition("-")[2])


def save(folder: Path, state: State) -> Path:
    """Write a checkpoint under `folder`. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / name_of(state.iteration)
    draft = folder / f".{final.name}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    write_tensors(draft / "game.safetensors", state.game)
    for suffix, group in {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers}.items():
        for name, tensors in group.items():
            write_tensors(draft / f"{name}{suffix}.safetensors", tensors)
    (draft / "state.json").write_text(
        json.dumps({"format": FORMAT, "iteration": state.iteration, "position": state.position}, indent=1)
    )
    files = {path.name: {"sha256": hash_file(path), "bytes": path.stat().st_size} for path in sorted(draft.iterdir())}
    (draft / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}, indent=1))
    for path in draft.iterdir():
        sync_to_disk(path)
    sync_to_disk(draft)
    if final.exists():  # the same iteration again: the new one is as good, and complete
        shutil.rmtree(final)
    draft.rename(final)
    sync_to_disk(folder)
    return final


def prune(folder: Path, newest: Path, keep: int, spare: Collection[int | None] = ()) -> None:
    """Drop the oldest checkpoints before `newest` beyond `keep`, but none of the iterations to `spare`."""
    older = [path for path in find(folder) if path.name < newest.name and iteration_of(path) not in spare]
    for old in older[: max(0, len(older) - keep + 1)]:
        shutil.rmtree(old)
    for stale in folder.glob(".iteration-*.tmp"):  # left by a write that was killed
        shutil.rmtree(stale, ignore_errors=True)


def find(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, valid or not."""
    return sorted(path for path in folder.glob("iteration-*") if path.is_dir())


def problems(path: Path) -> str | None:
    """Why a checkpoint is not whole, or None."""
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


def newest_valid(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint, and a sentence on each newer one that is not."""
    damaged: list[str] = []
    for path in reversed(find(folder)):
        problem = problems(path)
        if problem is None:
            return path, damaged
        damaged.append(f"checkpoint {path.name} is damaged: {problem}")
    return None, damaged


def load(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is not whole, or of a newer format.
    """
    problem = problems(path)
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    info: dict[str, Any] = json.loads((path / "state.json").read_text())
    if info["format"] > FORMAT:
        raise CheckpointError(f"{path}: written by a newer zoogan (format {info['format']}, this one reads {FORMAT})")
    groups: dict[str, dict[str, dict[str, Tensor]]] = {"": {}, ".average": {}, ".optimizer": {}}
    for file in path.glob("*.safetensors"):
        name, dot, suffix = file.name.removesuffix(".safetensors").partition(".")
        groups[dot + suffix][name] = load_file(file)
    game = groups[""].pop("game")
    return State(info["iteration"], info["position"], game, groups[""], groups[".average"], groups[".optimizer"])
