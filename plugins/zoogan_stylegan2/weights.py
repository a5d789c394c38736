"""Import of rosinality/stylegan2-pytorch's `550000.pt` and of state_dicts exported from NVlabs' PyTorch code."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.importing import (
    Imported,
    StateDict,
    published,
    put,
    read_content,
    renamed,
    same_number,
    translate,
)
from zoogan.interfaces.draws import seed_of
from zoogan.layers.mapping import PixelNormMapping
from zoogan.layers.widths import widths_to
from zoogan_stylegan2.config import CriticConfig, GeneratorConfig, MappingConfig, StyleGAN2Config
from zoogan_stylegan2.files import AVERAGED, MEAN, NAMES, files_of, networks_of
from zoogan_stylegan2.layouts import Layout, layout_of
from zoogan_stylegan2.networks import Critic, Generator

SMALLEST = 16  # of the zoo's image sizes
DRAWN = 4096  # latents whose mean stands in for a mean latent that no file has, as in the official code
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
    states: dict[str, StateDict] = {}
    mean: Tensor | None = None
    arguments: dict[str, Any] = {}
    training = False
    for path in (file for given in map(Path, files) for file in files_of(given)):
        content = read_content(path)
        for name, state in networks_of(content, path).items():
            slot = NAMES[name]
            if slot in states:
                raise ConfigError(f"{path}: a second {slot}; give one file of each network")
            states[slot] = state
            training |= slot == "generator" and name not in AVERAGED
        mean = content[MEAN] if isinstance(content.get(MEAN), Tensor) else mean
        if isinstance(content.get("args"), argparse.Namespace):
            arguments |= vars(content["args"])
    if not states:
        raise ConfigError("no weights of StyleGAN2 among the files")
    imported = convert(states, arguments | dict(settings), mean)
    if training:
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
    told = {"args": asked(settings)}
    if "generator" in states:
        layout, state = prepared(states["generator"], "generator")
        mean = state.pop(layout.mean) if layout.mean in state else mean
        widths, told["the generator"] = tell_generator(state, layout)
        told["the mapping"] = tell_mapping(state, layout)
        config["generator"] |= widths_told(widths, settings, "generator")
        config["discriminator"] |= widths_told(widths, settings, "generator")  # a critic that starts afresh
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
        widths, told["the discriminator"] = tell_critic(state, layout)
        config["discriminator"] |= widths_told(widths, settings, "discriminator")
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
        imported.game["mean_latent"] = mean_latent(imported, mean)
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
    state = layout.modern(given)
    for key in [key for key in state if layout.is_filter(key)]:
        kernel = state.pop(key)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=kernel.device)
        expected = torch.outer(taps, taps) / 64
        if not kernel.is_meta and not torch.allclose(kernel.float() / kernel.float().sum(), expected, atol=1e-5):
            raise ConfigError(f"the {what}'s filter {key!r} is not that of [1, 3, 3, 1], the one that ours has")
    return layout, state


def shape(state: Mapping[str, Tensor], key: str, layout: Layout, dims: int) -> tuple[int, ...]:
    """The last dimensions of a tensor.

    Raises:
        ConfigError: there is no such tensor, or it has fewer.
    """
    if key not in state or state[key].dim() < dims:
        raise ConfigError(f"the weights are not in the layout of {layout.name}: no {key!r} of {dims} dimensions")
    return tuple(state[key].shape[-dims:])


def tell_generator(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Widths from 4 px up, and the numbers that other networks tell too."""

    def found(key: str, dims: int) -> tuple[int, ...]:
        return shape(state, layout.generator(key), layout, dims)

    blocks = 0
    while layout.generator(f"blocks.{blocks}.rgb.bias") in state:
        blocks += 1
    widths = [found("constant", 3)[0], *(found(f"blocks.{k}.conv.conv.weight", 4)[0] for k in range(blocks))]
    return widths, {
        "the image size": 4 << blocks,
        "the channels of an image": found("first_rgb.conv.weight", 4)[0],
        "the size of a latent": found("first.conv.affine.weight", 2)[1],
    }


