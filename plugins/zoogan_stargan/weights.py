"""Import yunjey/stargan's checkpoints: `200000-G.ckpt` and `200000-D.ckpt`, each a bare state_dict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import (
    Imported,
    assume_image_size,
    configure_discriminator,
    find_newest_files,
    make_published_layer,
    map_layer_names,
    read_networks,
    rename_tensors,
    require_attribute_names,
    require_same_number,
    set_nested,
    translate_arguments,
)
from zoogan_stargan.config import StarganConfig

LAYOUT = "yunjey/stargan"
CELEBA_5 = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
WIDTH = 178  # pixels of the aligned CelebA pictures
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

# The official code's argument -> our setting.
SETTINGS = {
    "lambda_cls": ("weights.attribute", "weights.attribute_real"),
    "lambda_rec": ("weights.cycle",),
    "lambda_gp": ("penalty.weight",),
    "n_critic": ("cadence.generator_every",),
    "batch_size": ("data.batch",),
    "num_iters": ("training.iterations",),
    "g_lr": ("optimizers.generator.lr",),
    "d_lr": ("optimizers.discriminator.lr",),
}


def import_stargan(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files; generator and discriminator are recognised by their keys, not by file names.

    Args:
        files: Weight files, or a folder, whose newest pair is taken.
        settings: Arguments of the official code. `attributes` (or `selected_attrs`) gives the order of the labels,
            which are not in the weights. `dataset=RaFD`, or a `source` of folders, means a softmax over the labels.

    Raises:
        ConfigError: Files of another layout, two of one network, a folder of several experiments, or settings that
            contradict the weights.
    """
    paths: list[Path] = []
    for path in map(Path, files):
        paths += find_newest_files(path, "-G.ckpt", "-D.ckpt") if path.is_dir() else [path]
    return convert_stargan(read_networks(paths, identify_network, LAYOUT), settings)


def identify_network(state: Mapping[str, Tensor]) -> str | None:
    """Return the slot of official weights, by their keys; None = neither network."""
    if "conv1.weight" in state and "conv2.weight" in state:
        return "discriminator"
    return "generator" if "main.0.weight" in state and "main.9.main.0.weight" in state else None


