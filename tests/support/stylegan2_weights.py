"""What the tests of imported StyleGAN2 weights share: our networks as official files, and what came of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan.layers.mapping import PixelNormMapping as LatentMLP
from zoogan.testing.tensors import make_faces, make_noise
from zoogan_stylegan2.config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig, StyleGAN2MappingConfig
from zoogan_stylegan2.layouts import Layout, NvlabsLayout, RosinalityLayout
from zoogan_stylegan2.networks import StyleGAN2Discriminator, StyleGAN2Generator

SIZE, STYLE, LAYERS, MULTIPLIER, WIDEST = 32, 6, 3, 2**-8, 5
LAYOUTS = [RosinalityLayout(), NvlabsLayout()]
Nets = dict[str, nn.Module]


def networks(size: int = SIZE, channels: int = 3, seed: int = 0) -> Nets:
    """Narrow networks with nothing at its first value."""
    torch.manual_seed(seed)
    facts = Facts(image_size=size, channels=channels)
    made: Nets = {
        "mapping": LatentMLP(StyleGAN2MappingConfig(style_dim=STYLE, layers=LAYERS), facts),
        "generator": StyleGAN2Generator(
            StyleGAN2GeneratorConfig(style_dim=STYLE, channel_multiplier=MULTIPLIER, max_width=WIDEST), facts
        ),
        "discriminator": StyleGAN2Discriminator(
            StyleGAN2DiscriminatorConfig(channel_multiplier=MULTIPLIER, max_width=WIDEST), facts
        ),
    }
    with torch.no_grad():
        for network in made.values():
            for parameter in network.parameters():
                parameter.normal_()
    return made


def official_shape(layout: Layout, name: str, value: Tensor) -> Tensor:
    """A tensor as the official code keeps it: our weights have other axes of length 1."""
    if isinstance(layout, RosinalityLayout):
        if re.search(r"(conv1|convs\.\d+|to_rgbs?\d*(\.\d+)?)\.conv\.weight$", name):
            return value[None]
        return value[None, :, None, None] if re.fullmatch(r"to_rgbs?\d*(\.\d+)?\.bias", name) else value
    if name.endswith("b4.const"):
        return value[0]
    if name.endswith("noise_const"):
        return value[0, 0]
    return value.reshape(()) if name.endswith("noise_strength") else value


def filters(layout: Layout, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The low-pass filters that official state_dicts hold."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64
    if isinstance(layout, NvlabsLayout):
        holders = {name.rpartition(".")[0] for name in state if re.search(r"conv[01]\.weight$|skip\.weight$", name)}
        return {f"{holder}.resample_filter": kernel for holder in holders}
    names = [f"{n.removesuffix('.weight')}.kernel" for n in state if re.search(r"(conv2|skip)\.1\.weight$", n)]
    found = {name.replace(".1.kernel", ".0.kernel"): kernel for name in names}
    ups = [n for n in state if re.fullmatch(r"convs\.\d*[02468]\.conv\.weight", n)]
    found |= {name.replace("weight", "blur.kernel"): 4 * kernel for name in ups}
    return found | {f"{n.removesuffix('.bias')}.upsample.kernel": 4 * kernel for n in state if n.startswith("to_rgbs.")
                    and n.endswith(".bias") and "modulation" not in n}  # fmt: skip


def official(layout: Layout, made: Nets, mean: Tensor | None = None) -> dict[str, dict[str, Tensor]]:
    """Our networks as official state_dicts, `generator` (mapping included) and `discriminator`."""
    states: dict[str, dict[str, Tensor]] = {"generator": {}, "discriminator": {}}
    for slot, network in made.items():
        blocks = len(made["generator"].blocks) if "generator" in made else len(network.trunk) - 1  # type: ignore
        for key, value in network.state_dict().items():
            name = layout.get_official_name(slot, key, blocks)
            states["discriminator" if slot == "discriminator" else "generator"][name] = official_shape(
                layout, name, value
            )
    if isinstance(layout, NvlabsLayout):
        states["generator"]["mapping.w_avg"] = torch.zeros(STYLE) if mean is None else mean
    return {slot: state | filters(layout, state) for slot, state in states.items() if state}


def rebuilt(result: Any) -> Nets:
    """The networks that an importer describes."""
    kinds = {
        "generator": (StyleGAN2GeneratorConfig, StyleGAN2Generator), "mapping": (StyleGAN2MappingConfig, LatentMLP),
        "discriminator": (StyleGAN2DiscriminatorConfig, StyleGAN2Discriminator),
    }  # fmt: skip
    facts, made = Facts(image_size=result.config["data"]["image_size"], **result.facts), {}
    for slot, state in result.networks.items():
        config, network = kinds[slot]
        made[slot] = network(config(**result.config[slot]), facts)  # type: ignore[operator]
        made[slot].load_state_dict(state, strict=True)
    return made


def assert_same(found: Nets, wanted: Nets) -> None:
    """The same bits out of the same in."""
    assert set(found) <= set(wanted)
    size, channels = wanted["generator"].noise_sizes[-1][0], len(wanted["generator"].first_rgb.bias)  # type: ignore
    for slot, network in found.items():
        x = {
            "mapping": make_noise(0, 2, STYLE), "generator": make_noise(1, 2, 2 * size.bit_length() - 4, STYLE),
            "discriminator": make_faces(2, 3, size)[:, :channels],
        }[slot]  # fmt: skip
        one, other = network(x), wanted[slot](x)
        assert torch.equal(one.image, other.image) if slot == "generator" else torch.equal(one, other), slot
