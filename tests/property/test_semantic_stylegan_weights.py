"""Import of official SemanticStyleGAN checkpoints: whatever a file holds, and what does not fit."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from hypothesis import given
from torch import Tensor, nn
from typer.testing import CliRunner

import zoogan.builtin
import zoogan.cli.import_ as import_verb
import zoogan_semantic_stylegan
from support.semantic_networks import STYLE, NetworkSizes, make_latents, network_sizes
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.importing.official import Imported
from zoogan.layers.mapping import PixelNormMapping
from zoogan.plugins.host import PluginHost
from zoogan.testing.tensors import make_faces, make_noise
from zoogan_semantic_stylegan.config import (
    SemanticStyleGANDiscriminatorConfig,
    SemanticStyleGANGeneratorConfig,
    SemanticStyleGANMappingConfig,
)
from zoogan_semantic_stylegan.layout import find_origins, identify_network
from zoogan_semantic_stylegan.networks import SemanticStyleGANDiscriminator, SemanticStyleGANGenerator
from zoogan_semantic_stylegan.weights import PARTS, convert_semantic_stylegan, import_semantic_stylegan

Nets = dict[str, nn.Module]
State = dict[str, Tensor]
LAYERS = 2  # of the mapping
SMALL = NetworkSizes(shared=1, shape=2, transparent=(1, 2))


def networks(small: NetworkSizes = SMALL, seed: int = 0) -> Nets:
    """Narrow networks with nothing at its first value."""
    torch.manual_seed(seed)
    mapping = PixelNormMapping(
        SemanticStyleGANMappingConfig(style_dim=STYLE, layers=LAYERS), small.make_facts()
    ).double()
    return {
        "mapping": mapping,
        "generator": small.make_generator(seed),
        "discriminator": small.make_discriminator(seed),
    }


def official_shape(name: str, value: Tensor) -> Tensor:
    """A tensor with the axes of length 1 that the official layout has."""
    if re.search(r"linears\.\d+\.conv\.weight$", name):
        return value[None, :, :, None, None]
    if name == "pos_embed.weights" or re.search(r"(to_(feat|depth|rgbs\.\d+|segs\.\d+)\.conv\.weight)$", name):
        return value.reshape(-1, value.shape[-1], 1, 1)
    if re.search(r"(to_(feat|depth|rgbs\.\d+|segs\.\d+)\.(conv\.modulation|bias)|convs\.\d+\.modulation)$", name):
        return value.reshape(1, -1, 1, 1)
    return value


def official(made: Nets, small: NetworkSizes = SMALL) -> dict[str, State]:
    """Our networks as official state_dicts, `generator` (mapping included) and `discriminator`, filters and all."""
    states: dict[str, State] = {"generator": {}, "discriminator": {}}
    numbers = {"the parts": small.parts, "the layers of a part": small.layers}
    for slot, network in made.items():
        state = network.state_dict()
        for key, origin in find_origins(slot, list(state), numbers).items():
            each = state[key].flatten(0, origin.axes - 1) if origin.axes else state[key][None]
            assert len(each) == len(origin.names)
            states["discriminator" if slot == "discriminator" else "generator"] |= {
                name: official_shape(name, value) for name, value in zip(origin.names, each)
            }
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64
    ends = [f"local_nets.{k}.{end}" for k in range(small.parts) for end in ("to_feat", "to_depth")[: 1 + (k > 0)]]
    states["generator"] |= {f"{end}.upsample.kernel": 4 * kernel for end in ends}
    states["generator"] |= {"render_net.convs.0.blur.kernel": 4 * kernel}
    states["discriminator"] |= {"convs_seg.1.conv2.0.kernel": kernel}
    return states


def arguments(small: NetworkSizes = SMALL, **more: Any) -> dict[str, Any]:
    """What args says of these networks."""
    return {
        "size": small.size, "latent": STYLE, "n_mlp": LAYERS, "seg_dim": small.parts, "local_layers": small.layers,
        "local_channel": small.width, "base_layers": small.shared, "depth_layers": small.shape, "min_feat_size": 4,
        "coarse_size": small.coarse, "coarse_channel": small.features, "residual_refine": small.refine,
        "detach_texture": small.detach, "transparent_dims": list(small.transparent),
    } | more  # fmt: skip


NAMES = {"parts": SMALL.make_facts().parts}


def rebuilt(result: Imported) -> Nets:
    """The networks that an importer describes."""
    facts, made = Facts(image_size=result.config["data"]["image_size"], **result.facts), {}
    kinds: dict[str, Any] = {
        "generator": (SemanticStyleGANGeneratorConfig, SemanticStyleGANGenerator),
        "mapping": (SemanticStyleGANMappingConfig, PixelNormMapping),
        "discriminator": (SemanticStyleGANDiscriminatorConfig, SemanticStyleGANDiscriminator),
    }  # fmt: skip
    for slot, state in result.networks.items():
        config, network = kinds[slot]
        made[slot] = network(config(**result.config[slot]), facts).double()
        made[slot].load_state_dict(state, strict=True)
    return made


def assert_same(found: Nets, wanted: Nets, small: NetworkSizes = SMALL) -> None:
    """The same bits out of the same in."""
    z, image = make_noise(0, 2, STYLE).double(), make_faces(2, 3, small.size).double()
    assert torch.equal(found["mapping"](z), wanted["mapping"](z))
    rows = make_latents(1, 2, wanted["generator"])  # type: ignore[arg-type]
    for one, other in zip(found["generator"](rows), wanted["generator"](rows)):
        assert torch.equal(one, other)
    if "discriminator" in found:
        layout = make_noise(3, 3, small.parts, small.size, small.size).double()
        assert torch.equal(found["discriminator"](image, layout), wanted["discriminator"](image, layout))


@pytest.mark.slow
@given(small=network_sizes().filter(lambda small: small.noise))
def test_import_restores_any_architecture(small: NetworkSizes) -> None:
    """Official weights have noise always; with it they tell the sizes."""
    made = networks(small)
    settings = arguments(small, parts=small.make_facts().parts)
    result = convert_semantic_stylegan(official(made, small), settings, torch.zeros(STYLE))
    assert_same(rebuilt(result), made, small)
    generator = SemanticStyleGANGeneratorConfig(**result.config["generator"])
    assert generator.model_copy(update={"channel_multiplier": 0, "max_width": 0}) == small.make_config().model_copy(
        update={"channel_multiplier": 0, "max_width": 0}
    )
    assert result.config["data"]["image_size"] == small.size and not result.notes
    assert result.facts == {"parts": small.make_facts().parts, "transparent": small.make_facts().transparent}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["checkpoint", "tuned", "bare", "parallel"])
def test_import_reads_every_file_layout(tmp_path: Path, how: str) -> None:
    made, other = networks(), official(networks(seed=1))
    states = official(made)
    assert (identify_network(states["generator"]), identify_network(states["discriminator"])) == ("g_ema", "d")
    args = argparse.Namespace(**arguments(), wandb=False, ckpt=None)
    files = [tmp_path / "140000.pt"]
    settings: dict[str, Any] = dict(NAMES)
    if how == "checkpoint":
        optimizer = {"state": {0: {"step": 1}}}
        content = {"g": other["generator"], "d": states["discriminator"], "g_ema": states["generator"]}
        torch.save(content | {"g_optim": optimizer, "d_optim": optimizer, "args": args}, files[0])
    elif how == "tuned":
        torch.save({"g_ema": states["generator"], "args": args}, files[0])
    elif how == "parallel":
        by_name = {"g_ema": states["generator"], "d": states["discriminator"]}
        prefixed = {name: {f"module.{k}": v for k, v in state.items()} for name, state in by_name.items()}
        torch.save(prefixed | {"args": args}, files[0])
    else:
        files += [tmp_path / "d.pt"]
        settings |= arguments()
        for path, slot in zip(files, states):
            torch.save(states[slot], path)
    result = import_semantic_stylegan(files, settings)
    assert_same(rebuilt(result), made)
    assert set(result.raw) == ({"generator", "mapping"} if how == "checkpoint" else set())
    assert ("discriminator" in result.networks) == (how != "tuned")
    assert [note for note in result.notes if "4,096" in note] == result.notes
    mean = made["mapping"](make_noise(9, 4096, STYLE).double()).mean(0)
    torch.testing.assert_close(result.game["mean_latent"].double(), mean, atol=0.1, rtol=0)
    if how == "checkpoint":
        result.networks = result.raw
        assert_same(rebuilt(result), networks(seed=1))
        torch.save({"g": states["generator"], "args": args}, tmp_path / "20.pt")
        assert_same(rebuilt(import_semantic_stylegan([tmp_path], settings)), made)
        notes = import_semantic_stylegan([tmp_path / "20.pt"], settings).notes
        assert any("this is the generator in training" in note for note in notes)


def test_import_reads_training_arguments() -> None:
    said = {
        "batch": 4, "iter": 200001, "lr": 0.01, "r1_img": 5.0, "r1_seg": 1000.0, "d_reg_every": 8, "lambda_mask": 50.0,
        "path_regularize": 0.25, "g_reg_every": 2, "mixing": 0.5, "aug": True,
    }  # fmt: skip
    states = official(networks())
    result = convert_semantic_stylegan(states, arguments(**NAMES, **said), torch.zeros(STYLE))
    c = result.config
    assert any("args has aug: the official training also shifted, scaled and rotated" in note for note in result.notes)
    assert (c["data"]["batch"], c["data"]["flip"], c["training"]["iterations"], c["mixing"]) == (4, True, 200001, 0.5)
    assert (c["penalty"]["weight"], c["penalty"]["every"]) == (5.0, 8)
    w = c["weights"]
    assert (w["segmentation_penalty"], w["mask"], w["path_length"], w["path_every"]) == (200.0, 50.0, 0.25, 2)
    assert {optimizer["lr"] for optimizer in c["optimizers"].values()} == {0.01}
    alone = convert_semantic_stylegan(states, arguments(**NAMES, r1_img=10, r1_seg=0, aug=False), torch.zeros(STYLE))
    assert not any("aug" in note for note in alone.notes)
    assert alone.config["weights"]["segmentation_penalty"] == 100.0
    assert any("r1_img=10 and r1_seg=0" in note for note in alone.notes)


def test_import_notes_settings_taken_from_readme() -> None:
    small = NetworkSizes(parts=13, layers=7, shared=2, shape=6, transparent=(10, 12))
    result = convert_semantic_stylegan(official(networks(small), small), {}, torch.zeros(STYLE))
    assert result.facts == {"parts": PARTS, "transparent": ("glasses", "earring")}
    assert_same(rebuilt(result), networks(small), small)
    said = " ".join(result.notes)
    assert "base_layers=2, depth_layers=6, residual_refine=true, detach_texture=false" in said
    assert "the transparent parts are not in the weights; assumed: glasses, earring" in said
    named = {"parts": [f"p{k}" for k in range(13)], "transparent": "p3"}
    assert convert_semantic_stylegan(official(networks(small), small), named, torch.zeros(STYLE)).facts[
        "transparent"
    ] == ("p3",)


def run_verb(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Registry, str]:
    """`zoo import semantic-stylegan`, which must go well."""
    registry = Registry()
    for module in (zoogan.builtin, zoogan_semantic_stylegan):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    zoo = PluginHost()
    zoo.registry = registry
    monkeypatch.setattr(import_verb, "open_host", lambda plugin: zoo)
    app = typer.Typer()
    app.command()(import_verb.import_)
    told = CliRunner().invoke(app, ["semantic-stylegan", *words])
    assert told.exit_code == 0, (told.output, told.exception)
    return registry, told.output


@pytest.mark.parametrize("count", [13, 4])
def test_imported_weights_make_a_run_that_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Of the published parts, and of others that a label set names."""
    small = NetworkSizes(parts=count, transparent=(10,) if count == 13 else (2,))
    made, out, file = networks(small), tmp_path / "run", tmp_path / "a.pt"
    args = argparse.Namespace(**arguments(small))
    torch.save({"g_ema": official(made, small)["generator"], "args": args}, file)
    names = "background,skin,hair,nose"
    sets = ["--set", f"data.label_set.names={names}"] if count != 13 else []
    registry, told = run_verb(monkeypatch, "--out", str(out), "--weights", str(file), *sets)
    assert "discriminator is not in the files and starts untrained" in told
    from zoogan.runs.folder import RunFolder
    from zoogan.runs.opening import load

    config, facts = RunFolder(out).read_config(registry)
    data: Any = config.data
    assert facts.parts == (PARTS if count == 13 else tuple(names.split(","))) == data.label_set.names
    assert facts.transparent == data.label_set.transparent == (("glasses",) if count == 13 else ("hair",))
    editor: Any = load(out, registry=registry).editor
    rows = make_latents(1, 2, made["generator"])  # type: ignore[arg-type]
    image, wanted = editor.generator(rows.float()).image, made["generator"](rows).image.float()
    assert (image - wanted).norm() < 1e-3 * wanted.norm()
    assert editor.sample([0, 1]).image.shape == (2, 3, small.size, small.size)


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        ("size", 32, "the image size: args says 32, the generator says 16, the discriminator says 16"),
        ("latent", 512, "the size of a latent: args says 512"),
        ("n_mlp", 8, "the layers of the mapping: args says 8, the mapping says 2"),
        ("seg_dim", 13, "the parts: args says 13, the generator says 4, the discriminator says 4"),
        ("local_layers", 10, "the layers of a part: args says 10, the generator says 4"),
        ("local_channel", 64, "the width of a part: args says 64"),
        ("coarse_channel", 512, "the width of the features: args says 512"),
        ("coarse_size", 64, "the size of the features: args says 64, the generator says 8"),
        ("min_feat_size", 16, "the size at which rendering begins: args says 16, the generator says 4"),
        ("base_layers", 3, "base_layers=3 and depth_layers=2, but the generator has 4 layers a part"),
        ("depth_layers", 5, "base_layers=1 and depth_layers=5, but the generator has 4 layers a part"),
        ("transparent_dims", [4], r"transparent_dims=\[4\], but the weights know 4 parts"),
        ("channel_multiplier", 2, "not those of a StyleGAN2 of channel_multiplier=2, as args says"),
        ("parts", ("a", "b"), r"know 4 parts, but 2 are named: .*--set data\.label_set=FILE"),
        ("parts", (), "know 4 parts, but none are named"),
    ],
)
def test_import_refuses_contradicting_arguments(name: str, wrong: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        convert_semantic_stylegan(official(networks()), arguments(**NAMES) | {name: wrong}, torch.zeros(STYLE))


def test_import_reports_mismatched_weights(tmp_path: Path) -> None:
    settings, mean = arguments(**NAMES), torch.zeros(STYLE)
    states = official(networks())
    g, d = states["generator"], states["discriminator"]

    def refused(sentence: str, changed: State, **more: Any) -> None:
        slot = "generator" if "pos_embed.weights" in changed else "discriminator"
        with pytest.raises(ConfigError, match=sentence):
            convert_semantic_stylegan({slot: changed}, settings | more, mean)

    def without(state: State, name: str) -> State:
        return {key: value for key, value in state.items() if key != name}

    refused("no 'local_nets.2.to_depth.bias'$", without(g, "local_nets.2.to_depth.bias"))
    refused("no 'convs_seg.1.skip.1.weight'|halves images 2 times", without(d, "convs_seg.1.skip.1.weight"))
    refused("no 'final_linear.1.bias'$", without(d, "final_linear.1.bias"))
    refused("unknown: 'odd'$", {**g, "odd": mean})
    refused("unknown: 'local_nets.0.to_depth.bias'", {**g, "local_nets.0.to_depth.bias": torch.zeros(1, 1, 1, 1)})
    refused(r"'local_nets\.1\.linears\.2\.activate\.bias' has the shape \(3,\), but the other weights need \(4,\)",
            {**g, "local_nets.1.linears.2.activate.bias": torch.zeros(3)})  # fmt: skip
    refused("no 'render_net.noises.noise_0' of 2 dimensions", without(g, "render_net.noises.noise_0"))
    refused("takes 17 channels: not x, y", {**g, "pos_embed.weights": torch.zeros(4, 17, 1, 1)})
    refused("features of 6 channels, which should enter once more",
            {**g, "render_net.convs.2.weight": g["render_net.convs.2.weight"][:, :3]})  # fmt: skip
    refused(r"filter 'convs_seg\.1\.conv2\.0\.kernel' is not that of \[1, 3, 3, 1\]",
            {**d, "convs_seg.1.conv2.0.kernel": torch.ones(4, 4) / 16})  # fmt: skip
    refused("from noise of 3; ours have one size", {**g, "style.1.weight": torch.zeros(STYLE, 3)})
    with pytest.raises(ConfigError, match="mean latent has 3 numbers, but a latent has 5"):
        convert_semantic_stylegan({"generator": g}, settings, torch.zeros(3))
    with pytest.raises(ConfigError, match="about the image size: the generator says 16, the discriminator says 32"):
        other = NetworkSizes(size=32)
        both = {"generator": g, "discriminator": official(networks(other), other)["discriminator"]}
        convert_semantic_stylegan(both, {**NAMES, "base_layers": 1, "depth_layers": 2}, mean)
    with pytest.raises(ConfigError, match="transparent: z: not among the parts"):
        convert_semantic_stylegan({"generator": g}, {**settings, "transparent_dims": None, "transparent": "z"}, mean)
    with pytest.raises(ConfigError, match="no weights of SemanticStyleGAN"):
        import_semantic_stylegan([], {})
    torch.save({"a": mean}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="neither a generator nor a discriminator of SemanticStyleGAN"):
        import_semantic_stylegan([tmp_path / "a.pt"], {})
    torch.save(g, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="a second generator"):
        import_semantic_stylegan([tmp_path / "a.pt"] * 2, {})
