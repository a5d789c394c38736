"""Import of the official weights of SMILE's image stage: what they tell, what is left out, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from support.smile_image_files import (
    CODE,
    make_image_facts,
    make_image_networks,
    make_official_image_state,
    write_official_image_file,
)
from support.smile_networks import make_facts, make_networks
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.layers import make_layout
from zoogan.testing.tensors import make_faces, make_noise, make_segmentation
from zoogan_smile.architecture import identify_network
from zoogan_smile.image_architecture import identify_image_network, name_image_tensor
from zoogan_smile.image_config import SmileImageConfig
from zoogan_smile.image_weights import IMAGE_NETWORKS, convert_smile_image, import_smile, import_smile_image
from zoogan_smile.weights import PARTS

GOLDEN = Path(__file__).parents[1] / "golden" / "smile-layout-256.json"


def rebuild(imported: Any) -> dict[str, nn.Module]:
    """Our networks as the importer describes them."""
    facts = Facts(image_size=imported.config["data"]["image_size"], **imported.facts)
    networks = {}
    for slot, state in imported.networks.items():
        config, network = IMAGE_NETWORKS[slot]
        networks[slot] = network(config(**imported.config[slot]), facts)
        networks[slot].load_state_dict(state)
    return networks


def paint(networks: dict[str, nn.Module], layout: Tensor, noise: list[Tensor]) -> Tensor:
    """Paint a layout in drawn codes."""
    generator: Any = networks["generator"]
    latent = networks["mapping"](make_noise(0, len(layout), layout.shape[1] * CODE))
    image: Tensor = generator(generator.repeat_latent(latent), noise, layout).image
    return image


def draw_layout(facts: Facts) -> Tensor:
    return make_layout(make_segmentation(0, 2, facts.image_size, len(facts.parts)), len(facts.parts))


@pytest.mark.parametrize("codes", ["below_full_size", "all", "none"])
@pytest.mark.parametrize(("encoder", "noise"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("parts", [19, 5])
def test_official_layout_round_trips_bit_by_bit(codes: str, encoder: bool, noise: bool, parts: int) -> None:
    facts = make_image_facts(parts=parts)
    networks = make_image_networks(0, facts, encoder=encoder, codes=codes, noise=noise)
    imported = convert_smile_image(make_official_image_state(networks), {"parts": facts.parts})
    config = imported.config
    assert config["data"]["image_size"] == 32 and imported.facts["parts"] == facts.parts
    assert "attributes" not in config["data"]
    assert (config["generator"]["codes"], config["generator"]["noise"]) == (codes, noise)
    assert config["region_encoder"]["use"] == ("smile-image" if encoder else "none")
    assert set(imported.networks) == set(networks) and imported.untrained == ("discriminator",)
    for slot, network in networks.items():
        fixed = dict(network.named_buffers())
        state = network.state_dict()
        assert set(state) == set(imported.networks[slot])
        for key in set(state) - set(fixed):
            assert torch.equal(imported.networks[slot][key], state[key]), key
    again, layout = rebuild(imported), draw_layout(facts)
    maps = [torch.randn(2, 1, *size) for size in networks["generator"].noise_sizes]  # type: ignore[union-attr]
    assert torch.equal(paint(again, layout, maps), paint(networks, layout, maps))
    if encoder:
        faces = make_faces(0, 2, 32)
        for one, other in zip(again["region_encoder"](faces, layout), networks["region_encoder"](faces, layout)):
            assert torch.equal(one, other)


def test_every_official_tensor_at_256_px_is_accounted_for() -> None:
    """The 752 official names and shapes: 731 weights, the filters and the noise maps; and ours have no more weights."""
    table = json.loads(GOLDEN.read_text())["SYN_g_ema"]
    state = {name: torch.empty(shape, device="meta") for name, shape in table["state_dict"]}
    dropped = {name for name in state if name.startswith("noises.") or name.endswith("kernel")}
    imported = convert_smile_image(state, {})
    published = SmileImageConfig()
    assert imported.config["data"]["image_size"] == 256
    facts = Facts(image_size=256, parts=PARTS)
    names, weights = set(), 0
    for slot, (config, network) in IMAGE_NETWORKS.items():
        assert config(**imported.config[slot]).model_dump() == getattr(published, slot).model_dump() | (
            {"halvings": 2} if slot == "region_encoder" else {}
        )
        with torch.device("meta"):
            ours = network(config(**imported.config[slot]), facts)
        weights += sum(parameter.numel() for parameter in ours.parameters())
        for key, parameter in ours.named_parameters():
            name = name_image_tensor(slot, key)
            official = [name.replace("fc_mu.", f"fc_mu.{k}.") for k in range(19)] if ".fc_mu." in name else [name]
            assert parameter.numel() == sum(state[each].numel() for each in official)
            assert not names & set(official)
            names |= set(official)
    assert len(state) == 752 and names | dropped == set(state) and not names & dropped
    assert weights == table["param_count"] == 42_235_054


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convs.1.activate.bias", "no 'convs.1.activate.bias'"),
        ("style.2.weight", "unknown: 'style.2.bias'"),
        ("encoder.model.2.0.weight", "no 'encoder.model.2.0.weight'"),
        ("conv1.conv.fc_mu.3.bias", "no 'conv1.conv.fc_mu.3.bias'"),
        ("to_rgbs.0.conv.style_gamma.0.weight", "no 'to_rgbs.0.conv.style_gamma.0.weight'"),
    ],
)
def test_missing_tensor_is_named(name: str, expected: str) -> None:
    state = make_official_image_state(make_image_networks(0, make_image_facts()))
    del state[name]
    with pytest.raises(ConfigError, match=expected):
        convert_smile_image(state, {})


def test_unexpected_tensors_and_filters_are_refused() -> None:
    state = make_official_image_state(make_image_networks(0, make_image_facts()))
    for name in ("extra.weight", "conv1.extra", "encoder.model.9.bias", "style.9.extra", "conv1.conv.fc_mu.19.bias"):
        with pytest.raises(ConfigError, match=f"unknown: '{name}'"):
            convert_smile_image(state | {name: torch.zeros(2)}, {})
    with pytest.raises(ConfigError, match="is not that of"):
        convert_smile_image(state | {"input.1.0.kernel": torch.ones(4, 4)}, {})
    with pytest.raises(ConfigError, match="disagree about the numbers in a code"):
        convert_smile_image(state | {f"style.{n}.weight": torch.zeros(38, 38) for n in (1, 2)}, {})
    with pytest.raises(ConfigError, match="the weights know 19 parts, but 5 are named"):
        convert_smile_image(state, {"parts": PARTS[:5]})
    with pytest.raises(ConfigError, match="image_size=34"):
        convert_smile_image(state, {"image_size": 34})
    assert convert_smile_image(state, {"image_size": 64}).config["data"]["image_size"] == 64


def test_label_set_in_another_order_permutes_parts() -> None:
    facts, order = make_image_facts(), list(reversed(range(19)))
    networks = make_image_networks(0, facts, noise=False)
    imported = convert_smile_image(make_official_image_state(networks), {"parts": [PARTS[k] for k in order]})
    layout, again = draw_layout(facts), rebuild(imported)
    torch.testing.assert_close(paint(again, layout[:, order], []), paint(networks, layout, []))
    faces = make_faces(0, 2, 32)
    codes = networks["region_encoder"](faces, layout).codes
    torch.testing.assert_close(again["region_encoder"](faces, layout[:, order]).codes, codes[:, order])


def test_files_of_both_stages_are_told_apart(tmp_path: Path) -> None:
    image = make_official_image_state(make_image_networks(0, make_image_facts()))
    for content in (image, {"g_ema": image, "args": 3}):
        assert identify_image_network(content) == "generator" and identify_network(content) is None
    for slot, network in make_networks(0, make_facts(32)).items():
        state = network.state_dict()
        assert identify_image_network(state) is None, slot
    assert identify_image_network({"g_ema": {"conv1.weight": torch.zeros(2)}}) is None


def test_file_becomes_a_config_of_either_method(tmp_path: Path) -> None:
    networks = make_image_networks(0, make_image_facts())
    file = write_official_image_file(tmp_path / "smileSYN_32.pth", networks)
    bare = tmp_path / "bare.pth"
    torch.save(make_official_image_state(networks), bare)
    alone, whole, same = import_smile_image([file], {}), import_smile([file], {}), import_smile_image([bare], {})
    assert "painted_parts" in whole.config and "painted_parts" not in alone.config
    assert alone.game["mean_latent"].shape == (19 * CODE,) and bool(alone.game["mean_latent"].any())
    for slot, state in alone.networks.items():
        assert all(torch.equal(value, same.networks[slot][key]) for key, value in state.items())
    with pytest.raises(ConfigError, match="a second generator"):
        import_smile_image([file, bare], {})
    torch.save({"weight": torch.zeros(2)}, bare)
    with pytest.raises(ConfigError, match="affromero/SMILE"):
        import_smile_image([bare], {})
