"""Tiny networks of SMILE's image stage, and official files of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan_smile.image_architecture import name_image_tensor
from zoogan_smile.image_weights import IMAGE_NETWORKS
from zoogan_smile.weights import PARTS

CODE = 3


def make_image_networks(
    seed: int, facts: Facts, *, encoder: bool = True, codes: str = "below_full_size", noise: bool = True
) -> dict[str, nn.Module]:
    """Make the networks of an official file, with biases, blends and noise strengths that are not 0.

    Args:
        seed: Seed of the weights.
        facts: Image size and parts.
        encoder: Make a region encoder; False = the stem ends at 16 px, as in the official code.
        codes: The layers that read codes.
        noise: Add noise after each convolution.
    """
    torch.manual_seed(seed)
    doublings = facts.image_size.bit_length() - (4 if encoder else 5)
    settings: dict[str, dict[str, Any]] = {
        "generator": {
            "widths": (4, 5, 3, 6)[: doublings + 1], "stem_width": 6, "stem_halvings": min(2, doublings), "hidden": 4,
            "codes": codes, "noise": noise,
        },
        "mapping": {"layers": 2},
        "region_encoder": {"width": 2, "halvings": 1},
    }  # fmt: skip
    networks: dict[str, nn.Module] = {}
    for slot, (config, network) in IMAGE_NETWORKS.items():
        if slot != "region_encoder" or encoder:
            networks[slot] = network(config(code_dim=CODE, **settings[slot]), facts)
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                if parameter.dim() <= 2:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    return networks


def make_official_image_state(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return our weights under their official names, with filters and with noise maps of the wrong size."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    state: dict[str, Tensor] = {"noises.noise_0": torch.zeros(1, 1, 16, 16)}
    for slot, network in networks.items():
        for key, value in network.state_dict().items():
            name = name_image_tensor(slot, key)
            if ".fc_mu." in name:
                state |= {name.replace("fc_mu.", f"fc_mu.{part}."): each for part, each in enumerate(value)}
            elif re.fullmatch(r"to_rgb.+\.bias", name):
                state[name] = value[None, :, None, None]
            elif not key.startswith("noise_"):
                state[name] = value
    for name in ("input.1.0.kernel", "convs.0.conv.blur.kernel", "to_rgbs.0.upsample.kernel"):
        state[name] = torch.outer(taps, taps) / (16 if "to_rgbs" in name or "convs" in name else 64)
    return state


def write_official_image_file(path: Path, networks: Mapping[str, nn.Module]) -> Path:
    """Write an official file."""
    torch.save({"g_ema": make_official_image_state(networks), "g": {"other": torch.zeros(1)}, "iteration": 3}, path)
    return path


def make_image_facts(size: int = 32, parts: int = 19) -> Facts:
    """Make facts of data with the official parts."""
    return Facts(image_size=size, parts=PARTS[:parts])
