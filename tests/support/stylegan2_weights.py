"""Convert narrow StyleGAN2 networks to official state_dicts, and compare them with imported ones."""

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
Networks = dict[str, nn.Module]


def make_networks(size: int = SIZE, channels: int = 3, seed: int = 0) -> Networks:
    """Make narrow networks of random parameters."""
    torch.manual_seed(seed)
    facts = Facts(image_size=size, channels=channels)
    networks: Networks = {
        "mapping": LatentMLP(StyleGAN2MappingConfig(style_dim=STYLE, layers=LAYERS), facts),
        "generator": StyleGAN2Generator(
            StyleGAN2GeneratorConfig(style_dim=STYLE, channel_multiplier=MULTIPLIER, max_width=WIDEST), facts
        ),
        "discriminator": StyleGAN2Discriminator(
            StyleGAN2DiscriminatorConfig(channel_multiplier=MULTIPLIER, max_width=WIDEST), facts
        ),
    }
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.normal_()
    return networks


def reshape_as_official(layout: Layout, name: str, value: Tensor) -> Tensor:
    """Reshape a tensor as the official code stores it; our weights differ in axes of length 1."""
    if isinstance(layout, RosinalityLayout):
        if re.search(r"(conv1|convs\.\d+|to_rgbs?\d*(\.\d+)?)\.conv\.weight$", name):
            return value[None]
        return value[None, :, None, None] if re.fullmatch(r"to_rgbs?\d*(\.\d+)?\.bias", name) else value
    if name.endswith("b4.const"):
        return value[0]
    if name.endswith("noise_const"):
        return value[0, 0]
    return value.reshape(()) if name.endswith("noise_strength") else value


def make_filters(layout: Layout, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the low-pass filters that official state_dicts contain."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64
    if isinstance(layout, NvlabsLayout):
        holders = {name.rpartition(".")[0] for name in state if re.search(r"conv[01]\.weight$|skip\.weight$", name)}
        return {f"{holder}.resample_filter": kernel for holder in holders}
    names = [f"{n.removesuffix('.weight')}.kernel" for n in state if re.search(r"(conv2|skip)\.1\.weight$", n)]
    filters = {name.replace(".1.kernel", ".0.kernel"): kernel for name in names}
    ups = [n for n in state if re.fullmatch(r"convs\.\d*[02468]\.conv\.weight", n)]
    filters |= {name.replace("weight", "blur.kernel"): 4 * kernel for name in ups}
    biases = [n for n in state if n.startswith("to_rgbs.") and n.endswith(".bias") and "modulation" not in n]
    return filters | {f"{name.removesuffix('.bias')}.upsample.kernel": 4 * kernel for name in biases}


def make_official_states(
    layout: Layout, networks: Networks, mean: Tensor | None = None
) -> dict[str, dict[str, Tensor]]:
    """Convert our networks to official state_dicts: `generator`, which includes the mapping, and `discriminator`."""
    states: dict[str, dict[str, Tensor]] = {"generator": {}, "discriminator": {}}
    for slot, network in networks.items():
        generator: Any = networks.get("generator")
        blocks = len(network.trunk) - 1 if generator is None else len(generator.blocks)  # type: ignore[arg-type]
        for key, value in network.state_dict().items():
            name = layout.get_official_name(slot, key, blocks)
            states["discriminator" if slot == "discriminator" else "generator"][name] = reshape_as_official(
                layout, name, value
            )
    if isinstance(layout, NvlabsLayout):
        states["generator"]["mapping.w_avg"] = torch.zeros(STYLE) if mean is None else mean
    return {slot: state | make_filters(layout, state) for slot, state in states.items() if state}


def rebuild_networks(result: Any) -> Networks:
    """Build the networks that an importer describes."""
    classes = {
        "generator": (StyleGAN2GeneratorConfig, StyleGAN2Generator), "mapping": (StyleGAN2MappingConfig, LatentMLP),
        "discriminator": (StyleGAN2DiscriminatorConfig, StyleGAN2Discriminator),
    }  # fmt: skip
    facts = Facts(image_size=result.config["data"]["image_size"], **result.facts)
    networks: Networks = {}
    for slot, state in result.networks.items():
        config, network = classes[slot]
        networks[slot] = network(config(**result.config[slot]), facts)  # type: ignore[operator]
        networks[slot].load_state_dict(state, strict=True)
    return networks


def assert_same_outputs(actual: Networks, expected: Networks) -> None:
    """Check that networks give the same bits for the same inputs."""
    assert set(actual) <= set(expected)
    size, channels = expected["generator"].noise_sizes[-1][0], len(expected["generator"].first_rgb.bias)  # type: ignore
    for slot, network in actual.items():
        x = {
            "mapping": make_noise(0, 2, STYLE), "generator": make_noise(1, 2, 2 * size.bit_length() - 4, STYLE),
            "discriminator": make_faces(2, 3, size)[:, :channels],
        }[slot]  # fmt: skip
        one, other = network(x), expected[slot](x)
        assert torch.equal(one.image, other.image) if slot == "generator" else torch.equal(one, other), slot
