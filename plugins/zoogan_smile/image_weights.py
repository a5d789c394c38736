"""Import affromero/SMILE's image stage: `smileSYN_256.pth`, of which the averaged networks `g_ema` are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.importing import (
    Imported,
    StateDict,
    convert_style_network,
    make_mean_latent,
    make_published_layer,
    read_official_weights,
    remove_filters,
    require_same_numbers,
    set_nested,
)
from zoogan.interfaces import derive_seed
from zoogan.layers import PixelNormMappingConfig
from zoogan.plugins import Facts
from zoogan_smile.architecture import LAYOUT
from zoogan_smile.image_architecture import (
    AVERAGE,
    get_slot,
    name_image_tensor,
    read_image_generator,
    read_image_mapping,
    read_region_encoder,
    recognise_image_weights,
    stack_regions,
)
from zoogan_smile.image_config import (
    SmileImageConfig,
    SmileImageGeneratorConfig,
    SmileImageMappingConfig,
    SmileRegionEncoderConfig,
)
from zoogan_smile.image_networks import SmileImageGenerator, SmileImageMapping, SmileRegionEncoder
from zoogan_smile.weights import TRANSPARENT, find_part_order, name_parts
from zoogan_smile.whole_config import SmileConfig

IMAGE_NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (SmileImageGeneratorConfig, SmileImageGenerator),
    "mapping": (SmileImageMappingConfig, SmileImageMapping),
    "region_encoder": (SmileRegionEncoderConfig, SmileRegionEncoder),
}
TRAINED_ON: dict[str, Any] = {"source": "celebamask_hq", "label_set": "celebamask-19"}
"""The parts of the official code; attributes are no matter of this stage."""
FILTERS = re.compile(r"(^|\.)kernel$")
NOISE = re.compile(r"noises\..+")
"""The official noise maps, which have twice the size of the features."""


def import_smile_image(
    files: Iterable[Path], settings: Mapping[str, Any], config: SmileImageConfig | None = None
) -> Imported:
    """Import the official file, recognised by the names of its tensors.

    Args:
        files: The file.
        settings: `parts` names the parts of weights that have other than 19; `image_size` is an official argument.
        config: The published settings of the method that imports; None = those of the image stage alone.

    Raises:
        ConfigError: Two files, another layout, or weights that contradict each other.
    """
    official = read_official_weights(files, {AVERAGE: "generator"}, recognise_image_weights, LAYOUT)
    imported = convert_smile_image(official.networks["generator"], official.arguments | dict(settings), config)
    state, options = imported.networks["mapping"], imported.config["mapping"]
    mapping = PixelNormMappingConfig(
        style_dim=state["layers.0.bias"].numel(), layers=options["layers"], lr_multiplier=options["lr_multiplier"]
    )
    imported.game["mean_latent"] = make_mean_latent(mapping, state, official.mean, imported.notes)
    return imported


def import_smile(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import the official file of the image stage for the whole method, see `import_smile_image`."""
    return import_smile_image(files, settings, SmileConfig())


def convert_smile_image(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], config: SmileImageConfig | None = None
) -> Imported:
    """Convert an official state_dict to our networks and names, and read config and facts from it.

    Args:
        state: The official state_dict of generator, mapping and perhaps region encoder.
        settings: See `import_smile_image`.
        config: See `import_smile_image`.

    Raises:
        ConfigError: Names missing or left over, or tensors that contradict each other.
    """
    generator = read_image_generator(state, settings.get("image_size"))
    count = generator.numbers["the number of parts"]
    encoder, mapping = read_region_encoder(state), read_image_mapping(state, count)
    architectures = {"generator": generator, "mapping": mapping} | ({"region_encoder": encoder} if encoder else {})
    numbers = require_same_numbers(
        {f"the {slot.replace('_', ' ')}": network.numbers for slot, network in architectures.items()}
    )
    parts = name_parts(count, settings)
    facts = Facts(image_size=numbers["the image size"], parts=parts)
    imported = Imported(
        make_published_layer(config or SmileImageConfig(), TRAINED_ON),
        networks={},
        facts={"parts": parts} | ({"transparent": TRANSPARENT} if set(TRANSPARENT) <= set(parts) else {}),
        untrained=("discriminator",),
    )
    set_nested(imported.config, "data.image_size", facts.image_size)
    if encoder is None:
        imported.config["region_encoder"] = {"use": "none"}
    weights = remove_filters(stack_regions(state, count), FILTERS, "image stage")
    weights = {name: tensor for name, tensor in weights.items() if not NOISE.fullmatch(name)}
    order = find_part_order(parts)
    for slot, network in architectures.items():
        imported.config[slot] |= {"code_dim": numbers["the numbers in a code"], **network.config}
        settings_class, network_class = IMAGE_NETWORKS[slot]
        with torch.device("meta"):
            ours = network_class(settings_class(**imported.config[slot]), facts)
        theirs = {name: tensor for name, tensor in weights.items() if get_slot(name) == slot}
        if slot == "generator":
            theirs |= draw_noise(ours)
        converted = convert_style_network(slot, theirs, ours, partial(name_image_tensor, slot), LAYOUT)
        imported.networks[slot] = reorder_image_parts(slot, converted, order)
    imported.notes.append("the noise maps of the files have other sizes than the features; the run has its own")
    return imported


def draw_noise(generator: nn.Module) -> StateDict:
    """Draw the fixed noise maps of a generator."""
    shapes = {name: buffer.shape for name, buffer in generator.named_buffers()}
    draw = torch.Generator().manual_seed(derive_seed("fixed noise"))
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def reorder_image_parts(slot: str, state: StateDict, order: Sequence[int] | None) -> StateDict:
    """Return a state_dict with the parts in our order; None = leave it as it is.

    The mapping keeps its noise in the official order: it is drawn, so no order of it means anything.

    Args:
        slot: The network's slot.
        state: The state_dict of our network.
        order: The official number of each part.
    """
    if order is None or slot == "region_encoder":  # which sees a part as a mask
        return state
    index = torch.tensor(order)
    if slot == "mapping":
        last = max(int(key.split(".")[1]) for key in state)
        blocks = {key: tensor.unflatten(0, (len(index), -1)) for key, tensor in state.items() if f".{last}." in key}
        return state | {key: tensor[index].flatten(0, 1) for key, tensor in blocks.items()}
    axes = {key: 1 for key in state if key == "stem.0.weight" or key.endswith("layout_hidden.weight")}
    axes |= {key: 0 for key in state if ".regions." in key}
    return state | {key: state[key].index_select(axis, index) for key, axis in axes.items()}
