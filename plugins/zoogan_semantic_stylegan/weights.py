"""Import of official SemanticStyleGAN checkpoints: the released ones, those of trainings and of pivotal tuning."""

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
    require_same_number,
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
"""What the official code reads: CelebAMask-HQ, as it is."""

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
"""Official argument that shows in no weight -> our setting of the generator, and its value in the README's commands."""
TRANSPARENT = (10, 12)  # of the 13 parts, there

# Official argument -> what weights tell too.
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
    """Official files, or the folder they lie in, as our networks; what is what is told by keys, not by names.

    settings: names of official arguments; those inside a file come after them. And `parts` and `transparent`, names of
    parts, for weights of other than the 13 published ones.

    Raises:
        ConfigError: files of another layout, two of one network, weights or arguments that contradict each other, or
            parts without names.
    """
    given = [
        file for path in map(Path, files) for file in (find_newest_files(path, ".pt") if path.is_dir() else [path])
    ]
    official = read_official_weights(given, NAMES, identify_network, "SemanticStyleGAN")
    arguments = official.arguments | dict(settings)
    imported = convert_semantic_stylegan(official.networks, arguments, official.mean)
    if official.raw:
        add_raw(
            imported, lambda: convert_semantic_stylegan(official.raw, arguments, imported.game["mean_latent"]).networks
        )
    if not official.averaged:
        imported.notes.append("this is the generator as it was in training; g_ema would be the averaged one")
    return imported


def convert_semantic_stylegan(
    states: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any], mean: Tensor | None = None
) -> Imported:
    """Official state_dicts, `generator` (mapping included) and `discriminator`, as ours; either may be missing.

    settings: as for `import_weights`. mean: the mean latent, if it is known.

    Raises:
        ConfigError: as `import_weights`.
    """
    imported = Imported(
        make_published_layer(SemanticStyleGANConfig(), TRAINED_ON), networks={}, untrained=("discriminator",)
    )
    config, said = imported.config, settings.get("channel_multiplier")
    translate_arguments(config, SETTINGS, settings)
    set_penalties(imported, settings)
    if settings.get("aug"):
        imported.notes.append(
            "args has aug: the official training also shifted, scaled and rotated half of the faces; ours mirrors them"
        )
    told = {"args": {what: int(settings[name]) for name, what in TOLD.items() if settings.get(name) is not None}}
    clean = {slot: remove_filters(state, FILTERS, slot) for slot, state in states.items()}
    networks: dict[str, StateDict] = {}
    if "generator" in clean:
        state = clean["generator"]
        networks = {
            "mapping": {key: value for key, value in state.items() if key.startswith(MAPPING)},
            "generator": {key: value for key, value in state.items() if not key.startswith(MAPPING)},
        }
        own, widths, told["the generator"] = read_generator_shapes(networks["generator"])
        told["the mapping"] = read_latent_sizes(networks["mapping"], name_mapping_tensor, NAME)
        shown = read_widths(widths, told["the generator"]["the image size"], said, "generator", usual=512)
        config["generator"] |= own | shown | read_generator_arguments(settings, own["part_layers"], imported.notes)
        config["discriminator"] |= shown  # a discriminator that starts afresh
        config["mapping"] |= {
            "style_dim": told["the mapping"]["the size of a latent"],
            "layers": told["the mapping"]["the layers of the mapping"],
        }
    if "discriminator" in clean:
        networks["discriminator"] = clean["discriminator"]
        widths, told["the discriminator"] = read_discriminator_shapes(networks["discriminator"])
        size = told["the discriminator"]["the image size"]
        config["discriminator"] |= read_widths(widths, size, said, "discriminator")
    agreed = {
        what: require_same_number(what, [(who, says[what]) for who, says in told.items() if what in says])
        for what in dict.fromkeys(what for says in told.values() for what in says)
    }
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


# ---- what the arguments say ----


def set_penalties(imported: Imported, settings: Mapping[str, Any]) -> None:
    """R1's two weights as ours: the image's, and how much more the segmentation counts."""
    image, segmentation = (settings.get(name) for name in ("r1_img", "r1_seg"))
    if image and segmentation:
        set_nested(imported.config, "weights.segmentation_penalty", segmentation / image)
    elif image is not None and segmentation is not None:
        imported.notes.append(
            f"args has r1_img={image:g} and r1_seg={segmentation:g}; ours has no penalty of one of them alone, so "
            "weights.segmentation_penalty is as published"
        )