def tell_mapping(state: Mapping[str, Tensor], layout: Layout) -> dict[str, int]:
    """The numbers of the mapping.

    Raises:
        ConfigError: noise and latent of two sizes.
    """
    layers = 0
    while layout.mlp(f"layers.{layers}.weight") in state:
        layers += 1
    style_dim, latent_dim = shape(state, layout.mlp("layers.0.weight"), layout, 2)
    if style_dim != latent_dim:
        raise ConfigError(
            f"the mapping makes latents of {style_dim} numbers from noise of {latent_dim}; ours have one size"
        )
    return {"the size of a latent": style_dim, "the layers of the mapping": layers}


def tell_critic(state: Mapping[str, Tensor], layout: Layout) -> tuple[list[int], dict[str, int]]:
    """Widths from 4 px up, and the numbers that other networks tell too."""
    blocks = layout.critic_blocks(state)
    widest, channels = shape(state, layout.critic("trunk.0.weight", blocks), layout, 4)[:2]
    further = [
        shape(state, layout.critic(f"trunk.{k}.second.weight", blocks), layout, 4)[0] for k in range(1, blocks + 1)
    ]
    return [widest, *further][::-1], {"the image size": 4 << blocks, "the channels of an image": channels}


def widths_told(widths: Sequence[int], settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Our settings for widths from 4 px up.

    Raises:
        ConfigError: not the widths of any StyleGAN2, or not those that the arguments ask for, or of tiny pictures.
    """
    size, most = 2 << len(widths), widths[0]
    if size < SMALLEST:
        raise ConfigError(f"the {what} is for pictures of {size} px; the smallest that the zoo takes are {SMALLEST} px")
    said = settings.get("channel_multiplier")
    multiplier = max(width * side for width, side in zip(widths, (4 << k for k in range(len(widths))))) / 2**14
    told = multiplier if said is None else float(said)
    if widths_to(size, told, most) != list(widths):
        asked_for = "" if said is None else f" of channel_multiplier={said:g}, as args says,"
        raise ConfigError(
            f"the {what}'s widths, from 4 to {size} px, are {', '.join(map(str, widths))}: not those of a StyleGAN2"
            f"{asked_for} with at most {most}"
        )
    return {"channel_multiplier": told, "max_width": most}


# ---- what becomes of them ----

NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "generator": (GeneratorConfig, Generator),
    "mapping": (MappingConfig, PixelNormMapping),
    "discriminator": (CriticConfig, Critic),
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
    for official, key in names.items():
        have, need = found[key].shape, wanted[key].shape
        if [d for d in have if d != 1] != [d for d in need if d != 1]:
            raise ConfigError(f"{official!r} has the shape {tuple(have)}, but the other weights need {tuple(need)}")
        found[key] = found[key].reshape(need)
    return found


def drawn_noise(state: Mapping[str, Tensor], layout: Layout, scales: int, notes: list[str]) -> StateDict:
    """Maps of noise for a generator of before 2020, which has none of its own."""
    names = [layout.generator(f"noise_{k}") for k in range(2 * scales - 1)]
    if any(name in state for name in names):
        return {}
    notes.append("no fixed noise is in the file; it was drawn, and is of use only to edits that repeat a face exactly")
    sides = [4 << (k + 1) // 2 for k in range(len(names))]
    sources = [torch.Generator().manual_seed(seed_of("fixed noise", side, k)) for k, side in enumerate(sides)]
    return {name: torch.randn(1, 1, s, s, generator=g) for name, s, g in zip(names, sides, sources)}


def mean_latent(imported: Imported, mean: Tensor | None) -> Tensor:
    """The mean of w, (style_dim,), to which truncation pulls.

    Raises:
        ConfigError: one of another size.
    """
    config = MappingConfig(**imported.config["mapping"])
    if mean is not None:
        if mean.numel() != config.style_dim:
            raise ConfigError(f"the mean latent has {mean.numel()} numbers, but a latent has {config.style_dim}")
        return mean.float().flatten()
    mapping = PixelNormMapping(config, Facts(image_size=imported.config["data"]["image_size"]))
    mapping.load_state_dict(imported.networks["mapping"])
    latent = torch.randn(DRAWN, config.style_dim, generator=torch.Generator().manual_seed(seed_of("mean latent")))
    imported.notes.append(f"no mean latent is in the file; truncation pulls to the mean of {DRAWN:,} drawn ones")
    with torch.no_grad():
        return mapping(latent).mean(0)
