"""Import of official StarGAN v2 weights: what they tell, what is left out, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import zoogan.builtin
import zoogan_stargan_v2
from support.stargan_v2_networks import STYLE, draw_domains, make_facts, make_networks
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.plugins.host import PluginHost
from zoogan.testing.strategies import make_faces, make_noise
from zoogan.training.importing import import_weights as write_run
from zoogan_stargan_v2.config import (
    StarganV2DiscriminatorConfig,
    StarganV2GeneratorConfig,
    StarganV2MappingConfig,
    StarganV2StyleEncoderConfig,
)
from zoogan_stargan_v2.networks import (
    StarganV2Discriminator,
    StarganV2Generator,
    StarganV2Mapping,
    StarganV2StyleEncoder,
)
from zoogan_stargan_v2.weights import SLOTS, convert_stargan_v2, get_official_name, import_stargan_v2

SIZE = 128
OFFICIAL = {slot: name for name, slot in SLOTS.items()}


def originals(k: int, high_pass: float) -> dict[str, nn.Module]:
    """Narrow networks with the first width that tells the image size."""
    torch.manual_seed(0)
    known = make_facts(SIZE, k)
    config = StarganV2GeneratorConfig(width=2**14 // SIZE, max_width=4, style_dim=STYLE, high_pass=high_pass)
    return {"generator": StarganV2Generator(config, known), **make_networks(1, SIZE, k)}


def official_layout(slot: str, network: nn.Module) -> dict[str, Tensor]:
    """Our weights under their official names; the discriminator's scores are a 1x1 convolution there."""
    state = network.state_dict()
    layout = {get_official_name(slot, key, network): value for key, value in state.items()}
    if isinstance(network, StarganV2Discriminator):
        last = f"main.{network.trunk.halvings + 4}.weight"
        layout[last] = layout[last][:, :, None, None]
    return layout


def official_file(path: Path, networks: dict[str, nn.Module], *, kernel: bool = True, prefix: str = "") -> Path:
    """Our networks saved in the official layout, unused shortcuts and all."""
    saved: dict[str, dict[str, Tensor]] = {}
    for slot, network in networks.items():
        layout = official_layout(slot, network)
        if isinstance(network, StarganV2Generator) and network.takes_masks:
            layout["decode.5.conv1x1.weight"] = torch.zeros(128, 4, 1, 1)
            if kernel:
                high_pass = network.decoder.high_pass
                assert high_pass is not None
                layout["hpf.filter"] = high_pass.kernel[0, 0] / high_pass.divisor
        saved[OFFICIAL[slot]] = {prefix + key: value for key, value in layout.items()}
    torch.save(saved, path)
    return path


def rebuilt(imported: Any, k: int) -> dict[str, nn.Module]:
    made = {
        "generator": (StarganV2GeneratorConfig, StarganV2Generator),
        "mapping": (StarganV2MappingConfig, StarganV2Mapping),
        "style_encoder": (StarganV2StyleEncoderConfig, StarganV2StyleEncoder),
        "discriminator": (StarganV2DiscriminatorConfig, StarganV2Discriminator),
    }  # fmt: skip
    networks: dict[str, nn.Module] = {}
    for slot, state in imported.networks.items():
        config, network = made[slot]
        networks[slot] = network(config(**imported.config[slot]), Facts(image_size=SIZE, **imported.facts))  # type: ignore
        networks[slot].load_state_dict(state, strict=True)
    return networks