def read_generator_arguments(settings: Mapping[str, Any], layers: int, notes: list[str]) -> dict[str, Any]:
    """Our settings that only arguments tell. layers: of each part's generator.

    Raises:
        ConfigError: arguments that these layers do not allow.
    """
    missing = [name for name in UNTOLD if settings.get(name) is None]
    if missing:
        usual = ", ".join(f"{name}={str(UNTOLD[name][1]).lower()}" for name in missing)
        notes.append(f"no weight shows {usual}: taken from the official README, for args does not say")
    found = {ours: usual if settings.get(name) is None else settings[name] for name, (ours, usual) in UNTOLD.items()}
    shared, shape = int(found["shared_layers"]), int(found["shape_layers"])
    if not 0 <= shared <= shape <= layers or shape < 1:
        raise ConfigError(
            f"args says base_layers={shared} and depth_layers={shape}, but the generator has {layers} layers a part: "
            "the first are some of the second, those some of all"
        )
    return found | {"shared_layers": shared, "shape_layers": shape}


def name_parts(count: int, settings: Mapping[str, Any], notes: list[str]) -> dict[str, tuple[str, ...]]:
    """`parts` and `transparent` of the facts, for so many parts.

    Raises:
        ConfigError: no names for them, or others than there are.
    """
    names = as_names(settings.get("parts")) or (PARTS if count == len(PARTS) else ())
    if len(names) != count:
        named = f"{len(names)} are named" if names else "none are named"
        raise ConfigError(
            f"the weights know {count} parts, but {named}: give the label set of their training, "
            "--set data.label_set=FILE or --set data.label_set.names=background,..."
        )
    said = as_names(settings.get("transparent"))
    if settings.get("transparent_dims") is not None:
        places = [int(place) for place in settings["transparent_dims"]]
        wrong = [place for place in places if not 0 <= place < count]
        if wrong:
            raise ConfigError(f"args says transparent_dims={places}, but the weights know {count} parts, from 0")
        transparent = tuple(names[place] for place in sorted(set(places)))
        if said and set(said) != set(transparent):
            notes.append(f"args says that {', '.join(transparent) or 'none'} are transparent; so they are here")
    elif said:
        transparent = said
        unknown = [name for name in transparent if name not in names]
        if unknown:
            raise ConfigError(f"transparent: {', '.join(unknown)}: not among the parts {', '.join(names)}")
    else:
        transparent = tuple(PARTS[place] for place in TRANSPARENT) if names == PARTS else ()
        notes.append(f"no weight shows which parts are transparent; taken: {', '.join(transparent) or 'none'}")
    return {"parts": names, "transparent": transparent}


def as_names(names: Any) -> tuple[str, ...]:
    """Names as they are set: none, one or several."""
    return (names,) if isinstance(names, str) else tuple(names or ())


# ---- what becomes of the weights ----

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (SemanticStyleGANGeneratorConfig, SemanticStyleGANGenerator),
    "mapping": (SemanticStyleGANMappingConfig, PixelNormMapping),
    "discriminator": (SemanticStyleGANDiscriminatorConfig, SemanticStyleGANDiscriminator),
}


def convert_network(
    slot: str, state: Mapping[str, Tensor], config: Mapping[str, Any], facts: Facts, numbers: Mapping[str, int]
) -> StateDict:
    """A network's state_dict under our names and in our shapes: the parts' tensors stacked, no axes of length 1.

    Raises:
        ConfigError: names missing or left over, or tensors whose shapes contradict the others'.
    """
    options, network = NETWORKS[slot]
    with torch.device("meta"):
        wanted = network(options(**config), facts).state_dict()
    sources = find_origins(slot, list(wanted), numbers)
    names = {name: name for origin in sources.values() for name in origin.names}
    found = rename_tensors(state, names, slot, NAME)
    return {key: assemble_tensor(origin, found, wanted[key]) for key, origin in sources.items()}


def assemble_tensor(origin: TensorOrigin, state: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """One of our tensors, of the shape of `like`.

    Raises:
        ConfigError: an official one of another shape.
    """
    each = [reshape_tensor(state[name], like.shape[origin.axes :], name) for name in origin.names]
    return torch.stack(each).view(like.shape) if origin.axes else each[0]
