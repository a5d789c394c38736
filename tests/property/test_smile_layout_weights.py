"""Import of the official weights of SMILE's layout stage: what they tell, what is left out, and what does not fit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

import zoogan.builtin
import zoogan_smile
from support.smile_networks import LATENT, NARROW, STYLE, make_domains, make_facts, make_layouts, make_networks
from zoogan.config.registry import Registry
from zoogan.data.label_sets import load_label_set
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.plugins.host import PluginHost
from zoogan.testing.strategies import seeds
from zoogan.testing.tensors import make_noise
from zoogan.training.importing import import_weights
from zoogan_smile.networks import SmileDiscriminator
from zoogan_smile.weights import (
    ATTRIBUTES,
    NETWORKS,
    PARTS,
    convert_smile_layout,
    get_official_head,
    get_official_name,
    import_smile_layout,
)

LETTERS = {"generator": "G", "mapping": "F", "style_encoder": "S", "discriminator": "D"}


def official_layout(slot: str, network: nn.Module, attributes: tuple[str, ...] = ATTRIBUTES) -> dict[str, Tensor]:
    """Our weights under their official names; the discriminator's scores are a 1x1 convolution there, pairs swapped."""
    layout = {get_official_name(slot, key, network, attributes): value for key, value in network.state_dict().items()}
    if isinstance(network, SmileDiscriminator):
        last = f"main.{network.trunk.halvings + 4}"
        order = [get_official_head(head, attributes) for head in range(2 * len(attributes))]
        layout[f"{last}.weight"] = layout[f"{last}.weight"][order, :, None, None]
        layout[f"{last}.bias"] = layout[f"{last}.bias"][order]
    return layout


def official_files(
    folder: Path, networks: dict[str, nn.Module], attributes: tuple[str, ...] = ATTRIBUTES
) -> list[Path]:
    """Our networks saved as the official training saves them, a file each."""
    paths = []
    for slot, network in networks.items():
        paths.append(folder / f"smileSEM_{LETTERS[slot]}_ema.pth")
        torch.save(official_layout(slot, network, attributes), paths[-1])
    return paths


def rebuilt(imported: Any) -> dict[str, nn.Module]:
    """Our networks as the importer describes them."""
    data = imported.config["data"]
    parts = imported.facts["parts"]
    facts = Facts(image_size=data["image_size"], channels=len(parts), attributes=data["attributes"], **imported.facts)
    networks = {}
    for slot, state in imported.networks.items():
        config, network = NETWORKS[slot]
        networks[slot] = network(config(**imported.config[slot]), facts)
        networks[slot].load_state_dict(state, strict=True)
    return networks


@pytest.mark.slow
@given(
    seed=seeds, size=st.sampled_from([32, 64]), attributes=st.integers(1, 6), narrow=st.sampled_from([None, NARROW]),
    modulation=st.sampled_from(["delta", "adain"]), high_pass=st.sampled_from([0.0, 1.0]), noise=st.booleans(),
)  # fmt: skip
def test_official_layout_round_trips_bit_by_bit(
    seed: int, size: int, attributes: int, narrow: int | None, modulation: str, high_pass: float, noise: bool
) -> None:
    facts = make_facts(size, attributes)
    networks = make_networks(seed, facts, narrow, modulation=modulation, high_pass=high_pass, noise=noise)
    states = {slot: official_layout(slot, network, facts.attributes) for slot, network in networks.items()}
    result = convert_smile_layout(states, {"attributes": facts.attributes})
    assert result.config["data"]["image_size"] == size and result.facts["parts"] == PARTS
    generator = result.config["generator"]
    assert (generator["modulation"], generator["high_pass"]) == (modulation, high_pass)
    assert generator["halvings"] == size.bit_length() - (4 if high_pass else 5)
    is_narrow = narrow is not None and attributes > 1
    assert (generator["style_dim"], generator["narrow_dim"]) == (STYLE, narrow if is_narrow else None)
    assert result.config["weights"]["style"] == (attributes if is_narrow else 1)
    for slot, network in networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(result.networks[slot][key], value), f"{slot}.{key}"
    again = rebuilt(result)
    layout, domain = make_layouts(seed, 2, facts), make_domains(seed, 2, facts)
    style = networks["mapping"](make_noise(seed, 2, LATENT), domain)
    masks = (torch.ones(2, 1, 8, 8),) * 2 if high_pass else None
    assert torch.equal(again["mapping"](make_noise(seed, 2, LATENT), domain), style)
    assert torch.equal(again["generator"](layout, style, masks), networks["generator"](layout, style, masks))
    for slot in ("style_encoder", "discriminator"):
        assert torch.equal(again[slot](layout, domain), networks[slot](layout, domain))