@pytest.mark.slow
@pytest.mark.parametrize(("k", "high_pass", "prefix"), [(2, 1.0, "module."), (3, 0.0, ""), (2, 2.0, ""), (5, 0.0, "")])
def test_import_restores_networks(tmp_path: Path, k: int, high_pass: float, prefix: str) -> None:
    networks = originals(k, high_pass)
    path = official_file(tmp_path / "000001_nets.ckpt", networks, prefix=prefix)
    names = {} if k < 5 else {"domains": list("vwxyz")}
    result = import_stargan_v2([path], names)
    assert result.config["data"]["image_size"] == SIZE
    assert result.config["generator"]["high_pass"] == high_pass
    told = {2: ("female", "male"), 3: ("cat", "dog", "wild"), 5: tuple("vwxyz")}[k]
    assert result.facts == {"domains": told, "exclusive": (told,)}
    assert result.config["data"]["attributes"] == list(told)
    assert any("in training" in note for note in result.notes)
    assert any(f"{512:,} weights" in note for note in result.notes) is bool(high_pass)
    again, image, domain = rebuilt(result, k), make_faces(0, 2, SIZE), draw_domains(0, 2, k)
    style = networks["mapping"](make_noise(0, 2, 3), domain)
    masks = (torch.ones(2, 1, 8, 8),) * 2 if high_pass else None
    assert torch.equal(again["mapping"](make_noise(0, 2, 3), domain), style)
    assert torch.equal(again["generator"](image, style, masks), networks["generator"](image, style, masks))
    for slot in ("style_encoder", "discriminator"):
        assert torch.equal(again[slot](image, domain), networks[slot](image, domain))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "high_pass"), [(16, 1.0), (32, 0.0), (32, 1.0), (256, 0.0), (256, 1.0), (1024, 0.0), (1024, 1.0)]
)
def test_import_infers_architecture_from_shapes(size: int, high_pass: float) -> None:
    """Of networks of the published widths, with 4 domains; nothing is computed."""
    known = make_facts(size, 4)
    with torch.device("meta"):
        networks = {
            "generator": StarganV2Generator(StarganV2GeneratorConfig(high_pass=high_pass), known),
            "mapping": StarganV2Mapping(StarganV2MappingConfig(), known),
            "style_encoder": StarganV2StyleEncoder(StarganV2StyleEncoderConfig(), known),
            "discriminator": StarganV2Discriminator(StarganV2DiscriminatorConfig(), known),
        }
    states = {slot: official_layout(slot, network) for slot, network in networks.items()}
    result = convert_stargan_v2(states, {"domains": known.domains})
    assert result.config["data"]["image_size"] == size and result.config["generator"]["high_pass"] == high_pass
    for slot, network in networks.items():
        wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
        assert {key: tensor.shape for key, tensor in result.networks[slot].items()} == wanted


@pytest.mark.slow
def test_import_prefers_averages_without_discriminator(tmp_path: Path) -> None:
    networks = originals(2, 1.0)
    averaged = {slot: network for slot, network in originals(2, 1.0).items() if slot != "discriminator"}
    with torch.no_grad():
        next(averaged["mapping"].parameters()).add_(1)
    alone = official_file(tmp_path / "000010_nets_ema.ckpt", averaged, kernel=False)
    result = import_stargan_v2([alone], {})
    assert set(result.networks) == set(averaged) and result.untrained == ("discriminator",)
    assert any("filter is not in the file; its divisor is taken to be 1" in note for note in result.notes)
    assert import_stargan_v2([alone], {"w_hpf": 2}).config["generator"]["high_pass"] == 2
    training = official_file(tmp_path / "000010_nets.ckpt", networks)
    for files in ([alone, training], [training, alone], [tmp_path]):
        both = import_stargan_v2(files, {})
        assert set(both.networks) == set(networks)
        assert torch.equal(both.networks["mapping"]["body.shared.0.weight"], averaged["mapping"].body.shared[0].weight)  # type: ignore
        assert not any("in training" in note for note in both.notes)
        assert set(both.raw) == set(averaged)  # a training goes on with these
        assert torch.equal(both.raw["mapping"]["body.shared.0.weight"], networks["mapping"].body.shared[0].weight)  # type: ignore


