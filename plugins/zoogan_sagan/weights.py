"""Import of elvisyjlin/SpatialAttentionGAN: `<images>.G.pth`, `<images>.D.pth` and `setting.json`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import (
    Choice,
    Imported,
    Trial,
    TrialFaces,
    assume_image_size,
    configure_discriminator,
    find_newest_files,
    make_published_layer,
    map_layer_names,
    read_networks,
    rename_tensors,
    require_attribute_names,
    require_one_folder,
    require_same_number,
    translate_arguments,
)
from zoogan.interfaces import Editor, Request
from zoogan_sagan.config import SaganConfig

LAYOUT = "elvisyjlin/SpatialAttentionGAN"
CROP, WIDTH = 170, 178  # pixels of the aligned CelebA pictures
TRAINED_ON = {"source": "celeba", "crop": CROP, "split": "number"}
BODIES = {"AMN": "modification", "SAN": "attention"}
FIRST_VERSION = {"generator": {"skip": False}, "discriminator": {"slope": 0.01}}
"""The settings of the code's first version, whose weights have the same keys and shapes."""
MAX_CHANGE = 0.1  # mean |edit - input| of an edit to the face's own labels, which training weights most

# The official code's argument -> our setting.
SETTINGS = {
    "l1": ("weights.cycle",),
    "l2": ("weights.identity",),
    "lgp": ("penalty.weight",),
    "d_iters": ("cadence.discriminator_repeat",),
    "batch_size": ("data.batch",),
    "lr": ("optimizers.generator.lr", "optimizers.discriminator.lr"),
}


