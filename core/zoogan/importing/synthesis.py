"""What importers of StyleGAN2, and of the methods built on its layers, share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.files import StateDict, as_state_dict, read_weights_file
from zoogan.interfaces.draws import seed_of
from zoogan.layers.config import PixelNormMappingConfig
from zoogan.layers.fir import TAPS
from zoogan.layers.mapping import PixelNormMapping
from zoogan.layers.widths import widths_to

SMALLEST = 16  # of the zoo's image sizes
DRAWN = 4096  # latents whose mean stands in for a mean latent that no file has, as in the official code
MEAN = "latent_avg"

# ---- what files hold ----


@dataclass
class Official:
    """What official files hold: state_dicts by slot, the mean latent if there is one, the training's arguments.

    averaged: whether the generator is the moving average. raw: beside an average, the network as it was in training.
    """

    networks: dict[str, StateDict] = field(default_factory=dict)
    mean: Tensor | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    averaged: bool = True
    raw: dict[str, StateDict] = field(default_factory=dict)


def read_official(
    files: Iterable[Path],
    names: Mapping[str, str],
    recognised: Callable[[Mapping[str, Tensor]], str | None],
    what: str,
) -> Official:
    """What files hold together.

    Args:
        names: official name of a network -> slot; of two for one slot in a file the first is taken, so averaged ones
            are.
        recognised: the official name of a bare state_dict, by its keys; None = no such network.
        what: the method, for messages.

    Raises:
        ConfigError: files that are not read without executing code, or of another layout, or two of one network.
    """
    official = Official()
    for path in files:
        content, taken = read_weights_file(path), dict[str, str]()
        for name, state in networks_of(content, path, names, recognised, what).items():
            slot = names[name]
            if slot in taken:
                apart = taken[slot].endswith("_ema") and not name.endswith("_ema")
                official.raw |= {slot: state} if apart else {}
                continue
            taken[slot] = name
            if slot in official.networks:
                raise ConfigError(f"{path}: a second {slot}; give one file of each network")
            official.networks[slot] = state
            official.averaged &= slot != "generator" or name.endswith("_ema")
        official.mean = content[MEAN] if isinstance(content.get(MEAN), Tensor) else official.mean
        if isinstance(content.get("args"), argparse.Namespace):
            official.arguments |= vars(content["args"])
    if not official.networks:
        raise ConfigError(f"no weights of {what} among the files")
    return official


def networks_of(
    content: Any,
    path: Path,
    names: Mapping[str, str],
    recognised: Callable[[Mapping[str, Tensor]], str | None],
    what: str,
) -> dict[str, StateDict]:
    """The networks of a file by official name, in the order of `names`: nested, with prefixed keys, or one bare.

    Raises:
        ConfigError: none of these.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected networks (names, and a state_dict for each)")
    found = {name: as_state_dict(content[name], path) for name in names if isinstance(content.get(name), Mapping)}
    if not found:
        flat = as_state_dict({key: value for key, value in content.items() if key != MEAN}, path)
        for name in names:
            state = {key[len(name) + 1 :]: value for key, value in flat.items() if key.startswith(f"{name}.")}
            found |= {name: state} if state else {}
        if not found:
            bare = recognised(flat)
            if bare is None:
                raise ConfigError(f"{path}: neither a generator nor a discriminator of {what}")
            found = {bare: flat}
    return found


# ---- what weights tell ----


def shape(state: Mapping[str, Tensor], key: str, layout: str, dims: int) -> tuple[int, ...]:
    """The last dimensions of a tensor. layout: whose names these are, for messages.

    Raises:
        ConfigError: there is no such tensor, or it has fewer.
    """
    if key not in state or state[key].dim() < dims:
        raise ConfigError(f"the weights are not in the layout of {layout}: no {key!r} of {dims} dimensions")
    return tuple(state[key].shape[-dims:])


def without_filters(state: Mapping[str, Tensor], names: re.Pattern[str], what: str) -> StateDict:
    """The weights without their low-pass filters, which our networks do not keep. names: of the filters.

    Raises:
        ConfigError: another filter than ours.
    """
    expected = torch.outer(torch.tensor(TAPS), torch.tensor(TAPS)) / sum(TAPS) ** 2
    kept = dict(state)
    for key in [key for key in state if names.search(key)]:
        kernel = kept.pop(key)
        same = kernel.shape == expected.shape
        if not kernel.is_meta:
            same = same and torch.allclose(kernel.float() / kernel.float().sum(), expected, atol=1e-5)
        if not same:
            raise ConfigError(f"the {what}'s filter {key!r} is not that of [1, 3, 3, 1], the one that ours has")
    return kept


