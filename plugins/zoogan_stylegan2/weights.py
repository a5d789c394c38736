"""Import rosinality/stylegan2-pytorch's `550000.pt` and state_dicts exported from NVlabs' PyTorch code."""

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
    make_mean_latent,
    make_published_layer,
    read_latent_sizes,
    read_official_weights,
    read_shape,
    read_widths,
    remove_filters,
    rename_tensors,
    require_same_numbers,
    reshape_tensor,
    set_nested,
    translate_arguments,
)
from zoogan.interfaces import derive_seed
from zoogan.layers import PixelNormMapping
from zoogan.plugins import Facts
from zoogan_stylegan2.config import (
    StyleGAN2Config,
    StyleGAN2DiscriminatorConfig,
    StyleGAN2GeneratorConfig,
    StyleGAN2MappingConfig,
)
from zoogan_stylegan2.files import NAMES, find_weight_files, identify_network
from zoogan_stylegan2.layouts import Layout, identify_layout
from zoogan_stylegan2.networks import StyleGAN2Discriminator, StyleGAN2Generator

TRAINED_ON = {"source": "folder", "attributes": [], "flip": True}
"""The data of the official code: images without labels, mirrored at random."""

# rosinality's argument -> our setting.
SETTINGS = {
    "batch": ("data.batch",),
    "iter": ("training.iterations",),
    "lr": ("optimizers.generator.lr", "optimizers.mapping.lr", "optimizers.discriminator.lr"),
    "lr_mlp": ("mapping.lr_multiplier",),
    "stddev_group": ("discriminator.group",),
    "r1": ("penalty.weight",),
    "d_reg_every": ("penalty.every",),
    "path_regularize": ("weights.path_length",),
    "g_reg_every": ("weights.path_every",),
    "mixing": ("mixing",),
}


