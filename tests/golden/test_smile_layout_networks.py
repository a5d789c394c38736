"""Every network of SMILE's layout stage computes what the official one does on the same weights, by the importer."""

from __future__ import annotations

import layout_cases
import pytest
import torch
from official import Case

from zoogan.config.registry import Registry
from zoogan.layers import select_heads
from zoogan_smile.networks import SmileDiscriminator, SmileGenerator


@pytest.mark.without_onednn
@torch.no_grad()
def test_network(layout_network_case: Case, registry: Registry) -> None:
    case, says = layout_network_case, layout_network_case.says
    letter, inputs, config = layout_cases.letter_of(case), dict(says["inputs"]), says["config"]
    slot = layout_cases.SLOTS[letter]
    result = layout_cases.imported(says, {letter: says["table"]})
    network = layout_cases.built(result, slot, registry)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == says["param_count"] - (layout_cases.count_unused(says["table"], result) if letter == "G" else 0)
    if letter == "F":
        latent = layout_cases.tensor(inputs.pop("z"))
        found = {"style": network(latent, layout_cases.pairs(inputs.pop("y"), len(latent)))}
    else:
        layout = layout_cases.layout(inputs.pop("x"))
    if isinstance(network, SmileGenerator):
        masks = None
        if config["FAN"]:
            masks = layout_cases.heat_maps(inputs.pop("fan"), len(layout), layout.shape[3])
        zeroed = "all MODResBlk noise strengths zeroed"
        assert inputs.pop("noise", zeroed).startswith(zeroed)
        content = network.encode(layout)
        logits = network.decode(content, layout_cases.tensor(inputs.pop("s")), masks)
        found = {"content": content.features, "logits": logits, "prob": logits.softmax(1)}
        assert bool(result.config["generator"]["high_pass"]) == config["FAN"]
        assert result.config["generator"]["modulation"] == ("delta" if config["MOD"] else "adain")
    elif letter != "F":
        domain = layout_cases.pairs(inputs.pop("y"), len(layout))
        found = {"style": network(layout, domain)}
    if isinstance(network, SmileDiscriminator):
        every = network.score(network.trunk(layout))
        shown = [layout_cases.SHOWN.get(name, 1) for name in result.config["data"]["attributes"]]
        heads = [2 * k + int(column == own) for k, own in enumerate(shown) for column in range(2)]
        assert torch.equal(select_heads(every, domain, network.styles), found["style"])
        found = {"all_logits": every[:, heads, None, None], "selected": found.pop("style").flatten()}
    assert not inputs, f"inputs that no rule reads: {list(inputs)}"
    assert set(found) == set(says["outputs"])
    for name, output in found.items():
        layout_cases.check_output(name, output, case)


@pytest.mark.parametrize("letter", layout_cases.SLOTS)
def test_keys_and_shapes(layout_keys_case: Case, letter: str, registry: Registry) -> None:
    """All names and shapes of the published models are taken, and ours are filled by them."""
    says, slot = layout_keys_case.says[f"SEM_{letter}"], layout_cases.SLOTS[letter]
    table = [[*row, 0.0, 0.0] for row in says["state_dict"]]
    state = {key: torch.empty(shape, device="meta") for key, shape in says["state_dict"]}
    result = layout_cases.convert_smile_layout({slot: state}, {})
    with torch.device("meta"):
        network = layout_cases.described(result, slot, registry)
    ours = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert {key: tensor.shape for key, tensor in result.networks[slot].items()} == ours
    unused = layout_cases.count_unused(table, result) if letter == "G" else 0
    assert sum(shape.numel() for shape in ours.values()) == says["param_count"] - unused


def test_whole_model_agrees(layout_keys_case: Case) -> None:
    """The networks together tell the image size, the attributes, the parts and the styles."""
    tables = {slot: layout_keys_case.says[f"SEM_{letter}"]["state_dict"] for letter, slot in layout_cases.SLOTS.items()}
    states = {slot: {key: torch.empty(shape, device="meta") for key, shape in table} for slot, table in tables.items()}
    result = layout_cases.convert_smile_layout(states, {})
    size = int(layout_keys_case.name.rpartition("-")[2])
    assert result.config["data"]["image_size"] == size
    assert result.config["data"]["attributes"] == list(layout_cases.SHOWN)
    assert len(result.facts["parts"]) == 19 and set(result.networks) == set(states)
    assert result.config["weights"]["style"] == 6.0
    for slot in ("generator", "mapping", "style_encoder"):
        styles = {name: result.config[slot][name] for name in ("style_dim", "narrow_dim", "wide")}
        assert styles == {"style_dim": 64, "narrow_dim": 16, "wide": ["Male"]}, slot
