"""Every network of StarGAN v2 computes what the official one does on the same weights, through the importer."""

from __future__ import annotations

import pytest
import style_networks
import torch
from official import Case

from zoogan.config.registry import Registry

INPUTS = {
    "generator": ("x", "s", "masks"),
    "mapping": ("z", "y"),
    "style_encoder": ("x", "y"),
    "discriminator": ("x", "y"),
}


def test_network(style_network_case: Case, registry: Registry) -> None:
    says = style_network_case.says
    style_networks.check_fill(says)
    slot, config = style_networks.slot_of(says), says["config"]
    inputs = {name: style_networks.given(recipe) for name, recipe in says["inputs"].items()}
    assert set(inputs) <= set(INPUTS[slot])
    for name in says["outputs"]:
        how, _, part = name.partition("/")
        assert part == "out", name
        result = style_networks.imported(says, how)
        network = style_networks.built(result, slot, registry, config.get("img_size", 64))
        # The official generator with a high-pass filter counts the shortcuts that it never uses.
        dead = sum(
            int(torch.Size(shape).numel()) for key, shape, _ in says["keys"]
            if config.get("w_hpf") and key.startswith("decode.") and "conv1x1" in key
        )  # fmt: skip
        assert sum(p.numel() for p in network.parameters()) == says["param_count"] - dead
        if config.get("w_hpf"):
            assert result.config["generator"]["high_pass"] == pytest.approx(config["w_hpf"])
        with torch.no_grad():
            output = network(*(inputs.get(argument) for argument in INPUTS[slot]))
            style_networks.check_output(name, output, style_network_case)
            if how in says.get("block_trace", {}):
                trace = says["block_trace"][how]
                style_networks.check_trace(
                    network,
                    trace,
                    lambda: network(*(inputs.get(name) for name in INPUTS[slot])),  # noqa: B023
                )
