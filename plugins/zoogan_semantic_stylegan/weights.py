"""Import official SemanticStyleGAN checkpoints: the released ones, those of trainings and of pivotal tuning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.importing import (
    Imported,
    StateDict,
    add_raw,
    find_newest_files,
    make_mean_latent,
    make_published_layer,
    name_mapping_tensor,
    read_latent_sizes,
    read_official_weights,
    read_widths,
    remove_filters,
    rename_tensors,
    require_same_numbers,
    reshape_tensor,
    set_nested,
    translate_arguments,
)
from zoogan.layers import PixelNormMapping
from zoogan.plugins import Facts
from zoogan_semantic_stylegan.config import (
    SemanticStyleGANConfig,
    SemanticStyleGANDiscriminatorConfig,
    SemanticStyleGANGeneratorConfig,
    SemanticStyleGANMappingConfig,
)
from zoogan_semantic_stylegan.layout import (
    FILTERS,
    MAPPING,
    NAME,
    NAMES,
    TensorOrigin,
    find_origins,
    identify_network,
    read_discriminator_shapes,
    read_generator_shapes,
)
from zoogan_semantic_stylegan.networks import SemanticStyleGANDiscriminator, SemanticStyleGANGenerator

TRAINED_ON: dict[str, Any] = {"source": "celebamask_hq", "attributes": [], "flip": False}
"""The data of the official code: CelebAMask-HQ, without changes."""

PARTS = (
    "background", "face", "eye", "eyebrow", "mouth", "nose", "ear",
    "hair", "neck", "cloth", "glasses", "hat", "earring",
)  # fmt: skip
"""The 13 parts of the released weights, in their order; those of the label set `celebamask-13`."""

# Official argument -> our setting.
SETTINGS = {
    "batch": ("data.batch",),
    "iter": ("training.iterations",),
    "lr": ("optimizers.generator.lr", "optimizers.mapping.lr", "optimizers.discriminator.lr"),
    "aug": ("data.flip",),
    "r1_img": ("penalty.weight",),
    "d_reg_every": ("penalty.every",),
    "lambda_mask": ("weights.mask",),
    "path_regularize": ("weights.path_length",),
    "g_reg_every": ("weights.path_every",),
    "mixing": ("mixing",),
}
UNTOLD: dict[str, tuple[str, Any]] = {
    "base_layers": ("shared_layers", 2),
    "depth_layers": ("shape_layers", 6),
    "residual_refine": ("refine", True),
    "detach_texture": ("detach_texture", False),
}
"""Official argument that is not in the weights -> our setting, and its value in the official README's commands."""
TRANSPARENT = (10, 12)  # of the 13 parts, there

# Official argument -> the same number in the weights.
TOLD = {
    "size": "the image size",
    "latent": "the size of a latent",
    "n_mlp": "the layers of the mapping",
    "seg_dim": "the parts",
    "local_layers": "the layers of a part",
    "local_channel": "the width of a part",
    "coarse_channel": "the width of the features",
    "coarse_size": "the size of the features",
    "min_feat_size": "the size at which rendering begins",
}