def convert_stargan(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Convert official state_dicts to our names, and their settings to our config.

    Args:
        networks: Official state_dicts by slot; either slot may be missing.
        settings: See `import_stargan`.

    Raises:
        ConfigError: Another layout, or weights and settings that contradict each other.
    """
    layer = make_published_layer(StarganConfig(), get_training_data(settings))
    imported = Imported(config=layer, networks={}, untrained=("discriminator",))
    if imported.config["data"]["source"] == "celeba":
        imported.facts["crop"] = imported.config["data"]["crop"] / WIDTH
    counts: list[tuple[str, int]] = []
    if "generator" in networks:
        state = {k: v for k, v in networks["generator"].items() if not is_running_statistic(k)}
        names, blocks = map_generator_names(state)
        imported.networks["generator"] = rename_tensors(state, names, "generator", LAYOUT)
        stem = state["main.0.weight"]
        counts.append(("the generator", stem.shape[1] - 3))
        imported.config["generator"] |= {"width": stem.shape[0], "blocks": blocks}
    if "discriminator" in networks:
        discriminator = networks["discriminator"]
        names, stages = map_discriminator_names(discriminator)
        imported.networks["discriminator"] = rename_tensors(discriminator, names, "discriminator", LAYOUT)
        heads = discriminator["conv2.weight"]
        counts.append(("the discriminator", heads.shape[0]))
        configure_discriminator(imported, discriminator["main.0.weight"].shape[0], stages, heads.shape[2], settings)
    else:
        assume_image_size(imported, settings, 128)
    if not counts:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    name_attributes(imported, require_same_number("the number of attributes", counts), settings)
    translate_arguments(imported.config, SETTINGS, settings)
    for optimizer in imported.config["optimizers"].values():  # as these weights were trained
        optimizer["schedule"] = {"use": "repo-2018"}
        set_nested(optimizer, "schedule.decay", settings.get("num_iters_decay"))
    if has_one_hot_labels(settings):
        imported.config["classification"] = {"use": "softmax"}
        imported.facts["exclusive"] = (tuple(imported.config["data"]["attributes"]),)
        if settings.get("rafd_crop_size"):
            imported.notes.append(
                f"rafd_crop_size={settings['rafd_crop_size']} counts pixels, and data.crop is a share of a picture's "
                "shorter side: set data.crop unless the pictures are as large as that"
            )
    return imported


def has_one_hot_labels(settings: Mapping[str, Any]) -> bool:
    """Tell whether labels exclude each other, with a folder for each, as the official code reads RaFD."""
    return settings.get("dataset") == "RaFD" or settings.get("source") == "folders"


def get_training_data(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the official data: CelebA, or with RaFD a folder of images for each label."""
    if has_one_hot_labels(settings):
        return {"source": "folders", "flip": True}
    return {
        "source": "celeba",
        "crop": int(settings.get("celeba_crop_size") or WIDTH),
        "split": "shuffle",
        "flip": True,
    }


def is_running_statistic(key: str) -> bool:
    """Tell whether a tensor is a running statistic. The official code, which never calls eval(), uses none."""
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def map_block_names(index: int, ours: str, prefix: str = "main.") -> dict[str, str]:
    """Map the official keys of a convolution without bias and of the norm after it to ours."""
    return map_layer_names(f"{prefix}{index}", f"{ours}.conv", ("weight",)) | map_layer_names(
        f"{prefix}{index + 1}", f"{ours}.norm"
    )


def map_generator_names(state: Mapping[str, Tensor]) -> tuple[dict[str, str], int]:
    """Map official keys of the generator to ours; return the map and the number of residual blocks."""
    blocks = sum(re.fullmatch(r"main\.\d+\.main\.0\.weight", key) is not None for key in state)
    names = map_block_names(0, "body.stem") | map_block_names(3, "body.down.0") | map_block_names(6, "body.down.1")
    for k in range(blocks):
        inside = f"main.{9 + k}.main."
        names |= map_block_names(0, f"body.residual.{k}.first", inside) | map_block_names(
            3, f"body.residual.{k}.second", inside
        )
    after = 9 + blocks
    names |= map_block_names(after, "body.up.0") | map_block_names(after + 3, "body.up.1")
    return names | map_layer_names(f"main.{after + 6}", "body.head", ("weight",)), blocks


def map_discriminator_names(state: Mapping[str, Tensor]) -> tuple[dict[str, str], int]:
    """Map official keys of the discriminator to ours; return the map and the number of stages."""
    stages = sum(re.fullmatch(r"main\.\d+\.weight", key) is not None for key in state)
    names: dict[str, str] = {}
    for k in range(stages):
        names |= map_layer_names(f"main.{2 * k}", f"trunk.{k}.conv")
    names |= map_layer_names("conv1", "score", ("weight",)) | map_layer_names("conv2", "attributes", ("weight",))
    return names, stages


def name_attributes(imported: Imported, count: int, settings: Mapping[str, Any]) -> None:
    """Write the names of the labels into the imported config, in the order of the weights.

    Args:
        imported: Its config, facts and notes are changed.
        count: Number of labels in the weights.
        settings: See `import_stargan`.

    Raises:
        ConfigError: The number of names is not that of the weights, or no names are given.
    """
    named = settings.get("attributes") or settings.get("selected_attrs")
    if named is None and count == len(CELEBA_5):
        named = CELEBA_5
        imported.notes.append(
            "the weights do not name their attributes; assumed are the official five, in order: "
            f"{', '.join(CELEBA_5)} (data.attributes changes them)"
        )
    names = require_attribute_names(named, count)
    imported.config["data"]["attributes"] = names
    hair = tuple(name for name in HAIR if name in names)
    if len(hair) > 1:
        imported.facts["exclusive"] = (hair,)
