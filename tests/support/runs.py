"""Train narrow networks in process, and compare the checkpoints that trainings leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from zoogan.cli import main
from zoogan.config import GameConfig, compose_config, merge
from zoogan.plugins.host import get_zoo
from zoogan.runs import checkpoints

REGISTRY = get_zoo().registry
SIZE = 16  # pixels a side of the images of every method but those of style translation
STARGAN_V2_SIZE = 32
STYLE_METHODS = ("stargan-v2", "smile-layout")
PART_MODULES = ("generator.part_generators", "generator.positions")  # what SemanticStyleGAN's recipe `adapt` freezes

Settings = dict[str, Any]
FEW_FACES: Settings = {"batch": 4, "workers": 0, "faces": 32, "held_out": 16}  # of drawn data
_ATTRIBUTE_EDITING: Settings = {"generator": {"width": 4}, "discriminator": {"width": 4}}
_STYLE_NETWORK: Settings = {"width": 4, "max_width": 8, "style_dim": 8}
NARROW: dict[str, Settings] = {
    "sagan": _ATTRIBUTE_EDITING,
    "stargan": _ATTRIBUTE_EDITING,
    "stargan-v2": {
        "generator": _STYLE_NETWORK,
        "style_encoder": _STYLE_NETWORK,
        "discriminator": {"width": 4, "max_width": 8},
        "mapping": {"width": 8, "latent_dim": 4, "style_dim": 8},
        "training": {"sample_every": 2},
    },
    "smile-layout": {
        "generator": {"width": 4, "max_width": 8},
        "style_encoder": {"width": 4, "max_width": 8},
        "discriminator": {"width": 4, "max_width": 8},
        "mapping": {"width": 8},
    },
    "stylegan2": {
        "generator": {"style_dim": 8, "max_width": 8, "noise": True},
        "mapping": {"style_dim": 8, "layers": 2},
        "discriminator": {"max_width": 8},
        "training": {"sample_every": 2, "channels_last": False},
    },
    "semantic-stylegan": {
        "generator": {
            "style_dim": 8, "part_layers": 3, "shape_layers": 2, "part_width": 4, "feature_width": 6, "coarse_size": 8,
            "render_from": 4, "max_width": 8,
        },
        "mapping": {"style_dim": 8, "layers": 2},
        "discriminator": {"max_width": 8},
    },
    "sd-gan-joint": {
        "generator": {"style_dim": 8, "max_width": 8},
        "mapping": {"style_dim": 8, "layers": 2},
        "encoder": {"style_dim": 8, "max_width": 8, "hidden": 8},
        "offset": {"style_dim": 8, "max_width": 8, "hidden": 8},
        "discriminator": {"max_width": 8},
        "training": {"sample_every": 2, "channels_last": False},
    },
}  # fmt: skip
"""The settings of narrow networks, by method."""


def list_settings(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Flatten nested settings to `KEY=VALUE`."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += list_settings(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}={value if isinstance(value, str | Path) else json.dumps(value)}")
    return lines


def make_set_options(settings: Iterable[str]) -> list[str]:
    """Make `--set` options of settings such as `data.batch=4`."""
    return [part for setting in settings for part in ("--set", setting)]


def make_train_command(
    method: str,
    folder: Path | None,
    *options: str,
    iterations: int = 2,
    start_from: Path | None = None,
    **settings: Any,
) -> list[str]:
    """Make the arguments of `tiny_run` for the command `zoo`."""
    set_keys = {value.partition("=")[0] for flag, value in pairwise(options) if flag == "--set"}
    command = ["train", "--model", method, "--device", "cpu"]
    if "training.iterations" not in set_keys:
        command += ["--iterations", str(iterations)]
    drawn = "--data" not in options or options[options.index("--data") + 1] == "drawn"
    data = FEW_FACES if drawn else {key: FEW_FACES[key] for key in ("batch", "workers")}
    layer: Settings = {"data": data, "training": {"log_every": 1, "sample_every": 0}}
    if start_from is None:
        size = STARGAN_V2_SIZE if method in STYLE_METHODS else SIZE
        layer = merge(merge(layer, {"data": {"image_size": size}}), NARROW[method])
    else:
        command += ["--from", str(start_from)]
    if folder is not None:
        command += ["--out", str(folder)]
    lines = [line for line in list_settings(merge(layer, settings)) if line.partition("=")[0] not in set_keys]
    return [*command, *make_set_options(lines), *options]


def tiny_run(
    method: str,
    folder: Path | None,
    *options: str,
    iterations: int = 2,
    start_from: Path | None = None,
    **settings: Any,
) -> int:
    """Train a method in process on the CPU, with narrow networks on few small faces; return the exit code.

    Shapes are not checked, which halves the time.

    Args:
        method: Name of a method, such as sagan.
        folder: The run folder; None for the one that `zoo train` chooses.
        options: Further options of `zoo train`, such as "--data", "folder". They win over all settings.
        iterations: Planned iterations.
        start_from: A run to start from. The run decides image size and widths then, not `NARROW`.
        settings: Groups of settings that win over the narrow ones, such as `training={"average": 0.5}`.
    """
    command = make_train_command(method, folder, *options, iterations=iterations, start_from=start_from, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        return main(command)


def make_semantic_config(**settings: Any) -> GameConfig:
    """Compose a narrow config of SemanticStyleGAN of which every step runs in iteration 0."""
    tiny = merge(
        NARROW["semantic-stylegan"],
        {
            "data": FEW_FACES | {"image_size": SIZE, "label_set": "celebamask-13"},
            "training": {"average": 0.5, "average_images": None, "sample_every": 0},
            "weights": {"path_length": 0.5},
        },
    )
    return compose_config(REGISTRY.methods["semantic-stylegan"], REGISTRY, sets=merge(tiny, settings))


def read_newest_checkpoint(run: Path) -> checkpoints.TrainingState:
    """Read the newest checkpoint of a run; none of its checkpoints may be damaged."""
    path, damaged = checkpoints.find_newest_checkpoint(run / "checkpoints")
    assert path is not None and not damaged
    return checkpoints.read_checkpoint(path)


def flatten_state(state: checkpoints.TrainingState) -> dict[str, Tensor]:
    """Collect all tensors of a training state by name."""
    groups = {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers, "game": {"": state.game}}
    return {f"{n}{g}/{k}": t for g, group in groups.items() for n, ts in group.items() for k, t in ts.items()}


def select_below(tensors: dict[str, Tensor], *paths: str) -> dict[str, Tensor]:
    """Select the tensors of a network that lie below one of the module paths."""
    return {key: t for key, t in tensors.items() if key.startswith(tuple(f"{path}." for path in paths))}


def are_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same bits under the same names, and are not empty."""
    return bool(one) and set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


def assert_same_checkpoints(one: Path, other: Path) -> None:
    """Check that the newest checkpoints of two runs hold the same tensors, bit for bit."""
    left, right = flatten_state(read_newest_checkpoint(one)), flatten_state(read_newest_checkpoint(other))
    assert set(left) == set(right)
    unequal = {
        name: float((left[name] - right[name]).abs().max()) for name in left if not torch.equal(left[name], right[name])
    }
    assert not unequal, unequal
