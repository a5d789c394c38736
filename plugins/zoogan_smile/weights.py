"""Import affromero/SMILE's layout stage: `smileSEM_G_ema.pth`, `_F_ema`, `_S_ema`, each a bare state_dict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.importing import (
    Imported,
    StateDict,
    convert_style_network,
    make_published_layer,
    name_style_tensor,
    read_networks,
    require_attribute_names,
    require_same_numbers,
    set_nested,
)
from zoogan.layers import UPPER_CONTOUR
from zoogan.plugins import Facts
from zoogan_smile.architecture import (
    LAYOUT,
    Architecture,
    identify_network,
    read_discriminator,
    read_generator,
    read_mapping,
    read_style_encoder,
)
from zoogan_smile.config import (
    SmileDiscriminatorConfig,
    SmileGeneratorConfig,
    SmileLayoutConfig,
    SmileMappingConfig,
    SmileStyleEncoderConfig,
)
from zoogan_smile.networks import SmileDiscriminator, SmileGenerator, SmileMapping, SmileStyleEncoder

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (SmileGeneratorConfig, SmileGenerator),
    "mapping": (SmileMappingConfig, SmileMapping),
    "style_encoder": (SmileStyleEncoderConfig, SmileStyleEncoder),
    "discriminator": (SmileDiscriminatorConfig, SmileDiscriminator),
}
STYLED = ("generator", "mapping", "style_encoder")
"""Slots whose networks have the settings of styles."""

PARTS = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
"""The classes of the official code in its order, which is that of the label set `celebamask-19`."""
TRANSPARENT = ("eye_g", "ear_r")
ATTRIBUTES = ("Male", "Eyeglasses", "Bald", "Bangs", "Wearing_Earrings", "Wearing_Hat")
"""The attributes of the official code; their order is fixed, whatever attributes a training has."""
WITH_FIRST = ("Male", "Bald")
"""Attributes whose official pairs begin with the domain that shows them (Male and Female, little and much hair)."""
TRAINED_ON: dict[str, Any] = {"source": "celebamask_hq", "attributes": list(ATTRIBUTES), "label_set": "celebamask-19"}
LEFTOVERS = re.compile(r"(.+\.)?kernel|noises\..+|hpf\.filter")
"""Buffers of official files that our networks do not store."""


def import_smile_layout(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files; networks are recognised by their names and shapes, not by file names.

    Args:
        files: Weight files, or folders, of which all files `*_G_ema.pth`, `*_F_ema.pth`, `*_S_ema.pth` and
            `*_D_ema.pth` are read.
        settings: `attributes` names the attributes of weights that have another number than the six published ones;
            `parts` names the parts of weights that have other than 19. Of the official arguments `image_size`, `FAN`,
            `style_dim` and `small_dim` count where the weights do not tell.

    Raises:
        ConfigError: Files of another layout, two of one network, or weights and settings that contradict each other.
    """
    paths = [
        file for path in map(Path, files)
        for file in (sorted(path.glob("*_[GFSD]_ema.pth")) if path.is_dir() else [path])
    ]  # fmt: skip
    states = read_networks(paths, identify_network, LAYOUT, known="none of the networks of the layout stage")
    if not states:
        raise ConfigError(f"no weights of {LAYOUT} among the files")
    imported = convert_smile_layout(states, settings)
    if imported.config["generator"].get("high_pass"):
        zeroed = ",".join(map(str, UPPER_CONTOUR))
        imported.notes.append(
            "the generator keeps details where heat maps of landmarks are, and no landmark network is in the files: "
            "name the weights of one by --set heat_maps.use=landmarks --set heat_maps.file=FILE --set "
            f"heat_maps.zeroed={zeroed} (the landmarks that SMILE leaves out); without it edits keep no details"
        )
    return imported


