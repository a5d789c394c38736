"""Import of elvisyjlin/SpatialAttentionGAN: `<images>.G.pth`, `<images>.D.pth` and `setting.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.config import ConfigError
from zoogan.files import map_layer_names
from zoogan.importing.official import (
    Imported,
    attribute_names,
    in_one_folder,
    newest_numbered,
    published,
    read_networks,
    renamed,
    same_number,
    tell_discriminator,
    translate,
)
from zoogan_sagan.config import SaganConfig

LAYOUT = "elvisyjlin/SpatialAttentionGAN"
CROP, WIDTH = 170, 178  # pixels of the aligned CelebA pictures
TRAINED_ON = {"source": "celeba", "crop": CROP, "split": "number"}
BODIES = {"AMN": "modification", "SAN": "attention"}

# The official code's argument -> our setting.
SETTINGS = {
    "l1": ("weights.cycle",),
    "l2": ("weights.identity",),
    "lgp": ("penalty.weight",),
    "d_iters": ("cadence.discriminator_repeat",),
    "batch_size": ("data.batch",),
    "lr": ("optimizers.generator.lr", "optimizers.discriminator.lr"),
}


def import_weights(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Official files, or one folder `results/<experiment>`, as our networks.

    settings: names of the official code's arguments, over those of the folder's setting.json; `attributes`
    names the label where there is no setting.json.

    Raises:
        ConfigError: files of another layout, two of one network, or settings that contradict the weights.
    """
    found, read = checkpoints(files)
    return convert(read_networks(found, recognised, LAYOUT), read | dict(settings))


def checkpoints(files: Iterable[Path]) -> tuple[list[Path], dict[str, Any]]:
    """The weight files, of a folder its newest pair, and the arguments of its setting.json.

    Raises:
        ConfigError: a folder of several experiments, or without a pair; a setting.json that cannot be read.
    """
    found: list[Path] = []
    arguments: dict[str, Any] = {}
    for path in map(Path, files):
        if path.name == "setting.json":
            arguments |= read_arguments(path)
        elif not path.is_dir():
            found.append(path)
        else:
            told = sorted(path.rglob("setting.json"))
            in_one_folder(path, "setting.json", told)
            for setting in told:
                arguments |= read_arguments(setting)
            found += newest_numbered(path, ".G.pth", ".D.pth")
    return found, arguments


def read_arguments(path: Path) -> dict[str, Any]:
    """The official code's arguments.

    Raises:
        ConfigError: not a JSON object.
    """
    try:
        arguments = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ConfigError(f"{path}: expected an object of settings, got {type(arguments).__name__}")
    return arguments


def recognised(state: Mapping[str, Tensor]) -> str | None:
    """The slot of official weights, by their keys."""
    if "src.weight" in state and "cls.0.weight" in state:
        return "discriminator"
    return "generator" if "AMN.conv.0.weight" in state and "SAN.conv.0.weight" in state else None


def convert(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Official state_dicts by slot as ours, with their config; either slot may be missing.

    Raises:
        ConfigError: another layout, or weights and settings that contradict each other.
    """
    imported = Imported(config=published(SaganConfig(), TRAINED_ON), networks={}, facts={"crop": CROP / WIDTH})
    counts: list[tuple[str, int]] = []
    if "generator" in networks:
        state = networks["generator"]
        shape = body_shape(state)
        names: dict[str, str] = {}
        for official, ours in BODIES.items():
            names |= body_names(official, ours, shape["downsamplings"], shape["blocks"])
        ours_state = renamed(state, names, "generator", LAYOUT)
        for ours in BODIES.values():
            ours_state[f"{ours}.head.weight"] = as_convolution(ours_state[f"{ours}.head.weight"])
        imported.networks["generator"] = ours_state
        counts.append(("the generator", state["AMN.conv.0.weight"].shape[1] - 3))
        sees = state["SAN.conv.0.weight"].shape[1] > 3
        imported.config["generator"] |= shape | {"mask_sees_label": sees}
    if "discriminator" in networks:
        discriminator = networks["discriminator"]
        stages = sum(re.fullmatch(r"conv\.\d+\.weight", key) is not None for key in discriminator)
        imported.networks["discriminator"] = renamed(
            discriminator, discriminator_names(stages), "discriminator", LAYOUT
        )
        heads = discriminator["cls.0.weight"]
        counts.append(("the discriminator", heads.shape[0]))
        tell_discriminator(imported, discriminator["conv.0.weight"].shape[0], stages, heads.shape[2], settings)
    if not counts:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    count = same_number("the number of attributes", counts)
    named = settings.get("attributes") or settings.get("target_attr")
    imported.config["data"]["attributes"] = attribute_names(named, count)
    translate(imported.config, SETTINGS, settings)
    if settings.get("total_kimg"):  # counts the images of discriminator updates
        each = int(settings.get("batch_size", 16)) * int(settings.get("d_iters", 3))
        imported.config["training"]["iterations"] = -(-int(settings["total_kimg"]) * 1000 // each)
    imported.alternative = {"generator": {"skip": False}, "discriminator": {"slope": 0.01}}
    imported.notes.append(
        "the code's first version had no sum in its residual blocks and slope 0.01, under the same keys"
    )
    return imported


def body_shape(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width, kernel, halvings and residual blocks of a generator body."""
    down = sum(re.fullmatch(r"AMN\.conv\.\d+\.weight", key) is not None for key in state) - 1
    blocks = sum(re.fullmatch(r"AMN\.resblk\.\d+\.layers\.0\.weight", key) is not None for key in state)
    stem = state["AMN.conv.0.weight"]
    return {"width": stem.shape[0], "kernel": stem.shape[2], "downsamplings": down, "blocks": blocks}


def as_convolution(weight: Tensor) -> Tensor:
    """A stride-1 transposed convolution's weight (i, o, k, k) as the equal convolution's (o, i, k, k)."""
    return weight.transpose(0, 1).flip(2, 3).contiguous()


def body_names(official: str, ours: str, downsamplings: int, blocks: int) -> dict[str, str]:
    """Official key -> ours for one body. Instance norms have no state."""
    names = map_layer_names(f"{official}.conv.0", f"{ours}.stem.conv")
    for k in range(downsamplings):
        names |= map_layer_names(f"{official}.conv.{3 * (k + 1)}", f"{ours}.down.{k}.conv")
        names |= map_layer_names(f"{official}.deconv.{3 * k}", f"{ours}.up.{k}.conv")
    for k in range(blocks):
        for index, half in ((0, "first"), (3, "second")):
            layers, here = f"{official}.resblk.{k}.layers", f"{ours}.residual.{k}.{half}"
            names |= map_layer_names(f"{layers}.{index}", f"{here}.conv") | map_layer_names(
                f"{layers}.{index + 1}", f"{here}.norm"
            )
            for part in ("running_mean", "running_var", "num_batches_tracked"):
                names[f"{layers}.{index + 1}.{part}"] = f"{here}.norm.{part}"
    return names | map_layer_names(f"{official}.deconv.{3 * downsamplings}", f"{ours}.head")


def discriminator_names(stages: int) -> dict[str, str]:
    """Official key -> ours."""
    names = map_layer_names("src", "score") | map_layer_names("cls.0", "attributes")
    for k in range(stages):
        names |= map_layer_names(f"conv.{2 * k}", f"trunk.{k}.conv")
    return names
