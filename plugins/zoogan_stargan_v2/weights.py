"""Import clovaai/stargan-v2's checkpoints: `100000_nets_ema.ckpt` and `100000_nets.ckpt`, a state_dict a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.importing import (
    Imported,
    StateDict,
    add_raw,
    convert_style_network,
    count_layers,
    find_newest_files,
    make_published_layer,
    name_style_tensor,
    read_shape,
    read_state_dicts,
    require_attribute_names,
    require_same_number,
    set_nested,
)
from zoogan.plugins import Facts
from zoogan_stargan_v2.architecture import (
    LAYOUT,
    READERS,
    Architecture,
    infer_image_size,
)
from zoogan_stargan_v2.config import (
    StarganV2Config,
    StarganV2DiscriminatorConfig,
    StarganV2GeneratorConfig,
    StarganV2MappingConfig,
    StarganV2StyleEncoderConfig,
)
from zoogan_stargan_v2.networks import (
    StarganV2Discriminator,
    StarganV2Generator,
    StarganV2Mapping,
    StarganV2StyleEncoder,
)

SLOTS = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "style_encoder",
    "discriminator": "discriminator",
}
"""Official name of a network -> our slot."""
NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (StarganV2GeneratorConfig, StarganV2Generator),
    "mapping": (StarganV2MappingConfig, StarganV2Mapping),
    "style_encoder": (StarganV2StyleEncoderConfig, StarganV2StyleEncoder),
    "discriminator": (StarganV2DiscriminatorConfig, StarganV2Discriminator),
}
LANDMARKS = "fan"
CELEBA_HQ, AFHQ = ("female", "male"), ("cat", "dog", "wild")
FILTER = "hpf.filter"


def import_stargan_v2(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files; averaged networks come before those in training.

    Args:
        files: Weight files, or the folder that holds them.
        settings: `domains` (or `attributes`) names the domains in alphabetical order; `w_hpf` is the divisor of the
            high-pass filter for a file that has none.

    Raises:
        ConfigError: Files of another layout, two of one kind, or weights and settings that contradict each other.
    """
    training: dict[str, StateDict] = {}
    averaged: dict[str, StateDict] = {}
    landmark_file = Path()
    for path in (file for given in map(Path, files) for file in find_weight_files(given)):
        states = read_state_dicts(path)
        if not set(SLOTS) & set(states):
            raise ConfigError(f"{path}: none of the networks of {LAYOUT}; it holds {', '.join(states)}")
        networks = training if "discriminator" in states else averaged  # discriminators have no average
        if networks:
            kind = "networks in training" if networks is training else "averaged networks"
            raise ConfigError(f"{path}: a second file of {kind}; give one of each kind")
        networks |= states
        landmark_file = path if LANDMARKS in states else landmark_file
    if not training and not averaged:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    networks = training | averaged
    imported = convert_stargan_v2({slot: networks[name] for name, slot in SLOTS.items() if name in networks}, settings)
    averaged_slots = {slot for name, slot in SLOTS.items() if name in training and name in averaged}
    if averaged_slots:
        raw_networks = averaged | training
        states_by_slot = {slot: raw_networks[name] for name, slot in SLOTS.items() if name in raw_networks}

        def read_raw() -> dict[str, StateDict]:
            converted = convert_stargan_v2(states_by_slot, settings).networks
            return {slot: state for slot, state in converted.items() if slot in averaged_slots}

        add_raw(imported, read_raw)
    if not averaged:
        imported.notes.append(
            "these are the networks as they were in training; *_nets_ema.ckpt holds the averaged ones"
        )
    takes_masks = bool(imported.config["generator"].get("high_pass"))
    if takes_masks and LANDMARKS in networks:
        imported.config["heat_maps"] = {"use": "landmarks", "file": str(landmark_file.resolve())}
        imported.notes.append(f"masks come from the landmark network in {landmark_file}: keep the file, edits read it")
    elif takes_masks:
        imported.notes.append(
            "no landmark network is in the files, so edits keep none of the photo's details: name its weights by "
            "--set heat_maps.use=landmarks --set heat_maps.file=FILE"
        )
    return imported


def find_weight_files(path: Path) -> list[Path]:
    """Find the files to read: the file itself, or a folder's newest averaged networks and those in training."""
    if not path.is_dir():
        return [path]
    (averaged,) = find_newest_files(path, "_nets_ema.ckpt")
    training = averaged.with_name(averaged.name.replace("_ema", ""))
    return [averaged, training] if training.is_file() else [averaged]


