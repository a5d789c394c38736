"""Every layer and network of SMILE's image stage computes what the official one does on the same weights."""

from __future__ import annotations

import re
from typing import Any

import image_cases
import layout_cases
import pytest
import torch
from official import Case
from torch import Tensor

from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.layers import SpatialModulatedConv2d, resize_layout
from zoogan_smile.image_architecture import name_image_tensor
from zoogan_smile.image_config import SmileImageDiscriminatorConfig, SmileRegionEncoderConfig
from zoogan_smile.image_networks import SmileImageDiscriminator, SmileRegionEncoder
from zoogan_smile.image_weights import IMAGE_NETWORKS, convert_smile_image
from zoogan_smile.weights import find_part_order

LAYER_NAMES = {
    "blending_gamma": "blend", "weight": "weight", "spade_gamma.mlp_shared.0.weight": "layout_hidden.weight",
    "spade_gamma.mlp_shared.1.bias": "layout_hidden.bias", "spade_gamma.mlp_gamma.0.weight": "layout_scale.weight",
    "spade_gamma.mlp_gamma.0.bias": "layout_scale.bias", "style_gamma.0.weight": "code_scale.weight",
    "style_gamma.0.bias": "code_scale.bias",
}  # fmt: skip
"""Official name in a spatially adaptive convolution -> ours; the layers of the parts are stacked."""


