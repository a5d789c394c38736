"""Import of rosinality/stylegan2-pytorch's `550000.pt` and of state_dicts exported from NVlabs' PyTorch code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.files import StateDict
from zoogan.importing.official import Imported, add_raw, published, put, renamed, same_number, translate
from zoogan.importing.synthesis import (
    fitted,
    mean_latent,
    read_official,
    shape,
    tell_latents,
    widths_told,
    without_filters,
)
from zoogan.interfaces.draws import seed_of
from zoogan.layers.mapping import PixelNormMapping
from zoogan_stylegan2.config import DiscriminatorConfig, GeneratorConfig, MappingConfig, StyleGAN2Config
from zoogan_stylegan2.files import NAMES, files_of, recognised
from zoogan_stylegan2.layouts import Layout, layout_of
from zoogan_stylegan2.networks import Discriminator, Generator

TRAINED_ON = {"source": "folder", "attributes": [], "flip": True}
"""What the official code reads: pictures without labels, mirrored at random."""

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


def import_weights(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Official files, or the folder they lie in, as our networks; what is what is told by keys, not by names.

    settings: names of rosinality's arguments; those inside a file come after them.

    Raises:
        ConfigError: pickles, files of another layout, two of one network, or weights that contradict each other.
    """
    given = [file for path in map(Path, files) for file in files_of(path)]
    official = read_official(given, NAMES, recognised, "StyleGAN2")
    arguments = official.arguments | dict(settings)
    imported = convert(official.networks, arguments, official.mean)
    if official.raw:
        add_raw(imported, lambda: convert(official.raw, arguments, imported.game["mean_latent"]).networks)
    if not official.averaged:
        imported.notes.append("this is the generator as it was in training; g_ema or G_ema would be the averaged one")
    return imported


def convert(
    states: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any], mean: Tensor | None = None
) -> Imported:
    """Official state_dicts, `generator` (mapping included) and `discriminator`, as ours; either may be missing.

    settings: names of rosinality's arguments. mean: the mean latent, if a file has it.

    Raises:
        ConfigError: another layout, or weights and settings that contradict each other.
    """
    imported = Imported(published(StyleGAN2Config(), TRAINED_ON), networks={}, untrained=("discriminator",))
    config = imported.config
    translate(config, SETTINGS, settings)
    told, said = {"args": asked(settings)}, settings.get("channel_multiplier")
    if "generator" in states:
        layout, state = prepared(states["generator"], "generator")
        mean = state.pop(layout.mean) if layout.mean in state else mean
        widths, told["the generator"] = tell_generator(state, layout)
        told["the mapping"] = tell_latents(state, layout.mlp, layout.name)
        size = 2 << len(widths)
        config["generator"] |= widths_told(widths, size, said, "generator")
        config["discriminator"] |= widths_told(widths, size, said, "generator")  # a discriminator that starts afresh
        config["generator"]["style_dim"] = told["the generator"]["the size of a latent"]
        config["generator"]["noise"] = layout.generator("first.strength") in state
        config["mapping"] |= {
            "style_dim": told["the mapping"]["the size of a latent"],
            "layers": told["the mapping"]["the layers of the mapping"],
        }
        for slot in ("mapping", "generator"):
            mine = {key: value for key, value in state.items() if key.startswith(layout.mapping) == (slot == "mapping")}
            if slot == "generator" and config["generator"]["noise"]:
                mine |= drawn_noise(mine, layout, len(widths), imported.notes)
            imported.networks[slot] = ours(slot, mine, layout, config[slot], told["the generator"])
    if "discriminator" in states:
        layout, state = prepared(states["discriminator"], "discriminator")
        widths, told["the discriminator"] = tell_discriminator(state, layout)
        config["discriminator"] |= widths_told(widths, 2 << len(widths), said, "discriminator")
        imported.networks["discriminator"] = ours(
            "discriminator", state, layout, config["discriminator"], told["the discriminator"]
        )
    agreed = {
        what: same_number(what, [(who, says[what]) for who, says in told.items() if what in says])
        for what in dict.fromkeys(what for says in told.values() for what in says)
    }
    put(config, "data.image_size", agreed.get("the image size"))
    if agreed.get("the channels of an image", 3) != 3:
        imported.facts["channels"] = agreed["the channels of an image"]
    if "mapping" in imported.networks:
        options = MappingConfig(**config["mapping"])
        imported.game["mean_latent"] = mean_latent(options, imported.networks["mapping"], mean, imported.notes)
    return imported