def convert_smile_layout(networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> Imported:
    """Convert official state_dicts to our names, and read config and facts from them.

    Args:
        networks: Official state_dicts by our slot; any of them may be missing.
        settings: See `import_smile_layout`.

    Raises:
        ConfigError: Another layout, or networks that contradict each other.
    """
    imported = Imported(
        make_published_layer(SmileLayoutConfig(), TRAINED_ON),
        networks={},
        untrained=("discriminator",),
        without_untrained="it reads the attributes off layouts, so edits need those of each face (--own)",
    )
    architectures = read_architectures(networks, settings)
    places = {f"the {slot.replace('_', ' ')}": network.numbers for slot, network in architectures.items()}
    if settings.get("image_size"):
        places["image_size"] = {"the image size": int(settings["image_size"])}
    numbers = require_same_numbers(places)
    parts = name_parts(numbers.get("the number of parts"), settings)
    dims = find_style_dims(architectures, numbers, settings)
    count = numbers.get("the number of attributes") or len(dims)
    attributes = name_attributes(count, settings)
    if "the image size" in numbers:
        set_nested(imported.config, "data.image_size", numbers["the image size"])
    imported.config["data"]["attributes"] = list(attributes)
    imported.facts |= {"parts": parts}
    if set(TRANSPARENT) <= set(parts):
        imported.facts["transparent"] = TRANSPARENT
    if dims:
        styles = describe_styles(dims, attributes)
        for slot in STYLED:
            imported.config[slot] |= styles
        # Narrow styles are repeated, so that the mean has to count once for each attribute.
        set_nested(imported.config, "weights.style", float(count) if styles["narrow_dim"] else 1.0)
    facts = Facts(
        image_size=numbers.get("the image size", 256), channels=len(parts), attributes=attributes, parts=parts
    )
    order = find_part_order(parts)
    for slot, state in networks.items():
        imported.config[slot] |= architectures[slot].config
        config, network = NETWORKS[slot]
        with torch.device("meta"):
            ours = network(config(**imported.config[slot]), facts)
        kept = remove_leftovers(state, imported.config[slot].get("high_pass"), imported.notes)
        name = partial(get_official_name, slot, ours=ours, attributes=attributes)
        converted = convert_style_network(slot, kept, ours, name, LAYOUT)
        imported.networks[slot] = reorder_parts(reorder_scores(converted, attributes), order)
    return imported


def read_architectures(
    networks: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]
) -> dict[str, Architecture]:
    """Read the architecture of each network; the generator's last, since others tell the image size."""
    readers = {"mapping": read_mapping, "style_encoder": read_style_encoder, "discriminator": read_discriminator}
    architectures = {slot: reader(networks[slot]) for slot, reader in readers.items() if slot in networks}
    if "generator" in networks:
        sizes = [network.numbers.get("the image size") for network in architectures.values()]
        size = next((size for size in sizes if size), settings.get("image_size"))
        architectures["generator"] = read_generator(networks["generator"], size, settings.get("FAN"))
    return architectures


# ---- names of parts and attributes ----