def test_pairs_that_show_first_are_swapped() -> None:
    """Male and Bald have the domain with it first; heads of F and S and scores of D change places, others do not."""
    facts = make_facts(32)
    networks = make_networks(0, facts)
    states = {slot: network.state_dict() for slot, network in networks.items()}
    heads = {
        "mapping": lambda state, head: state[f"unshared.{head}.6.bias"],
        "style_encoder": lambda state, head: state[f"unshared.{head}.bias"],
        "discriminator": lambda state, head: state["main.7.bias"][head],
    }
    ours = {
        "mapping": lambda state, head: state[f"body.heads.{head}.6.bias"],
        "style_encoder": lambda state, head: state[f"heads.{head}.bias"],
        "discriminator": lambda state, head: state["score.bias"][head],
    }
    for slot, read in heads.items():
        official = official_layout(slot, networks[slot])
        for head, there in enumerate([1, 0, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]):
            assert torch.equal(read(official, there), ours[slot](states[slot], head)), (slot, head)


def test_parts_are_those_of_the_label_set() -> None:
    assert load_label_set("celebamask-19").names == PARTS


def test_label_set_in_another_order_permutes_channels() -> None:
    facts = make_facts(32)
    networks = make_networks(0, facts)
    states = {slot: official_layout(slot, network) for slot, network in networks.items()}
    order = list(reversed(range(19)))
    result = convert_smile_layout(states, {"parts": [PARTS[k] for k in order]})
    again = rebuilt(result)
    layout, domain = make_layouts(0, 2, facts), make_domains(0, 2, facts)
    assert result.facts["parts"] == tuple(PARTS[k] for k in order)
    style = networks["style_encoder"](layout, domain)
    torch.testing.assert_close(again["style_encoder"](layout[:, order], domain), style)
    torch.testing.assert_close(
        again["generator"](layout[:, order], style), networks["generator"](layout, style)[:, order]
    )
    torch.testing.assert_close(
        again["discriminator"](layout[:, order], domain), networks["discriminator"](layout, domain)
    )
    adain = make_networks(0, facts, modulation="adain")["generator"]
    result = convert_smile_layout({"generator": official_layout("generator", adain), **{
        slot: states[slot] for slot in ("mapping", "style_encoder")
    }}, {"parts": [PARTS[k] for k in order]})  # fmt: skip
    torch.testing.assert_close(rebuilt(result)["generator"](layout[:, order], style), adain(layout, style)[:, order])


def test_other_parts_keep_their_order() -> None:
    """A training of its own has its own classes."""
    facts = make_facts(32, parts=5)
    states = {slot: official_layout(slot, network) for slot, network in make_networks(0, facts).items()}
    names = ("a", "b", "c", "d", "e")
    result = convert_smile_layout(states, {"parts": names})
    assert result.facts == {"parts": names}
    assert torch.equal(result.networks["generator"]["encoder.stem.weight"], states["generator"]["from_rgb.weight"])


def test_leftovers_and_unused_shortcuts_are_dropped() -> None:
    networks = make_networks(0, make_facts(32), modulation="adain", high_pass=2.0)
    states = {slot: official_layout(slot, network) for slot, network in networks.items()}
    kernel = torch.full((3, 3), -0.5)
    kernel[1, 1] = 4.0
    states["generator"] |= {
        "hpf.filter": kernel, "decode.2.conv1x1.weight": torch.zeros(4, 4, 1, 1), "noises.noise_0": torch.zeros(1),
        "decode.0.blur.kernel": torch.zeros(4, 4),
    }  # fmt: skip
    result = convert_smile_layout(states, {})
    assert result.config["generator"]["high_pass"] == 2.0
    assert any("16 weights of decoder shortcuts" in note for note in result.notes)


