"""Every network computes what the official one does on the same weights, through the importer."""

from __future__ import annotations

import fill
import layouts
import official
import pytest
import torch
from official import Case
from torch import Tensor

from zoogan.config.registry import Registry
from zoogan.facts import Facts

NAMED = [0.7546402215957642, 0.32547521591186523, 0.1814877837896347]
WAVE = [-0.483617901802063, -0.3721522390842438, -0.2550216019153595]


def test_layout_is_the_official_one(network_case: Case) -> None:
    says = network_case.says
    table = layouts.from_table(says["state_dict"])
    derived = layouts.empty_state(says["method"], says["network"], says["config"])
    assert [(k, v.shape, v.dtype) for k, v in derived.items()] == [(k, v.shape, v.dtype) for k, v in table.items()]


def test_network(network_case: Case, registry: Registry) -> None:
    says, arrays = network_case.says, network_case.arrays
    method, part, config = says["method"], says["network"], says["config"]
    state = official.filled(method, part, config, says["state_dict"])
    result = official.imported(method, {part: state}, config)
    image = official.given(network_case, "x")
    attributes = official.given(network_case, "c").float() if part == "generator" else None
    facts = Facts(image_size=image.shape[-1], attributes=official.names(config["c_dim"]))
    component = official.component(registry, part, result.config)
    network = official.placed(registry.build(official.ROLES[part], component, facts))
    network.load_state_dict(result.networks[part], strict=True)
    assert sum(p.numel() for p in network.parameters()) == says["param_count"]
    network.train(says["mode"] == "train")
    got = outputs_of(method, network, image, attributes)
    assert set(got) >= set(says["outputs"])
    for name in says["outputs"]:
        official.check_output(name, got[name], says, arrays)
    wanted = says["buffers_after_one_train_forward"]
    if wanted and list(network.buffers()):  # StarGAN's are never used, so ours do not exist
        # The numbers are those after two forwards: the one for the outputs was not the reference's first.
        outputs_of(method, network, image, attributes)
        names, buffers = official.official_names(state, result.networks[part]), dict(network.named_buffers())
        for key, want in wanted.items():
            official.check_summary(key, buffers[names[key]], want, says["atol"])


@torch.no_grad()
def outputs_of(method: str, network: torch.nn.Module, image: Tensor, attributes: Tensor | None) -> dict[str, Tensor]:
    """Our outputs under the official names; without `attributes` the network is a discriminator."""
    if attributes is None:
        count = network.attributes.out_channels  # type: ignore[union-attr]
        verdict = network(image, image.new_zeros(len(image), count))
        # SaGAN's official discriminator ends in the sigmoid that our loss contains.
        return {
            "src": verdict.score,
            "cls": verdict.attributes.sigmoid() if method == "sagan" else verdict.attributes,
        }
    edited = network(image, attributes)
    return {"y": edited.image, "edited": edited.image, "mask": edited.mask, "amn": edited.raw}


def test_fill_is_unchanged() -> None:
    """Every case depends on these functions of names."""
    assert fill.named_tensor("x", (3,)).tolist() == NAMED
    assert fill.wave_tensor("x", (3,)).tolist() == pytest.approx(WAVE, rel=1e-6)