def name_parts(count: int | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the parts.

    Args:
        count: How many the weights know; None = unknown.
        settings: See `import_smile_layout`.

    Raises:
        ConfigError: Another number is named, or none and there are not 19.
    """
    if count == 3:
        raise ConfigError(
            f"the weights are for pictures of 3 channels, so for RGB images; the layout stage of {LAYOUT} has a "
            "channel for each part of a face (weights of StarGAN v2: `zoo import stargan-v2`)"
        )
    names = tuple(settings.get("parts") or (PARTS if count in (None, len(PARTS)) else ()))
    if count is not None and len(names) != count:
        given = f"{len(names)} are named" if names else "none are named"
        raise ConfigError(
            f"the weights know {count} parts, but {given}: give the label set of their training, "
            "--set data.label_set=FILE or --set data.label_set.names=background,..."
        )
    return names


def name_attributes(count: int, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the attributes in the order of the weights.

    Args:
        count: How many the weights know; 0 = unknown.
        settings: See `import_smile_layout`.

    Raises:
        ConfigError: Another number is named, none and there are not six, or official ones in another order.
    """
    given = settings.get("attributes")
    names = ATTRIBUTES if given is None and count in (0, len(ATTRIBUTES)) else given
    names = tuple(require_attribute_names(names, count) if count else names or ())
    official = [name for name in ATTRIBUTES if name in names]
    if len(official) == len(names) and list(names) != official:
        raise ConfigError(
            f"data.attributes={','.join(names)}: {LAYOUT} has a fixed order, whatever attributes a training has: "
            f"--set data.attributes={','.join(official)}"
        )
    return names


def find_style_dims(
    architectures: Mapping[str, Architecture], numbers: Mapping[str, int], settings: Mapping[str, Any]
) -> list[int]:
    """Return the numbers of its style that each attribute uses: from the heads, or from the generator's decoder.

    Args:
        architectures: The networks by slot.
        numbers: The numbers on which they agree.
        settings: See `import_smile_layout`.

    Raises:
        ConfigError: The heads of two networks differ, or the decoder's number is that of no official setting.
    """
    with_heads = {slot: network.dims for slot, network in architectures.items() if network.dims}
    if len({tuple(dims) for dims in with_heads.values()}) > 1:
        listed = "; ".join(f"the {slot}: {', '.join(map(str, dims))}" for slot, dims in with_heads.items())
        raise ConfigError(f"the weights disagree about the numbers of each attribute's style: {listed}")
    joined = numbers.get("the numbers of a face's styles")
    if with_heads or joined is None:
        return next(iter(with_heads.values()), [])
    wide, narrow = settings.get("style_dim", 64), settings.get("small_dim", 16)
    count = numbers.get("the number of attributes") or len(settings.get("attributes") or ATTRIBUTES)
    for dims in ([wide] + [narrow] * (count - 1), [wide] * count):
        if sum(dims) == joined:
            return dims
    raise ConfigError(
        f"the generator reads {joined} numbers as the styles of {count} attributes; expected {wide * count}, or "
        f"{wide + narrow * (count - 1)} with narrow styles: give the mapping or the style encoder too"
    )


def describe_styles(dims: Sequence[int], attributes: Sequence[str]) -> dict[str, Any]:
    """Return our settings for the numbers that each attribute uses of its style."""
    widest, narrowest = max(dims), min(dims)
    if widest == narrowest:
        return {"style_dim": widest, "narrow_dim": None}
    wide = [name for name, dim in zip(attributes, dims, strict=True) if dim == widest]
    return {"style_dim": widest, "narrow_dim": narrowest, "wide": wide}


# ---- tensors ----


def remove_leftovers(state: Mapping[str, Tensor], high_pass: float | None, notes: list[str]) -> StateDict:
    """Remove the weights that our networks do not have.

    With heat maps the decoder's shortcuts are never used.

    Args:
        state: The official state_dict.
        high_pass: Divisor of the generator's high-pass filter; 0 or None = the network has none.
        notes: A sentence for the user is added if unused weights are left out.
    """
    kept = {key: value for key, value in state.items() if not LEFTOVERS.fullmatch(key)}
    unused = [key for key in kept if high_pass and re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key)]
    if unused:
        weights = sum(kept.pop(key).numel() for key in unused)
        notes.append(f"{weights:,} weights of decoder shortcuts, which a generator with heat maps never uses, are left "
                     "out")  # fmt: skip
    return kept


def get_official_name(slot: str, key: str, ours: nn.Module, attributes: Sequence[str]) -> str:
    """Return the official name of one of our tensors."""
    halvings = ours.trunk.halvings if isinstance(ours, SmileStyleEncoder | SmileDiscriminator) else 0
    name = name_style_tensor(slot, key, halvings)
    if slot == "generator":
        return re.sub(r"^head\.", "to_rgb.", name).replace(".strength", ".noise.weight")
    return re.sub(r"^unshared\.(\d+)", lambda match: f"unshared.{get_official_head(int(match[1]), attributes)}", name)


def get_official_head(head: int, attributes: Sequence[str]) -> int:
    """Return the official number of one of our heads: two an attribute, in ours the one without it first."""
    return head ^ 1 if attributes[head // 2] in WITH_FIRST else head


def reorder_scores(state: StateDict, attributes: Sequence[str]) -> StateDict:
    """Return a discriminator's state with its scores in our order of the domains; others have no scores."""
    order = [get_official_head(head, attributes) for head in range(2 * len(attributes))]
    return {key: value[order] if key.startswith("score.") else value for key, value in state.items()}


PART_AXES = {
    "encoder.stem.weight": 1, "trunk.stem.weight": 1, "head.weight": 0,
    "decoder.head.conv.weight": 0, "decoder.head.conv.bias": 0,
}  # fmt: skip
"""Our tensors with an axis of parts."""


def find_part_order(parts: Sequence[str]) -> list[int] | None:
    """Return the official number of each part, for a label set with the official parts in another order.

    None = the official order, or a label set of other parts, whose order is that of the training.
    """
    is_permuted = tuple(parts) != PARTS and set(parts) == set(PARTS)
    return [PARTS.index(part) for part in parts] if is_permuted else None


def reorder_parts(state: StateDict, order: Sequence[int] | None) -> StateDict:
    """Return a state_dict with the parts in our order; None = leave it as it is."""
    if order is None:
        return state
    index = torch.tensor(order)
    return {
        key: value.index_select(PART_AXES[key], index.to(value.device)) if key in PART_AXES else value
        for key, value in state.items()
    }
