"""Import of clovaai/stargan-v2's checkpoints: `100000_nets_ema.ckpt` and `100000_nets.ckpt`, a state_dict a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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
    make_published_layer,
    read_state_dicts,
    rename_tensors,
    require_attribute_names,
    require_same_number,
    set_nested,
)
from zoogan.plugins import Facts
from zoogan_stargan_v2.architecture import (
    LAYOUT,
    READERS,
    Architecture,
    count_layers,
    get_tensor_shape,
    infer_image_size,
)
from zoogan_stargan_v2.config import (
    StarganV2Config,
    StarganV2DiscriminatorConfig,
    StarganV2GeneratorConfig,
    StarganV2MappingConfig,
    StarganV2StyleEncoderConfig,
)
from zoogan_stargan_v2.networks import StarganV2Discriminator, StarganV2Generator, StarganV2StyleEncoder
from zoogan_stargan_v2.networks import StarganV2Mapping as StyleMapping

SLOTS = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "style_encoder",
    "discriminator": "discriminator",
}
"""Official name of a network -> our slot."""
NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (StarganV2GeneratorConfig, StarganV2Generator),
    "mapping": (StarganV2MappingConfig, StyleMapping),
    "style_encoder": (StarganV2StyleEncoderConfig, StarganV2StyleEncoder),
    "discriminator": (StarganV2DiscriminatorConfig, StarganV2Discriminator),
}
LANDMARKS = "fan"
CELEBA_HQ, AFHQ = ("female", "male"), ("cat", "dog", "wild")
FILTER = "hpf.filter"


def import_stargan_v2(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Official files, or the folder they lie in, as our networks. Averaged networks come before those in training.

    settings: `domains` (or `attributes`) names the domains in alphabetical order; `w_hpf` is the divisor of the
    high-pass filter for a file that has none.

    Raises:
        ConfigError: files of another layout, two of one kind, or weights and settings that contradict each other.
    """
    training: dict[str, StateDict] = {}
    averaged: dict[str, StateDict] = {}
    holder = Path()  # of the landmark network
    for path in (file for given in map(Path, files) for file in find_weight_files(given)):
        states = read_state_dicts(path)
        if not set(SLOTS) & set(states):
            raise ConfigError(f"{path}: none of the networks of {LAYOUT}; it holds {', '.join(states)}")
        networks = training if "discriminator" in states else averaged  # nobody averages a discriminator
        if networks:
            kind = "networks in training" if networks is training else "averaged networks"
            raise ConfigError(f"{path}: a second file of {kind}; give one of each kind")
        networks |= states
        holder = path if LANDMARKS in states else holder
    if not training and not averaged:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    together = training | averaged
    imported = convert_stargan_v2({slot: together[name] for name, slot in SLOTS.items() if name in together}, settings)
    twice = {slot for name, slot in SLOTS.items() if name in training and name in averaged}
    if twice:
        beside = averaged | training
        trained = {slot: beside[name] for name, slot in SLOTS.items() if name in beside}

        def raw() -> dict[str, StateDict]:
            return {
                slot: state for slot, state in convert_stargan_v2(trained, settings).networks.items() if slot in twice
            }

        add_raw(imported, raw)
    if not averaged:
        imported.notes.append(
            "these are the networks as they were in training; *_nets_ema.ckpt holds the averaged ones"
        )
    masked = bool(imported.config["generator"].get("high_pass"))
    if masked and LANDMARKS in together:
        imported.config["heat_maps"] = {"use": "landmarks", "file": str(holder.resolve())}
        imported.notes.append(f"masks come from the landmark network in {holder}: keep the file, edits read it")
    elif masked:
        imported.notes.append(
            "no landmark network is in the files, so edits keep none of the photo's details: name its weights by "
            "--set heat_maps.use=landmarks --set heat_maps.file=FILE"
        )
    return imported


def find_weight_files(path: Path) -> list[Path]:
    """A file, or the newest averaged networks of a folder and those in training beside them."""
    if not path.is_dir():
        return [path]
    (averaged,) = find_newest_files(path, "_nets_ema.ckpt")
    training = averaged.with_name(averaged.name.replace("_ema", ""))
    return [averaged, training] if training.is_file() else [averaged]


