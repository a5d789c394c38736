"""Narrow trainings in process, of SemanticStyleGAN above all, and what two of their states have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from zoogan.cli import main
from zoogan.config import GameConfig, compose_config, merge
from zoogan.plugins.host import get_zoo
from zoogan.runs import checkpoints

REGISTRY = get_zoo().registry
SIZE = 16
FEW = [f"data.image_size={SIZE}", "data.batch=4", "data.workers=0", "data.faces=32", "data.held_out=8"]
NARROW = [
    "generator.style_dim=8", "mapping.style_dim=8", "mapping.layers=2", "generator.part_layers=3",
    "generator.shape_layers=2", "generator.part_width=4", "generator.feature_width=6", "generator.coarse_size=8",
    "generator.render_from=4", "generator.max_width=8", "discriminator.max_width=8", "training.sample_every=0",
]  # fmt: skip
PARTS = ("generator.part_generators", "generator.positions")


def begin(model: str, out: Path, *options: str, iterations: int = 2) -> int:
    """`zoo train` on the CPU. Returns the exit code."""
    length = ["--iterations", str(iterations)]
    return main(["train", "--model", model, "--out", str(out), "--device", "cpu", *length, *options])


def part_config(**others: Any) -> GameConfig:
    """SemanticStyleGAN, all of whose steps play in iteration 0."""
    spec = REGISTRY.methods["semantic-stylegan"]
    layer: dict[str, Any] = {"data": {"label_set": "celebamask-13"}}
    for setting in [*FEW, *NARROW, "training.average=0.5", "training.average_images=null", "weights.path_length=0.5"]:
        path, _, value = setting.partition("=")
        slot, _, key = path.partition(".")
        layer.setdefault(slot, {})[key] = yaml.safe_load(value)
    return compose_config(spec, REGISTRY, sets=merge(layer, others))


def newest(run: Path) -> checkpoints.TrainingState:
    """The last checkpoint."""
    path, damaged = checkpoints.find_newest_checkpoint(run / "checkpoints")
    assert path is not None and not damaged
    return checkpoints.read_checkpoint(path)


def flat(state: checkpoints.TrainingState) -> dict[str, Tensor]:
    """All its tensors by name."""
    groups = {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers, "game": {"": state.game}}
    return {f"{n}{g}/{k}": t for g, group in groups.items() for n, ts in group.items() for k, t in ts.items()}


def below(tensors: dict[str, Tensor], *paths: str) -> dict[str, Tensor]:
    """The tensors of a network under some module paths inside it."""
    return {key: t for key, t in tensors.items() if key.startswith(tuple(f"{path}." for path in paths))}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same bits under the same names, and anything at all."""
    return bool(one) and set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)