def convert_stargan_v2(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Convert official state_dicts to our names, and read config and facts from them.

    Args:
        networks: Official state_dicts by our slot; any of them may be missing.
        settings: See `import_stargan_v2`.

    Raises:
        ConfigError: Another layout, or networks that contradict each other.
    """
    states = {slot: dict(state) for slot, state in networks.items()}
    layer = make_published_layer(StarganV2Config(), {"source": "folders"})  # as in the official code
    imported = Imported(config=layer, networks={}, untrained=("discriminator",))
    divisor = remove_unused_weights(states["generator"], settings, imported.notes) if "generator" in states else None
    architectures = {slot: READERS[slot](state) for slot, state in states.items()}
    if "generator" in architectures:
        architectures["generator"].config["high_pass"] = divisor
        set_nested(imported.config, "weights.diversity", 1.0 if divisor else 2.0)  # of faces, of animals
    size = check_agreement("the image size", architectures, lambda a: a.image_size)
    channels = check_agreement("the channels of an image", architectures, lambda a: a.channels)
    check_agreement("the size of a style", architectures, lambda a: a.style_dim)
    count = check_agreement("the number of domains", architectures, lambda a: a.domains)
    names = name_domains(count, divisor, settings, imported.notes)
    if size is not None:
        set_nested(imported.config, "data.image_size", size)
    if channels not in (None, 3):
        imported.facts["channels"] = channels
    if names:
        set_nested(imported.config, "data.attributes", list(names))
        imported.facts |= {"domains": names, "exclusive": (names,)}
    facts = Facts(image_size=size or 256, channels=channels or 3, domains=names)
    for slot, state in states.items():
        config, network = NETWORKS[slot]
        imported.config[slot] |= architectures[slot].config
        with torch.device("meta"):
            ours = network(config(**architectures[slot].config), facts)
        name = partial(get_official_name, slot, ours=ours)
        imported.networks[slot] = convert_style_network(slot, state, ours, name, LAYOUT)
    return imported


# ---- numbers in the weights ----


def check_agreement(
    what: str, architectures: Mapping[str, Architecture], get_number: Callable[[Architecture], int | None]
) -> int | None:
    """Check that all networks agree on a number, and return it; None if no network has it.

    Args:
        what: Description of the number, for messages.
        architectures: The architectures by slot.
        get_number: Returns the number of one network, or None.
    """
    numbers = [(f"the {slot}", n) for slot, network in architectures.items() if (n := get_number(network)) is not None]
    return require_same_number(what, numbers) if numbers else None


def remove_unused_weights(state: StateDict, settings: Mapping[str, Any], notes: list[str]) -> float:
    """Remove the weights that our generator does not have.

    With a high-pass filter the decoder's shortcuts are never used. Files from before October 2020 lack the filter.

    Args:
        state: The official weights, which are changed.
        settings: See `import_stargan_v2`.
        notes: Sentences for the user are added.

    Returns:
        The divisor of the high-pass filter; 0 = the generator has none.

    Raises:
        ConfigError: Not as many encoding blocks as a generator of this width has, with or without the filter.
    """
    size = infer_image_size(read_shape(state, "from_rgb.weight", LAYOUT, 4)[0])
    blocks, power = count_layers(state, r"encode\.(\d+)\.conv1\.weight"), size.bit_length() - 1
    if blocks not in (power - 2, power - 1):
        raise ConfigError(
            f"the generator's width means an image size of {size}, for which {LAYOUT} has {power - 2} or {power - 1} "
            f"encoding blocks, but there are {blocks}"
        )
    if blocks == power - 2:
        return 0.0
    shortcuts = [key for key in state if re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key)]
    weights = sum(state.pop(key).numel() for key in shortcuts)
    notes.append(f"{weights:,} weights of decoder shortcuts, which a generator with high_pass never uses, are left out")
    if FILTER in state:
        return round(8 / float(state.pop(FILTER)[1, 1]), 6)
    divisor = float(settings.get("w_hpf") or 1)
    notes.append(
        f"the generator's high-pass filter is not in the file; its divisor is taken to be {divisor:g} "
        "(--set generator.high_pass=... changes it)"
    )
    return divisor


def name_domains(
    count: int | None, high_pass: float | None, settings: Mapping[str, Any], notes: list[str]
) -> tuple[str, ...]:
    """Return the names of the domains in the order of the heads.

    Args:
        count: Number of heads; None = unknown.
        high_pass: Divisor of the high-pass filter, which distinguishes the released faces from the released animals.
        settings: See `import_stargan_v2`.
        notes: Sentences for the user are added.

    Raises:
        ConfigError: Another number is named, or none and these are not the published models' numbers.
    """
    names = settings.get("domains") or settings.get("attributes")
    if names is None and (count, bool(high_pass)) in ((2, True), (3, False)):
        names = CELEBA_HQ if high_pass else AFHQ
        data = "CelebA-HQ" if high_pass else "AFHQ"
        notes.append(
            f"the weights do not name their domains; assumed are those of {data}, in order: {', '.join(names)} "
            "(data.attributes changes them)"
        )
    if count is None:
        return tuple(names or ())
    return tuple(require_attribute_names(names, count, "domains"))


# ---- names ----


def get_official_name(slot: str, key: str, ours: nn.Module) -> str:
    """Return the official name of one of our tensors."""
    halvings = ours.trunk.halvings if isinstance(ours, StarganV2StyleEncoder | StarganV2Discriminator) else 0
    return name_style_tensor(slot, key, halvings)