def import_semantic_stylegan(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files; networks are recognised by their keys, not by file names.

    Args:
        files: Weight files, or a folder, whose newest numbered file is taken.
        settings: Official arguments; they override those inside a file. `parts` and `transparent` name the parts of
            weights with other than the 13 published ones.

    Raises:
        ConfigError: Files of another layout, two of one network, weights or arguments that contradict each other, or
            parts without names.
    """
    paths = [
        file for path in map(Path, files) for file in (find_newest_files(path, ".pt") if path.is_dir() else [path])
    ]
    official = read_official_weights(paths, NAMES, identify_network, "SemanticStyleGAN")
    arguments = official.arguments | dict(settings)
    imported = convert_semantic_stylegan(official.networks, arguments, official.mean)
    if official.raw:
        add_raw(
            imported, lambda: convert_semantic_stylegan(official.raw, arguments, imported.game["mean_latent"]).networks
        )
    if not official.averaged:
        imported.notes.append("this is the generator in training; its average is g_ema")
    return imported


def convert_semantic_stylegan(
    states: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any], mean: Tensor | None = None
) -> Imported:
    """Convert official state_dicts to our names and shapes, and read config and facts from them.

    Args:
        states: `generator`, with its mapping, and `discriminator`; either may be missing.
        settings: See `import_semantic_stylegan`.
        mean: The mean latent, if a file has it.

    Raises:
        ConfigError: See `import_semantic_stylegan`.
    """
    imported = Imported(
        make_published_layer(SemanticStyleGANConfig(), TRAINED_ON), networks={}, untrained=("discriminator",)
    )
    config, multiplier = imported.config, settings.get("channel_multiplier")
    translate_arguments(config, SETTINGS, settings)
    set_penalties(imported, settings)
    if settings.get("aug"):
        imported.notes.append(
            "args has aug: the official training also shifted, scaled and rotated half of the faces; zoogan does not"
        )
    arguments = {what: int(settings[name]) for name, what in TOLD.items() if settings.get(name) is not None}
    numbers = {"args": arguments}
    states = {slot: remove_filters(state, FILTERS, slot) for slot, state in states.items()}
    networks: dict[str, StateDict] = {}
    if "generator" in states:
        state = states["generator"]
        networks = {
            "mapping": {key: value for key, value in state.items() if key.startswith(MAPPING)},
            "generator": {key: value for key, value in state.items() if not key.startswith(MAPPING)},
        }
        shapes, widths, numbers["the generator"] = read_generator_shapes(networks["generator"])
        numbers["the mapping"] = read_latent_sizes(networks["mapping"], name_mapping_tensor, NAME)
        size = numbers["the generator"]["the image size"]
        width_settings = read_widths(widths, size, multiplier, "generator", usual=512)
        further = read_generator_arguments(settings, shapes["part_layers"], imported.notes)
        config["generator"] |= shapes | width_settings | further
        config["discriminator"] |= width_settings  # the default for a discriminator that starts untrained
        config["mapping"] |= {
            "style_dim": numbers["the mapping"]["the size of a latent"],
            "layers": numbers["the mapping"]["the layers of the mapping"],
        }
    if "discriminator" in states:
        networks["discriminator"] = dict(states["discriminator"])
        widths, numbers["the discriminator"] = read_discriminator_shapes(networks["discriminator"])
        size = numbers["the discriminator"]["the image size"]
        config["discriminator"] |= read_widths(widths, size, multiplier, "discriminator")
    agreed = require_same_numbers(numbers)
    set_nested(config, "data.image_size", agreed["the image size"])
    if agreed["the channels of an image"] != 3:
        imported.facts["channels"] = agreed["the channels of an image"]
    imported.facts |= name_parts(agreed["the parts"], settings, imported.notes)
    facts = Facts(image_size=agreed["the image size"], **imported.facts)
    for slot, state in networks.items():
        imported.networks[slot] = convert_network(slot, state, config[slot], facts, agreed)
    if "mapping" in networks:
        options = SemanticStyleGANMappingConfig(**config["mapping"])
        imported.game["mean_latent"] = make_mean_latent(options, imported.networks["mapping"], mean, imported.notes)
    return imported


# ---- official arguments ----


def set_penalties(imported: Imported, settings: Mapping[str, Any]) -> None:
    """Write R1's two weights into the config: the image's, and how much more the segmentation counts."""
    image, segmentation = (settings.get(name) for name in ("r1_img", "r1_seg"))
    if image and segmentation:
        set_nested(imported.config, "weights.segmentation_penalty", segmentation / image)
    elif image is not None and segmentation is not None:
        imported.notes.append(
            f"args has r1_img={image:g} and r1_seg={segmentation:g}; zoogan has no penalty of only one of them, so "
            "weights.segmentation_penalty is as published"
        )


def read_generator_arguments(settings: Mapping[str, Any], layers: int, notes: list[str]) -> dict[str, Any]:
    """Return the settings of the generator that are in the arguments and not in the weights.

    Args:
        settings: Official arguments.
        layers: Layers of each part's generator.
        notes: A sentence for the user is added.

    Raises:
        ConfigError: Arguments that these layers do not allow.
    """
    missing = [name for name in UNTOLD if settings.get(name) is None]
    if missing:
        usual = ", ".join(f"{name}={str(UNTOLD[name][1]).lower()}" for name in missing)
        notes.append(f"{usual}: taken from the official README, since neither weights nor args have them")
    values = {ours: usual if settings.get(name) is None else settings[name] for name, (ours, usual) in UNTOLD.items()}
    shared, shape = int(values["shared_layers"]), int(values["shape_layers"])
    if not 0 <= shared <= shape <= layers or shape < 1:
        raise ConfigError(
            f"args says base_layers={shared} and depth_layers={shape}, but the generator has {layers} layers a part: "
            "expected base_layers <= depth_layers <= layers"
        )
    return values | {"shared_layers": shared, "shape_layers": shape}


def name_parts(count: int, settings: Mapping[str, Any], notes: list[str]) -> dict[str, tuple[str, ...]]:
    """Return `parts` and `transparent` of the facts.

    Args:
        count: Number of parts in the weights.
        settings: See `import_semantic_stylegan`.
        notes: Sentences for the user are added.

    Raises:
        ConfigError: No names for them, or others than there are.
    """
    names = as_names(settings.get("parts")) or (PARTS if count == len(PARTS) else ())
    if len(names) != count:
        given = f"{len(names)} are named" if names else "none are named"
        raise ConfigError(
            f"the weights know {count} parts, but {given}: give the label set of their training, "
            "--set data.label_set=FILE or --set data.label_set.names=background,..."
        )
    chosen = as_names(settings.get("transparent"))
    if settings.get("transparent_dims") is not None:
        places = [int(place) for place in settings["transparent_dims"]]
        wrong = [place for place in places if not 0 <= place < count]
        if wrong:
            raise ConfigError(f"args says transparent_dims={places}, but the weights know {count} parts, from 0")
        transparent = tuple(names[place] for place in sorted(set(places)))
        if chosen and set(chosen) != set(transparent):
            notes.append(f"transparent parts, from args: {', '.join(transparent) or 'none'}")
    elif chosen:
        transparent = chosen
        unknown = [name for name in transparent if name not in names]
        if unknown:
            raise ConfigError(f"transparent: {', '.join(unknown)}: not among the parts {', '.join(names)}")
    else:
        transparent = tuple(PARTS[place] for place in TRANSPARENT) if names == PARTS else ()
        notes.append(f"the transparent parts are not in the weights; assumed: {', '.join(transparent) or 'none'}")
    return {"parts": names, "transparent": transparent}


def as_names(names: Any) -> tuple[str, ...]:
    """Return names as a tuple; settings hold none, one or several."""
    return (names,) if isinstance(names, str) else tuple(names or ())


# ---- conversion ----

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (SemanticStyleGANGeneratorConfig, SemanticStyleGANGenerator),
    "mapping": (SemanticStyleGANMappingConfig, PixelNormMapping),
    "discriminator": (SemanticStyleGANDiscriminatorConfig, SemanticStyleGANDiscriminator),
}


def convert_network(
    slot: str, state: Mapping[str, Tensor], config: Mapping[str, Any], facts: Facts, numbers: Mapping[str, int]
) -> StateDict:
    """Convert a network's state_dict to our names and shapes: the parts' tensors stacked, no axes of length 1.

    Args:
        slot: Slot of the network.
        state: The official state_dict.
        config: Settings of our network.
        facts: Facts about the data, read from the weights.
        numbers: Numbers of parts and layers, read from the weights.

    Raises:
        ConfigError: Names missing or left over, or tensors whose shapes contradict the others'.
    """
    options, network = NETWORKS[slot]
    with torch.device("meta"):
        shapes = network(options(**config), facts).state_dict()
    origins = find_origins(slot, list(shapes), numbers)
    names = {name: name for origin in origins.values() for name in origin.names}
    tensors = rename_tensors(state, names, slot, NAME)
    return {key: assemble_tensor(origin, tensors, shapes[key]) for key, origin in origins.items()}


def assemble_tensor(origin: TensorOrigin, state: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Assemble one of our tensors from official ones.

    Args:
        origin: The official tensors.
        state: The official state_dict.
        like: A tensor of our shape.

    Raises:
        ConfigError: An official tensor has another shape.
    """
    tensors = [reshape_tensor(state[name], like.shape[origin.axes :], name) for name in origin.names]
    return torch.stack(tensors).view(like.shape) if origin.axes else tensors[0]