def import_stylegan2(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import official files; networks are recognised by their keys, not by file names.

    Args:
        files: Weight files, or a folder, whose newest file is taken.
        settings: Arguments of rosinality's code; they override those inside a file.

    Raises:
        ConfigError: Pickles, files of another layout, two of one network, or weights that contradict each other.
    """
    paths = [file for path in map(Path, files) for file in find_weight_files(path)]
    official = read_official_weights(paths, NAMES, identify_network, "StyleGAN2")
    arguments = official.arguments | dict(settings)
    imported = convert_stylegan2(official.networks, arguments, official.mean)
    if official.raw:
        add_raw(imported, lambda: convert_stylegan2(official.raw, arguments, imported.game["mean_latent"]).networks)
    if not official.averaged:
        imported.notes.append("this is the generator in training; its average is g_ema or G_ema")
    return imported


def convert_stylegan2(
    states: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any], mean: Tensor | None = None
) -> Imported:
    """Convert official state_dicts to our names and shapes, and read our config from them.

    Args:
        states: `generator`, with its mapping, and `discriminator`; either may be missing.
        settings: Arguments of rosinality's code.
        mean: The mean latent, if a file has it.

    Raises:
        ConfigError: Another layout, or weights and settings that contradict each other.
    """
    imported = Imported(make_published_layer(StyleGAN2Config(), TRAINED_ON), networks={}, untrained=("discriminator",))
    config = imported.config
    translate_arguments(config, SETTINGS, settings)
    numbers, multiplier = {"args": read_arguments(settings)}, settings.get("channel_multiplier")
    if "generator" in states:
        layout, state = prepare_weights(states["generator"], "generator")
        mean = state.pop(layout.mean) if layout.mean in state else mean
        widths, numbers["the generator"] = read_generator_shapes(state, layout)
        numbers["the mapping"] = read_latent_sizes(state, layout.name_mapping_tensor, layout.name)
        size = 2 << len(widths)
        config["generator"] |= read_widths(widths, size, multiplier, "generator")
        # The default for a discriminator that starts untrained.
        config["discriminator"] |= read_widths(widths, size, multiplier, "generator")
        config["generator"]["style_dim"] = numbers["the generator"]["the size of a latent"]
        config["generator"]["noise"] = layout.name_generator_tensor("first.strength") in state
        config["mapping"] |= {
            "style_dim": numbers["the mapping"]["the size of a latent"],
            "layers": numbers["the mapping"]["the layers of the mapping"],
        }
        for slot in ("mapping", "generator"):
            part = {key: value for key, value in state.items() if key.startswith(layout.mapping) == (slot == "mapping")}
            if slot == "generator" and config["generator"]["noise"]:
                part |= draw_missing_noise(part, layout, len(widths), imported.notes)
            imported.networks[slot] = convert_network(slot, part, layout, config[slot], numbers["the generator"])
    if "discriminator" in states:
        layout, state = prepare_weights(states["discriminator"], "discriminator")
        widths, numbers["the discriminator"] = read_discriminator_shapes(state, layout)
        config["discriminator"] |= read_widths(widths, 2 << len(widths), multiplier, "discriminator")
        imported.networks["discriminator"] = convert_network(
            "discriminator", state, layout, config["discriminator"], numbers["the discriminator"]
        )
    agreed = require_same_numbers(numbers)
    set_nested(config, "data.image_size", agreed.get("the image size"))
    if agreed.get("the channels of an image", 3) != 3:
        imported.facts["channels"] = agreed["the channels of an image"]
    if "mapping" in imported.networks:
        options = StyleGAN2MappingConfig(**config["mapping"])
        imported.game["mean_latent"] = make_mean_latent(options, imported.networks["mapping"], mean, imported.notes)
    return imported


def read_arguments(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of the networks in rosinality's arguments."""
    what = {"size": "the image size", "latent": "the size of a latent", "n_mlp": "the layers of the mapping"}
    return {what[name]: int(settings[name]) for name in what if settings.get(name) is not None}


# ---- numbers in the weights ----


def prepare_weights(official: Mapping[str, Tensor], what: str) -> tuple[Layout, StateDict]:
    """Return the layout of official weights, and the weights without their filters.

    Args:
        official: The weights.
        what: The network, for messages.

    Raises:
        ConfigError: Another layout, labels, or another filter than ours.
    """
    layout = identify_layout(official)
    if layout is None:
        first = next(iter(official), "-")
        raise ConfigError(f"the {what} weights are in no layout of StyleGAN2; they begin with {first}")
    labelled = [key for key in official if key.startswith(layout.labels)]
    if labelled:
        raise ConfigError(f"the {what} is class-conditional ({labelled[0]!r}), which zoogan does not support")
    return layout, remove_filters(layout.rename_old_keys(official), layout.filters, what)


def read_generator_shapes(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Read the widths from 4 px up, and the numbers that other networks tell too."""

    def read(key: str, dims: int) -> tuple[int, ...]:
        return read_shape(state, layout.name_generator_tensor(key), layout.name, dims)

    blocks = 0
    while layout.name_generator_tensor(f"blocks.{blocks}.rgb.bias") in state:
        blocks += 1
    widths = [read("constant", 3)[0], *(read(f"blocks.{k}.conv.conv.weight", 4)[0] for k in range(blocks))]
    return widths, {
        "the image size": 4 << blocks,
        "the channels of an image": read("first_rgb.conv.weight", 4)[0],
        "the size of a latent": read("first.conv.affine.weight", 2)[1],
    }


def read_discriminator_shapes(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Read the widths from 4 px up, and the numbers that other networks tell too."""
    blocks = layout.count_discriminator_blocks(state)
    widest, channels = read_shape(state, layout.name_discriminator_tensor("trunk.0.weight", blocks), layout.name, 4)[:2]
    further = [
        read_shape(state, layout.name_discriminator_tensor(f"trunk.{k}.second.weight", blocks), layout.name, 4)[0]
        for k in range(1, blocks + 1)
    ]
    return [widest, *further][::-1], {"the image size": 4 << blocks, "the channels of an image": channels}


# ---- conversion ----

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (StyleGAN2GeneratorConfig, StyleGAN2Generator),
    "mapping": (StyleGAN2MappingConfig, PixelNormMapping),
    "discriminator": (StyleGAN2DiscriminatorConfig, StyleGAN2Discriminator),
}


def convert_network(
    slot: str, state: Mapping[str, Tensor], layout: Layout, config: Mapping[str, Any], numbers: Mapping[str, int]
) -> StateDict:
    """Convert a network's state_dict to our names and shapes, which differ in axes of length 1.

    Args:
        slot: Slot of the network.
        state: The official state_dict.
        layout: Its layout.
        config: Settings of our network.
        numbers: Image size and channels, read from the weights.

    Raises:
        ConfigError: Names missing or left over, or tensors whose shapes contradict the others'.
    """
    options, network = NETWORKS[slot]
    size = numbers["the image size"]
    with torch.device("meta"):
        empty = network(options(**config), Facts(image_size=size, channels=numbers["the channels of an image"]))
    shapes = empty.state_dict()
    names = {layout.get_official_name(slot, key, size.bit_length() - 3): key for key in shapes}
    renamed = rename_tensors(state, names, slot, layout.name)
    return {key: reshape_tensor(renamed[key], shapes[key].shape, official) for official, key in names.items()}


def draw_missing_noise(state: Mapping[str, Tensor], layout: Layout, scales: int, notes: list[str]) -> StateDict:
    """Draw the noise maps of a generator from before 2020, whose files have none.

    Args:
        state: The official weights of the generator.
        layout: Their layout.
        scales: Number of resolutions.
        notes: A sentence for the user is added.

    Returns:
        Noise maps by official name; empty if the weights have their own.
    """
    names = [layout.name_generator_tensor(f"noise_{k}") for k in range(2 * scales - 1)]
    if any(name in state for name in names):
        return {}
    notes.append("the file has no fixed noise; new noise was drawn, so that equal latents give equal faces")
    sides = [4 << (k + 1) // 2 for k in range(len(names))]
    sources = [torch.Generator().manual_seed(derive_seed("fixed noise", side, k)) for k, side in enumerate(sides)]
    return {name: torch.randn(1, 1, s, s, generator=g) for name, s, g in zip(names, sides, sources)}