def test_import_takes_heat_maps_from_file_or_none(tmp_path: Path) -> None:
    averaged = {slot: network for slot, network in originals(2, 1.0).items() if slot != "discriminator"}
    path = official_file(tmp_path / "000010_nets_ema.ckpt", averaged)
    without = import_stargan_v2([path], {})
    assert without.config["heat_maps"]["use"] == "none" and any("heat_maps.file" in note for note in without.notes)
    torch.save(torch.load(path, weights_only=True) | {"fan": {"conv1.weight": torch.zeros(1)}}, path)
    result = import_stargan_v2([path], {})
    assert set(result.networks) == set(averaged)
    assert result.config["heat_maps"] == {"use": "landmarks", "file": str(path)}


def test_released_file_imports_without_discriminator(tmp_path: Path) -> None:
    """Nobody published discriminators."""
    registry = Registry()
    for module in (zoogan.builtin, zoogan_stargan_v2):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    zoo = PluginHost()
    zoo.registry = registry
    averaged = {slot: network for slot, network in originals(3, 0.0).items() if slot != "discriminator"}
    path, out = official_file(tmp_path / "100000_nets_ema.ckpt", averaged), tmp_path / "run"
    imported = write_run("stargan-v2", path, out=out, zoo=zoo)
    assert not imported.run.editor.can_sample
    assert any("the discriminator is not in the files and starts untrained" in note for note in imported.notes)
    assert '"cat"' in (out / "facts.json").read_text()
    saved = load_file(out / "model" / "generator.safetensors")
    assert all(torch.equal(saved[key], value) for key, value in averaged["generator"].state_dict().items())


def test_import_reports_mismatches(tmp_path: Path) -> None:
    networks = originals(3, 0.0)
    path = official_file(tmp_path / "000001_nets.ckpt", networks)
    with pytest.raises(ConfigError, match="know 3 domains, but 2 are named"):
        import_stargan_v2([path], {"domains": ["a", "b"]})
    with pytest.raises(ConfigError, match="know 4 domains, but none are named"):
        import_stargan_v2([official_file(tmp_path / "a.ckpt", make_networks(0, 32, 4))], {})
    with pytest.raises(ConfigError, match="a second file of networks in training"):
        import_stargan_v2([path, path], {})
    with pytest.raises(ConfigError, match="none of the networks of clovaai/stargan-v2; it holds optimizer"):
        torch.save({"optimizer": {"a": torch.zeros(1)}}, tmp_path / "b.ckpt")
        import_stargan_v2([tmp_path / "b.ckpt"], {})
    with pytest.raises(ConfigError, match="expected several networks"):
        torch.save({"a": torch.zeros(1)}, tmp_path / "c.ckpt")
        import_stargan_v2([tmp_path / "c.ckpt"], {})
    with pytest.raises(ConfigError, match="no weights of"):
        import_stargan_v2([], {})
    states = {SLOTS[name]: state for name, state in torch.load(path, weights_only=True).items()}
    with pytest.raises(ConfigError, match=r"about the number of domains: the mapping says 4, the discriminator says 3"):
        other = torch.load(tmp_path / "a.ckpt", weights_only=True)["mapping_network"]
        convert_stargan_v2({"mapping": other, "discriminator": states["discriminator"]}, {})
    with pytest.raises(ConfigError, match=r"about the image size: the generator says 128, the discriminator says 32"):
        small = torch.load(tmp_path / "a.ckpt", weights_only=True)["discriminator"]
        convert_stargan_v2({"generator": states["generator"], "discriminator": small}, {})
    lacking = dict(states["generator"])
    del lacking["decode.1.conv2.bias"]
    with pytest.raises(ConfigError, match=r"no 'decode\.1\.conv2\.bias'"):
        convert_stargan_v2({"generator": lacking}, {})
    with pytest.raises(ConfigError, match=r"unknown: 'odd'"):
        convert_stargan_v2({"generator": {**states["generator"], "odd": torch.zeros(1)}}, {})
    with pytest.raises(ConfigError, match="5 or 6 encoding blocks, but there are 4"):
        convert_stargan_v2(
            {"generator": {k: v for k, v in states["generator"].items() if not k.startswith("encode.4")}}, {}
        )