def import_sagan(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files, or one folder `results/<experiment>`.

    Args:
        files: Weight files, setting.json, or the folder that holds them.
        settings: Arguments of the official code, over those of setting.json; `attributes` names the label where there
            is no setting.json.

    Raises:
        ConfigError: Files of another layout, two of one network, or settings that contradict the weights.
    """
    paths, arguments = find_checkpoints(files)
    return convert_sagan(read_networks(paths, identify_network, LAYOUT), arguments | dict(settings))


def find_checkpoints(files: Iterable[Path]) -> tuple[list[Path], dict[str, Any]]:
    """Find the weight files, of a folder its newest pair, and read the arguments of setting.json.

    Raises:
        ConfigError: A folder of several experiments, or without a pair; a setting.json that cannot be read.
    """
    paths: list[Path] = []
    arguments: dict[str, Any] = {}
    for path in map(Path, files):
        if path.name == "setting.json":
            arguments |= read_arguments(path)
        elif not path.is_dir():
            paths.append(path)
        else:
            setting_files = sorted(path.rglob("setting.json"))
            require_one_folder(path, "setting.json", setting_files)
            for setting in setting_files:
                arguments |= read_arguments(setting)
            paths += find_newest_files(path, ".G.pth", ".D.pth")
    return paths, arguments


def read_arguments(path: Path) -> dict[str, Any]:
    """Read the arguments of the official code.

    Raises:
        ConfigError: Not a JSON object.
    """
    try:
        arguments = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ConfigError(f"{path}: expected an object of settings, got {type(arguments).__name__}")
    return arguments


def identify_network(state: Mapping[str, Tensor]) -> str | None:
    """Return the slot of official weights, by their keys; None = neither network."""
    if "src.weight" in state and "cls.0.weight" in state:
        return "discriminator"
    return "generator" if "AMN.conv.0.weight" in state and "SAN.conv.0.weight" in state else None


def convert_sagan(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Convert official state_dicts to our names, and their settings to our config.

    Args:
        networks: Official state_dicts by slot; either slot may be missing.
        settings: Arguments of the official code, and `attributes`.

    Raises:
        ConfigError: Another layout, or weights and settings that contradict each other.
    """
    imported = Imported(
        config=make_published_layer(SaganConfig(), TRAINED_ON),
        networks={},
        facts={"crop": CROP / WIDTH},
        untrained=("discriminator",),
    )
    counts: list[tuple[str, int]] = []
    if "generator" in networks:
        state = networks["generator"]
        shape = read_body_shape(state)
        names: dict[str, str] = {}
        for official, ours in BODIES.items():
            names |= map_body_names(official, ours, shape["downsamplings"], shape["blocks"])
        ours_state = rename_tensors(state, names, "generator", LAYOUT)
        for ours in BODIES.values():
            ours_state[f"{ours}.head.weight"] = convert_transposed_weight(ours_state[f"{ours}.head.weight"])
        imported.networks["generator"] = ours_state
        counts.append(("the generator", state["AMN.conv.0.weight"].shape[1] - 3))
        mask_sees_label = state["SAN.conv.0.weight"].shape[1] > 3
        imported.config["generator"] |= shape | {"mask_sees_label": mask_sees_label}
    if "discriminator" in networks:
        discriminator = networks["discriminator"]
        stages = sum(re.fullmatch(r"conv\.\d+\.weight", key) is not None for key in discriminator)
        imported.networks["discriminator"] = rename_tensors(
            discriminator, map_discriminator_names(stages), "discriminator", LAYOUT
        )
        heads = discriminator["cls.0.weight"]
        counts.append(("the discriminator", heads.shape[0]))
        configure_discriminator(imported, discriminator["conv.0.weight"].shape[0], stages, heads.shape[2], settings)
    else:
        assume_image_size(imported, settings, 128)
    if not counts:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    count = require_same_number("the number of attributes", counts)
    attributes = settings.get("attributes") or settings.get("target_attr")
    imported.config["data"]["attributes"] = require_attribute_names(attributes, count)
    translate_arguments(imported.config, SETTINGS, settings)
    if settings.get("total_kimg"):  # counts the images of discriminator updates
        images = int(settings.get("batch_size", 16)) * int(settings.get("d_iters", 3))  # of an iteration
        imported.config["training"]["iterations"] = -(-int(settings["total_kimg"]) * 1000 // images)
    imported.choose = choose_version
    imported.notes.append(
        "the code's first version had no sum in its residual blocks and slope 0.01, under the same keys"
    )
    return imported


def read_body_shape(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read width, kernel, halvings and residual blocks of each of the generator's networks."""
    down = sum(re.fullmatch(r"AMN\.conv\.\d+\.weight", key) is not None for key in state) - 1
    blocks = sum(re.fullmatch(r"AMN\.resblk\.\d+\.layers\.0\.weight", key) is not None for key in state)
    stem = state["AMN.conv.0.weight"]
    return {"width": stem.shape[0], "kernel": stem.shape[2], "downsamplings": down, "blocks": blocks}


def convert_transposed_weight(weight: Tensor) -> Tensor:
    """Convert the weight of a transposed convolution of stride 1, (i, o, k, k), to that of the equal convolution."""
    return weight.transpose(0, 1).flip(2, 3).contiguous()


def map_body_names(official: str, ours: str, downsamplings: int, blocks: int) -> dict[str, str]:
    """Map official keys to ours for one of the generator's networks. Instance norms have no state."""
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


def map_discriminator_names(stages: int) -> dict[str, str]:
    """Map official keys of the discriminator to ours."""
    names = map_layer_names("src", "score") | map_layer_names("cls.0", "attributes")
    for k in range(stages):
        names |= map_layer_names(f"conv.{2 * k}", f"trunk.{k}.conv")
    return names


# ---- the version of the official code ----


def choose_version(trial: Trial) -> Choice | None:
    """Choose the version of the code with which edits to a face's own labels return the face.

    Returns:
        The settings of that version and notes; None if the user's settings name a version.

    Raises:
        ConfigError: A photo that cannot be read.
    """
    if has_setting(trial.settings, FIRST_VERSION):
        return None
    faces = trial.read_faces()
    changes = [measure_change(trial.open_editor(layer), faces) for layer in ({}, FIRST_VERSION)]
    options = list_options(FIRST_VERSION)
    is_first_version = changes[1] < changes[0]
    notes = [
        f"edits of {faces.description} to their own labels: mean |edit - input| is {changes[0]:.3f} as it is "
        f"and {changes[1]:.3f} with {', '.join(options)}; {'the second' if is_first_version else 'the first'} was taken"
    ]
    if changes[is_first_version] > MAX_CHANGE:
        photos = "photos (--photo FILE), since it was not trained on drawn faces"
        notes.append(
            f"neither returns the faces (expected {MAX_CHANGE} or less): try "
            f"{'other photos' if trial.has_photos else photos}, or decide by "
            f"{' '.join(f'--set {option}' for option in options)} after looking at edits"
        )
    return Choice(FIRST_VERSION if is_first_version else {}, notes)


@torch.no_grad()
def measure_change(editor: Editor, faces: TrialFaces) -> float:
    """Measure mean |edit - image| of faces edited to labels that they have, known or read by the editor.

    Returns inf if it is not finite.
    """
    targets = editor.resolve(Request({}), faces.image, faces.labels)
    change = float((editor.apply(faces.image, targets).image - faces.image).abs().mean())
    return change if math.isfinite(change) else math.inf


def has_setting(settings: Mapping[str, Any], layer: Mapping[str, Any]) -> bool:
    """Return whether settings name any setting of a layer."""
    return any(
        has_setting(settings[key], value) if isinstance(value, Mapping) and isinstance(settings[key], Mapping) else True
        for key, value in layer.items()
        if key in settings
    )


def list_options(layer: Mapping[str, Any], parent: str = "") -> list[str]:
    """List the settings of a layer as arguments of --set: `["generator.skip=false"]`."""
    options = []
    for key, value in layer.items():
        path = f"{parent}.{key}" if parent else key
        options += list_options(value, path) if isinstance(value, Mapping) else [f"{path}={json.dumps(value)}"]
    return options