def name_layer(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of our layer."""
    state = {ours: official[theirs] for theirs, ours in LAYER_NAMES.items() if theirs in official}
    parts = sorted({int(key.split(".")[1]) for key in official if key.startswith("fc_mu.")})
    for kind in ("weight", "bias"):
        state[f"regions.{kind}"] = torch.stack([official[f"fc_mu.{k}.{kind}"] for k in parts])
    left = [key for key in official if key not in LAYER_NAMES and not re.search(r"^fc_mu\.|kernel$", key)]
    assert not left, f"no rule for {left}"
    return state


@torch.no_grad()
def test_layer(image_layer_case: Case) -> None:
    case, says = image_layer_case, image_layer_case.says
    config, inputs = says["config"], says["inputs"]
    assert not config["only_spade"]
    layer = SpatialModulatedConv2d(
        config["in_channel"], config["out_channel"], config["kernel"], config["label_dim"], config["w_dim"],
        up=config["upsample"], demodulate=config["demodulate"],
    )  # fmt: skip
    assert sum(p.numel() for p in layer.parameters()) == says["param_count"]
    network = image_cases.load(layer, name_layer(image_cases.fill_official(says)))
    x = image_cases.read_tensor(inputs["x"])
    layout = resize_layout(image_cases.read_layout(inputs["sem"]), *x.shape[2:])
    output = network(x, image_cases.read_tensor(inputs["w"]), layout)
    layout_cases.check_output("out", output, case)


@torch.no_grad()
def test_region_encoder(image_encoder_case: Case) -> None:
    case, says = image_encoder_case, image_encoder_case.says
    facts = Facts(image_size=says["config"]["size"], parts=tuple(map(str, range(layout_cases.PARTS))))
    encoder = SmileRegionEncoder(SmileRegionEncoderConfig(code_dim=says["config"]["w_dim"]), facts)
    assert sum(p.numel() for p in encoder.parameters()) == says["param_count"]
    official = image_cases.fill_official(says)
    names = {ours: name_image_tensor("region_encoder", ours).removeprefix("encoder.") for ours in encoder.state_dict()}
    network = image_cases.load(encoder, {ours: official[theirs] for ours, theirs in names.items()})
    image, layout = image_cases.read_tensor(says["inputs"]["rgb"]), image_cases.read_layout(says["inputs"]["sem"])
    codes, present = network(image, layout)
    layout_cases.check_output("features", network.body(image), case)
    layout_cases.check_output("codes", codes, case)
    assert not codes[~present].any() and not present.all()


@torch.no_grad()
def test_generator(image_generator_case: Case, registry: Registry) -> None:
    case, says = image_generator_case, image_generator_case.says
    config, inputs = says["config"], says["inputs"]
    result = convert_smile_image(image_cases.fill_official(says), {"image_size": config["size"]})
    parts = result.facts["parts"]
    facts = Facts(image_size=config["size"], parts=parts)
    networks: dict[str, Any] = {}
    for slot, (settings_class, network_class) in IMAGE_NETWORKS.items():
        network = network_class(settings_class(**result.config[slot]), facts)
        networks[slot] = image_cases.load(network, result.networks[slot])
    counts = sum(p.numel() for network in networks.values() for p in network.parameters())
    assert counts == says["param_count"]
    order = find_part_order(parts) or list(range(len(parts)))
    layout = image_cases.read_layout(inputs["sem"])[:, order]
    generator, noise = networks["generator"], image_cases.read_noise(inputs["noise"])
    assert [map_.shape[2] for map_ in noise] == [side for side, _ in generator.noise_sizes]

    def paint(codes: Tensor) -> Tensor:
        image: Tensor = generator(generator.repeat_latent(codes.flatten(1)), noise, layout).image
        return image

    def split(latent: Tensor) -> Tensor:
        return latent.unflatten(1, (len(parts), -1))

    mapped = split(networks["mapping"](image_cases.read_tensor(inputs["z"])))
    codes = networks["region_encoder"](image_cases.read_tensor(inputs["rgb"]), layout).codes
    official = torch.tensor(order).argsort()
    found = {
        "w_from_z": mapped[:, official].flatten(1), "encoder": codes[:, official], "image_from_z": paint(mapped),
        "image_from_w": paint(split(image_cases.read_tensor(inputs["w"]))[:, order]),
        "image_from_encoder": paint(codes),
    }  # fmt: skip
    assert set(found) == set(says["outputs"])
    for name, output in found.items():
        layout_cases.check_output(name, output, case)


def name_discriminator(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of our discriminator from rosinality's names."""
    state = {}
    for key, tensor in official.items():
        if key.endswith("kernel"):
            continue
        name = re.sub(r"^convs\.0\.(0|1)\.", "trunk.0.", key)
        for theirs, ours in (("conv1", "first"), ("conv2", "second"), ("skip", "shortcut")):
            name = re.sub(rf"^convs\.(\d+)\.{theirs}\.\d+\.", rf"trunk.\1.{ours}.", name)
        name = re.sub(r"^final_conv\.\d+\.", "head.conv.", name)
        name = re.sub(r"^final_linear\.0\.", "head.hidden.", name)
        name = re.sub(r"^final_linear\.1\.", "head.score.", name)
        state[name] = tensor
    return state


def test_discriminator(image_discriminator_case: Case) -> None:
    case, says = image_discriminator_case, image_discriminator_case.says
    config, losses = says["config"], says["losses"]
    facts = Facts(image_size=config["size"], parts=tuple(map(str, range(config["in_channels"] - 3))))
    settings = SmileImageDiscriminatorConfig(
        channel_multiplier=config["channel_multiplier"], group=config["stddev_group"]
    )
    discriminator = SmileImageDiscriminator(settings, facts)
    assert sum(p.numel() for p in discriminator.parameters()) == says["param_count"]
    network = image_cases.load(discriminator, name_discriminator(image_cases.fill_official(says)))
    n, side = 4, config["size"]
    real, fake = (image_cases.read_tensor(f"named_tensor('{name}',({n},3,{side},{side}))") for name in ("rgb", "fake"))
    maps = 2 * image_cases.read_layout(says["inputs"]["sem"]) - 1
    score = network(real, maps)
    layout_cases.check_output("logit", score.detach(), case)
    other = network(fake, maps)
    logistic = torch.nn.functional.softplus(-score).mean() + torch.nn.functional.softplus(other).mean()
    assert float(logistic) == pytest.approx(losses["d_logistic"], rel=1e-9)
    assert float(torch.nn.functional.softplus(-other).mean()) == pytest.approx(losses["g_nonsaturating"], rel=1e-9)
    x = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(x, maps).sum(), x)
    squared = slope.square().sum((1, 2, 3)).mean()
    assert float(squared) == pytest.approx(losses["r1_image_channels_only"], rel=1e-9)