def asked(settings: Mapping[str, Any]) -> dict[str, int]:
    """What rosinality's arguments say of the networks."""
    what = {"size": "the image size", "latent": "the size of a latent", "n_mlp": "the layers of the mapping"}
    return {what[name]: int(settings[name]) for name in what if settings.get(name) is not None}


# ---- what the weights tell ----


def prepared(given: Mapping[str, Tensor], what: str) -> tuple[Layout, StateDict]:
    """The layout of official weights, and the weights without their filters.

    Raises:
        ConfigError: another layout, labels, or another filter than ours.
    """
    layout = layout_of(given)
    if layout is None:
        raise ConfigError(f"the {what} weights are in no layout of StyleGAN2; they begin with {next(iter(given), '-')}")
    labelled = [key for key in given if key.startswith(layout.labels)]
    if labelled:
        raise ConfigError(f"the {what} is one of classes ({labelled[0]!r}), for which ours has no place")
    return layout, without_filters(layout.modern(given), layout.filters, what)


def tell_generator(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Widths from 4 px up, and the numbers that other networks tell too."""

    def found(key: str, dims: int) -> tuple[int, ...]:
        return shape(state, layout.generator(key), layout.name, dims)

    blocks = 0
    while layout.generator(f"blocks.{blocks}.rgb.bias") in state:
        blocks += 1
    widths = [found("constant", 3)[0], *(found(f"blocks.{k}.conv.conv.weight", 4)[0] for k in range(blocks))]
    return widths, {
        "the image size": 4 << blocks,
        "the channels of an image": found("first_rgb.conv.weight", 4)[0],
        "the size of a latent": found("first.conv.affine.weight", 2)[1],
    }


def tell_discriminator(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Widths from 4 px up, and the numbers that other networks tell too."""
    blocks = layout.discriminator_blocks(state)
    widest, channels = shape(state, layout.discriminator("trunk.0.weight", blocks), layout.name, 4)[:2]
    further = [
        shape(state, layout.discriminator(f"trunk.{k}.second.weight", blocks), layout.name, 4)[0]
        for k in range(1, blocks + 1)
    ]
    return [widest, *further][::-1], {"the image size": 4 << blocks, "the channels of an image": channels}


# ---- what becomes of them ----

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (GeneratorConfig, Generator),
    "mapping": (MappingConfig, PixelNormMapping),
    "discriminator": (DiscriminatorConfig, Discriminator),
}


def ours(
    slot: str, state: Mapping[str, Tensor], layout: Layout, config: Mapping[str, Any], numbers: Mapping[str, int]
) -> StateDict:
    """A network's state_dict under our names and in our shapes, which differ in axes of length 1.

    Raises:
        ConfigError: names missing or left over, or tensors whose shapes contradict the others'.
    """
    options, network = NETWORKS[slot]
    size = numbers["the image size"]
    with torch.device("meta"):
        empty = network(options(**config), Facts(image_size=size, channels=numbers["the channels of an image"]))
    wanted = empty.state_dict()
    names = {layout.official(slot, key, size.bit_length() - 3): key for key in wanted}
    found = renamed(state, names, slot, layout.name)
    return {key: fitted(found[key], wanted[key].shape, official) for official, key in names.items()}


def drawn_noise(state: Mapping[str, Tensor], layout: Layout, scales: int, notes: list[str]) -> StateDict:
    """Maps of noise for a generator of before 2020, which has none of its own."""
    names = [layout.generator(f"noise_{k}") for k in range(2 * scales - 1)]
    if any(name in state for name in names):
        return {}
    notes.append("no fixed noise is in the file; it was drawn, and is of use only to edits that repeat a face exactly")
    sides = [4 << (k + 1) // 2 for k in range(len(names))]
    sources = [torch.Generator().manual_seed(seed_of("fixed noise", side, k)) for k, side in enumerate(sides)]
    return {name: torch.randn(1, 1, s, s, generator=g) for name, s, g in zip(names, sides, sources)}