def widths_told(widths: Sequence[int], size: int, said: Any, what: str, usual: int | None = None) -> dict[str, Any]:
    """Our settings for the widths of the last resolutions, up to `size` px.

    said: the channel multiplier that the arguments ask for, None = they do not. usual: the most that a layer is wide
    where the widths do not show it; None = they begin at 4 px, where they do.

    Raises:
        ConfigError: not the widths of any StyleGAN2, or not those that the arguments ask for, or of tiny pictures.
    """
    if size < SMALLEST:
        raise ConfigError(f"the {what} is for pictures of {size} px; the smallest that the zoo takes are {SMALLEST} px")
    sides = [size >> k for k in range(len(widths))][::-1]
    told = max(width * side for width, side in zip(widths, sides)) / 2**14
    unlimited = widths[-1] * size / 2**14
    for shown, most in ((told, usual or widths[0]), (told, widths[0]), (unlimited, None)):
        multiplier = shown if said is None else float(said)
        if widths_to(size, multiplier, most)[-len(widths) :] == list(widths):
            return {"channel_multiplier": multiplier, "max_width": most}
    asked_for = "" if said is None else f" of channel_multiplier={said:g}, as args says,"
    raise ConfigError(
        f"the {what}'s widths, from {sides[0]} to {size} px, are {', '.join(map(str, widths))}: "
        f"not those of a StyleGAN2{asked_for} with at most {widths[0]}, nor with 512 up to 32 px and no limit above"
    )


def fitted(tensor: Tensor, like: Sequence[int], name: str) -> Tensor:
    """An official tensor in our shape, which differs in axes of length 1.

    Raises:
        ConfigError: it differs otherwise.
    """
    if [d for d in tensor.shape if d != 1] != [d for d in like if d != 1]:
        raise ConfigError(f"{name!r} has the shape {tuple(tensor.shape)}, but the other weights need {tuple(like)}")
    return tensor.reshape(tuple(like))


# ---- names of rosinality/stylegan2-pytorch ----


def mapping_name(key: str) -> str:
    """The name of a tensor of our mapping: `layers.0` is `style.1`, for number 0 is the pixel norm."""
    return re.sub(r"^layers\.(\d+)", lambda f: f"style.{int(f[1]) + 1}", key)


def trunk_name(key: str, official: str) -> str:
    """The name of a tensor of our residual trunk: each layer is a list, perhaps of a filter, of the convolution, and
    perhaps of its activation with the bias. official: the name of the trunk."""
    found = re.fullmatch(r"(\d+)\.(first|second|shortcut)\.(weight|bias)", key)
    if found is None:
        return f"{official}.0.{1 if key == '0.bias' else 0}.{key.removeprefix('0.')}"
    layer, place = {"first": ("conv1", 0), "second": ("conv2", 1), "shortcut": ("skip", 1)}[found[2]]
    return f"{official}.{found[1]}.{layer}.{place + (found[3] == 'bias')}.{found[3]}"


def head_name(key: str) -> str:
    """The name of a tensor of our verdict's head."""
    named = {"conv.weight": "final_conv.0.weight", "conv.bias": "final_conv.1.bias"}
    return named.get(key) or key.replace("hidden", "final_linear.0").replace("score", "final_linear.1")


def trunk_blocks(state: Mapping[str, Tensor], official: str) -> int:
    """How many halvings a trunk has: as many as there are shortcuts."""
    return sum(re.fullmatch(rf"{official}\.\d+\.skip\.1\.weight", key) is not None for key in state)


# ---- the mean latent ----


def tell_latents(state: Mapping[str, Tensor], name: Callable[[str], str], layout: str) -> dict[str, int]:
    """The numbers of a mapping. name: the official name of a tensor of ours.

    Raises:
        ConfigError: noise and latent of two sizes.
    """
    layers = 0
    while name(f"layers.{layers}.weight") in state:
        layers += 1
    style_dim, latent_dim = shape(state, name("layers.0.weight"), layout, 2)
    if style_dim != latent_dim:
        raise ConfigError(
            f"the mapping makes latents of {style_dim} numbers from noise of {latent_dim}; ours have one size"
        )
    return {"the size of a latent": style_dim, "the layers of the mapping": layers}


def mean_latent(
    config: PixelNormMappingConfig, state: Mapping[str, Tensor], mean: Tensor | None, notes: list[str]
) -> Float[Tensor, " style_dim"]:
    """The mean of w, to which truncation pulls: the file's, or that of drawn latents, which is noted.

    state: of our mapping.

    Raises:
        ConfigError: one of another size.
    """
    if mean is not None:
        if mean.numel() != config.style_dim:
            raise ConfigError(f"the mean latent has {mean.numel()} numbers, but a latent has {config.style_dim}")
        return mean.float().flatten()
    mapping = PixelNormMapping(config, Facts(image_size=SMALLEST))  # a mapping knows nothing of pictures
    mapping.load_state_dict(state)
    latent = torch.randn(DRAWN, config.style_dim, generator=torch.Generator().manual_seed(seed_of("mean latent")))
    notes.append(f"no mean latent is in the file; truncation pulls to the mean of {DRAWN:,} drawn ones")
    with torch.no_grad():
        return mapping(latent).mean(0)