def convert_stargan_v2(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Official state_dicts by our slot as ours, with their config and facts; any of them may be missing.

    Raises:
        ConfigError: another layout, or networks that contradict each other.
    """
    states = {slot: dict(state) for slot, state in networks.items()}
    layer = make_published_layer(StarganV2Config(), {"source": "folders"})  # what the official code reads
    imported = Imported(config=layer, networks={}, untrained=("discriminator",))
    divisor = remove_unused_weights(states["generator"], settings, imported.notes) if "generator" in states else None
    told = {slot: READERS[slot](state) for slot, state in states.items()}
    if "generator" in told:
        told["generator"].config["high_pass"] = divisor
        set_nested(imported.config, "weights.diversity", 1.0 if divisor else 2.0)  # of faces, of animals
    sizes = check_agreement("the image size", told, lambda t: t.image_size)
    channels = check_agreement("the channels of an image", told, lambda t: t.channels)
    check_agreement("the size of a style", told, lambda t: t.style_dim)
    count = check_agreement("the number of domains", told, lambda t: t.domains)
    names = name_domains(count, divisor, settings, imported.notes)
    if sizes is not None:
        set_nested(imported.config, "data.image_size", sizes)
    if channels not in (None, 3):
        imported.facts["channels"] = channels
    if names:
        set_nested(imported.config, "data.attributes", list(names))
        imported.facts |= {"domains": names, "exclusive": (names,)}
    facts = Facts(image_size=sizes or 256, channels=channels or 3, domains=names)
    for slot, state in states.items():
        config, network = NETWORKS[slot]
        imported.config[slot] |= told[slot].config
        with torch.device("meta"):
            ours = network(config(**told[slot].config), facts)
        state = {key: value.flatten(1) if is_score_weight(key, ours) else value for key, value in state.items()}
        imported.networks[slot] = rename_tensors(state, map_official_names(slot, ours), slot, LAYOUT)
    return imported


# ---- what the weights tell ----


def check_agreement(
    what: str, told: Mapping[str, Architecture], part: Callable[[Architecture], int | None]
) -> int | None:
    """What all networks say that say anything."""
    found = [(f"the {slot}", number) for slot, says in told.items() if (number := part(says)) is not None]
    return require_same_number(what, found) if found else None


def remove_unused_weights(state: StateDict, settings: Mapping[str, Any], notes: list[str]) -> float:
    """Take out of a generator's weights what ours does not have; returns the divisor of its high-pass filter, or 0.

    With the filter, the decoder's shortcuts are never used. Files from before October 2020 lack the filter.

    Raises:
        ConfigError: not as many encoding blocks as a generator of this width has, with or without the filter.
    """
    size = infer_image_size(get_tensor_shape(state, "from_rgb.weight", 4)[0])
    blocks, power = count_layers(state, r"encode\.(\d+)\.conv1\.weight"), size.bit_length() - 1
    if blocks not in (power - 2, power - 1):
        raise ConfigError(
            f"the generator's width tells an image size of {size}, for which {LAYOUT} has {power - 2} or {power - 1} "
            f"encoding blocks, but there are {blocks}"
        )
    if blocks == power - 2:
        return 0.0
    dead = [key for key in state if re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key)]
    weights = sum(state.pop(key).numel() for key in dead)
    notes.append(f"{weights:,} weights of decoder shortcuts, which a generator with high_pass never uses, are left out")
    if FILTER in state:
        return round(8 / float(state.pop(FILTER)[1, 1]), 6)
    divisor = float(settings.get("w_hpf") or 1)
    notes.append(
        f"the generator's high-pass filter is not in the file; its divisor is taken to be {divisor:g} "
        "(--set generator.high_pass=... says otherwise)"
    )
    return divisor


def name_domains(
    count: int | None, high_pass: float | None, settings: Mapping[str, Any], notes: list[str]
) -> tuple[str, ...]:
    """The domains in the order of the heads, which know only how many there are.

    Raises:
        ConfigError: another number is named, or none and these are not the published models' numbers.
    """
    named = settings.get("domains") or settings.get("attributes")
    if named is None and (count, bool(high_pass)) in ((2, True), (3, False)):
        named = CELEBA_HQ if high_pass else AFHQ
        data = "CelebA-HQ" if high_pass else "AFHQ"
        notes.append(
            f"the weights do not name their domains; they are taken for those of {data}, in order: {', '.join(named)} "
            "(data.attributes says otherwise)"
        )
    if count is None:
        return tuple(named or ())
    return tuple(require_attribute_names(named, count, "domains"))


# ---- names ----


def map_official_names(slot: str, ours: nn.Module) -> dict[str, str]:
    """Official key -> ours, for every tensor of our network."""
    return {get_official_name(slot, key, ours): key for key in ours.state_dict()}


def get_official_name(slot: str, key: str, ours: nn.Module) -> str:
    """The official name of one of our tensors."""
    key = key.replace(".shortcut.", ".conv1x1.")
    if isinstance(ours, StarganV2StyleEncoder | StarganV2Discriminator):
        prefix, halvings = "shared" if slot == "style_encoder" else "main", ours.trunk.halvings
        key = re.sub(r"^trunk\.blocks\.(\d+)", lambda found: f"{prefix}.{int(found[1]) + 1}", key)
        parts = {"trunk.stem": f"{prefix}.0", "trunk.whole": f"{prefix}.{halvings + 2}", "heads.": "unshared."}
        parts["score"] = f"{prefix}.{halvings + 4}"
    else:
        parts = {
            "encoder.stem": "from_rgb", "encoder.blocks": "encode", "decoder.blocks": "decode",
            "decoder.head.norm": "to_rgb.0", "decoder.head.conv": "to_rgb.2",
            "body.shared": "shared", "body.heads": "unshared",
        }  # fmt: skip
    found = next((part for part in parts if key.startswith(part)), None)
    return key if found is None else parts[found] + key.removeprefix(found)


def is_score_weight(key: str, ours: nn.Module) -> bool:
    """Whether a tensor is the 1x1 convolution that gives the discriminator's scores, in ours a linear layer."""
    return isinstance(ours, StarganV2Discriminator) and key == f"main.{ours.trunk.halvings + 4}.weight"