@pytest.mark.parametrize(
    ("modulation", "high_pass", "narrow"),
    [("delta", 1.0, 16), ("delta", 0.0, 16), ("delta", 1.0, None), ("adain", 1.0, None), ("adain", 0.0, None)],
)
@pytest.mark.parametrize("size", [64, 256, 512])
def test_generator_alone_tells_its_architecture(
    modulation: str, high_pass: float, narrow: int | None, size: int
) -> None:
    """At published widths, whose first tells the size; nothing is computed."""
    facts = make_facts(size)
    settings = {"modulation": modulation, "high_pass": high_pass, "width": 2**13 // size, "max_width": 512}
    with torch.device("meta"):
        config = {"style_dim": 64, "narrow_dim": narrow, **settings}
        network = NETWORKS["generator"][1](NETWORKS["generator"][0](**config), facts)
    result = convert_smile_layout({"generator": official_layout("generator", network)}, {})
    assert result.config["data"]["image_size"] == size
    assert {key: result.config["generator"][key] for key in config} == config


def make_zoo() -> PluginHost:
    """The core and SMILE."""
    zoo, registry = PluginHost(), Registry()
    for module in (zoogan.builtin, zoogan_smile):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    zoo.registry = registry
    return zoo


def test_import_writes_a_run_without_discriminator(tmp_path: Path) -> None:
    facts = make_facts(32)
    networks = make_networks(0, facts, high_pass=1.0)
    files = official_files(tmp_path, {slot: network for slot, network in networks.items() if slot != "discriminator"})
    shuffled = [file.rename(tmp_path / f"{k}.pth") for k, file in enumerate(reversed(files))]  # content tells
    imported = import_weights("smile-layout", shuffled, out=tmp_path / "run", zoo=make_zoo())
    notes = "\n".join(imported.notes)
    assert "starts untrained; it reads the attributes off layouts, so edits need those of each face" in notes
    assert "heat_maps.use=landmarks --set heat_maps.file=FILE" in notes
    assert "heat_maps.zeroed=0,1,2,3,4,5,6,7,25,26,27,28,29,30,31,32" in notes
    facts_file = json.loads((tmp_path / "run" / "facts.json").read_text())
    assert tuple(facts_file["attributes"]) == ATTRIBUTES and tuple(facts_file["parts"]) == PARTS
    assert facts_file["transparent"] == ["eye_g", "ear_r"] and facts_file["image_size"] == 32
    model = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert model["untrained"] == ["discriminator"]
    for slot in ("generator", "mapping", "style_encoder"):
        saved = load_file(tmp_path / "run" / "model" / f"{slot}.safetensors")
        assert all(torch.equal(saved[key], value) for key, value in networks[slot].state_dict().items())
    whole = import_weights("smile-layout", official_files(tmp_path, networks), out=tmp_path / "all", zoo=make_zoo())
    assert not any("untrained" in note for note in whole.notes)


def test_folder_holds_one_file_of_each_network(tmp_path: Path) -> None:
    files = official_files(tmp_path, make_networks(0, make_facts(32)))
    assert set(import_smile_layout([tmp_path], {}).networks) == set(LETTERS)
    (tmp_path / "060_000001_G_ema.pth").write_bytes(files[0].read_bytes())
    with pytest.raises(ConfigError, match="a second generator; give one file of each network"):
        import_smile_layout([tmp_path], {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no weights of affromero/SMILE among the files"):
        import_smile_layout([tmp_path / "empty"], {})


def test_mistakes_are_reported(tmp_path: Path) -> None:
    facts = make_facts(32)
    files = official_files(tmp_path, make_networks(0, facts))
    states = {slot: torch.load(file, weights_only=True) for slot, file in zip(LETTERS, files, strict=True)}

    def refused(sentence: str, settings: dict[str, Any] | None = None, **changed: Any) -> None:
        with pytest.raises(ConfigError, match=sentence):
            convert_smile_layout(states | changed, settings or {})

    with pytest.raises(ConfigError, match="a second generator; give one file of each network"):
        import_smile_layout([files[0], files[0]], {})
    odd = {"generator": states["generator"], "mapping_network": states["mapping"]}
    torch.save(odd, tmp_path / "nets_ema.ckpt")
    with pytest.raises(ConfigError, match=r"nets_ema\.ckpt: expected a bare state_dict"):
        import_smile_layout([tmp_path / "nets_ema.ckpt"], {})
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="none of the networks of the layout stage of affromero/SMILE"):
        import_smile_layout([tmp_path / "other.pth"], {})
    with pytest.raises(ConfigError, match="no file holds the mapping; name every file"):
        import_weights("smile-layout", [files[0], files[2]], out=tmp_path / "run", zoo=make_zoo())
    lacking = {key: value for key, value in states["mapping"].items() if not key.startswith("unshared.3.2")}
    refused(r"no 'unshared\.3\.2\.weight', 'unshared\.3\.2\.bias'$", mapping=lacking)
    refused(r"unknown: 'odd', 'even'$", generator=states["generator"] | {"odd": torch.zeros(1), "even": torch.zeros(1)})
    wrong = {"decode.1.conv2.weight": torch.zeros(4, 3, 3, 3), "decode.1.conv1.weight": torch.zeros(4, 5, 3, 3)}
    refused(
        r"'decode\.1\.conv1\.weight' has the shape \(4, 5, 3, 3\).*'decode\.1\.conv2\.weight' has the shape",
        generator=states["generator"] | wrong,
    )
    small = official_layout("style_encoder", make_networks(0, make_facts(64))["style_encoder"])
    refused("about the image size: the style encoder says 64, the discriminator says 32", style_encoder=small)
    two = make_networks(0, make_facts(32, attributes=2))
    refused(
        "about the number of attributes: the mapping says 2, the style encoder says 6",
        mapping=official_layout("mapping", two["mapping"], ATTRIBUTES[:2]),
    )
    whole = make_networks(0, facts, narrow=None)
    refused("about the numbers of a face's styles", mapping=official_layout("mapping", whole["mapping"]))
    refused("know 6 attributes, but 2 are named", {"attributes": ["Male", "Bald"]})
    refused("fixed order, whatever attributes.*--set data.attributes=Male,Eyeglasses", {
        "attributes": sorted(ATTRIBUTES)
    })  # fmt: skip
    refused("know 19 parts, but 2 are named", {"parts": ["a", "b"]})
    few = {slot: official_layout(slot, network, ATTRIBUTES[:2]) for slot, network in two.items()}
    with pytest.raises(ConfigError, match="know 2 attributes, but none are named"):
        convert_smile_layout(few, {})
    single = {key: value for key, value in states["mapping"].items() if not key.startswith("unshared.11")}
    refused("the mapping has 11 heads, and a pair of domains has two", mapping=single)
    with pytest.raises(ConfigError, match=r"3 channels, so for RGB images.*zoo import stargan-v2"):
        convert_smile_layout({"style_encoder": official_layout(
            "style_encoder", make_networks(0, make_facts(32, parts=3))["style_encoder"])}, {})  # fmt: skip
    ambiguous = official_layout("generator", make_networks(0, facts, modulation="adain")["generator"])
    with pytest.raises(ConfigError, match=r"does not tell whether heat maps keep details.*give the style encoder too"):
        convert_smile_layout({"generator": ambiguous}, {"style_dim": STYLE, "small_dim": NARROW})
    with pytest.raises(ConfigError, match="reads 21 numbers as the styles of 6 attributes; expected 384, or 144"):
        convert_smile_layout({"generator": states["generator"]}, {})


def test_pickles_with_code_are_not_executed(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "smileSEM_G_ema.pth").write_bytes(pickle.dumps({"from_rgb.weight": Code()}))
    with pytest.raises(ConfigError, match="read without executing code"):
        import_smile_layout([tmp_path / "smileSEM_G_ema.pth"], {})
    assert not (tmp_path / "executed").exists()
