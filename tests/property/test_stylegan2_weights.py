"""Import of official StyleGAN2 weights: both layouts, every size, and what does not fit."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

import zoogan.builtin
import zoogan.cli.import_ as import_verb
import zoogan_stylegan2
from support.stylegan2_weights import (
    LAYERS,
    LAYOUTS,
    MULTIPLIER,
    SIZE,
    STYLE,
    WIDEST,
    Networks,
    assert_same_outputs,
    make_networks,
    make_official_states,
    rebuild_networks,
)
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.layers.mapping import PixelNormMapping as LatentMLP
from zoogan.plugins.host import PluginHost
from zoogan.testing.tensors import make_noise
from zoogan_stylegan2.config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig, StyleGAN2MappingConfig
from zoogan_stylegan2.layouts import Layout, NvlabsLayout, RosinalityLayout, identify_layout
from zoogan_stylegan2.networks import StyleGAN2Discriminator, StyleGAN2Generator
from zoogan_stylegan2.weights import convert_stylegan2, import_stylegan2

# ---- whatever way a file keeps them ----

KEPT = ["nested", "prefixed", "safetensors", "alone", "parallel"]


def kept(path: Path, how: str, states: Mapping[str, dict[str, Tensor]], rosinality: bool) -> list[Path]:
    """The files of official state_dicts."""
    names = {"generator": "g_ema" if rosinality else "G_ema", "discriminator": "d" if rosinality else "D"}
    if how in ("nested", "parallel"):
        prefix = "module." if how == "parallel" else ""
        content = {names[slot]: {prefix + k: v for k, v in state.items()} for slot, state in states.items()}
        torch.save(content, path / "a.pt")
        return [path / "a.pt"]
    if how == "alone":
        for slot, state in states.items():
            torch.save(state, path / f"{slot}.pt")
        return [path / f"{slot}.pt" for slot in states]
    flat = {f"{names[slot]}.{k}": v.contiguous().clone() for slot, state in states.items() for k, v in state.items()}
    if how == "safetensors":
        save_file(flat, path / "a.safetensors")
        return [path / "a.safetensors"]
    torch.save(flat, path / "a.pt")
    return [path / "a.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("how", KEPT)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["rosinality", "nvlabs"])
@pytest.mark.parametrize("channels", [3, 1])
def test_import_restores_networks(tmp_path: Path, layout: Layout, how: str, channels: int) -> None:
    made = make_networks(channels=channels)
    mean = make_noise(5, STYLE)
    states = make_official_states(layout, made, mean)
    assert all(
        identify_layout(state) == layout or type(identify_layout(state)) is type(layout) for state in states.values()
    )
    result = import_stylegan2(kept(tmp_path, how, states, isinstance(layout, RosinalityLayout)), {})
    assert set(result.networks) == set(made)
    assert_same_outputs(rebuild_networks(result), made)
    assert result.config["data"]["image_size"] == SIZE
    assert result.config["generator"]["channel_multiplier"] == MULTIPLIER
    assert result.config["generator"]["max_width"] == result.config["discriminator"]["max_width"] == WIDEST
    assert result.config["mapping"]["layers"] == LAYERS and result.config["mapping"]["style_dim"] == STYLE
    assert result.facts == ({} if channels == 3 else {"channels": channels})
    if isinstance(layout, NvlabsLayout):
        assert torch.equal(result.game["mean_latent"], mean) and not result.notes
    else:  # the mean of drawn latents
        wanted = made["mapping"](make_noise(9, 4096, STYLE)).mean(0)
        torch.testing.assert_close(result.game["mean_latent"], wanted, atol=0.1, rtol=0)
        assert [note for note in result.notes if "4,096" in note]


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32, 64, 256, 1024])
@pytest.mark.parametrize("multiplier", [1.0, 2.0])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["rosinality", "nvlabs"])
def test_import_infers_architecture_from_shapes(layout: Layout, size: int, multiplier: float) -> None:
    """Of the published widths; nothing is computed."""
    facts = Facts(image_size=size)
    with torch.device("meta"):
        made: Networks = {
            "mapping": LatentMLP(StyleGAN2MappingConfig(), facts),
            "generator": StyleGAN2Generator(StyleGAN2GeneratorConfig(channel_multiplier=multiplier), facts),
            "discriminator": StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(channel_multiplier=multiplier), facts),
        }
    states = make_official_states(layout, made)
    if isinstance(layout, NvlabsLayout):
        del states["generator"]["mapping.w_avg"]
    result = convert_stylegan2(states, {"size": size, "channel_multiplier": multiplier}, torch.zeros(512))
    assert result.config["data"]["image_size"] == size
    for slot, network in made.items():
        wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
        assert {key: tensor.shape for key, tensor in result.networks[slot].items()} == wanted
    told = convert_stylegan2(states, {}, torch.zeros(512)).config["generator"]
    assert told["max_width"] == 512 and (size <= 32 or told["channel_multiplier"] == multiplier)


@pytest.mark.parametrize("told", [True, False], ids=["args", "shapes"])
@pytest.mark.parametrize(("size", "multiplier"), [(64, 3), (64, 4), (128, 3), (64, 0.5)])
def test_networks_wider_than_512_are_imported(size: int, multiplier: float, told: bool) -> None:
    """rosinality's widths: 512 up to 32 px whatever the multiplier, then 256 times it, 128 times it, and so on."""
    facts, options = Facts(image_size=size), {"channel_multiplier": multiplier, "max_width": None}
    with torch.device("meta"):
        made: Networks = {
            "mapping": LatentMLP(StyleGAN2MappingConfig(), facts),
            "generator": StyleGAN2Generator(StyleGAN2GeneratorConfig(**options), facts),
            "discriminator": StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(**options), facts),
        }
    states = make_official_states(RosinalityLayout(), made)
    assert states["discriminator"]["convs.0.0.weight"].shape[0] == 256 * multiplier * 64 // size
    result = convert_stylegan2(states, {"channel_multiplier": multiplier} if told else {}, torch.zeros(512))
    for slot in ("generator", "discriminator"):
        assert {key: result.config[slot][key] for key in options} == options
        wanted = {key: tensor.shape for key, tensor in made[slot].state_dict().items()}
        assert {key: tensor.shape for key, tensor in result.networks[slot].items()} == wanted


# ---- what a file says besides ----


def test_import_checks_arguments_against_weights(tmp_path: Path) -> None:
    states = make_official_states(RosinalityLayout(), make_networks())
    arguments = {
        "size": SIZE, "latent": STYLE, "n_mlp": LAYERS, "batch": 8, "iter": 1234, "r1": 5.0, "d_reg_every": 8,
        "path_regularize": 1.0, "g_reg_every": 2, "mixing": 0.5, "lr": 0.01, "wandb": False, "ckpt": None,
    }  # fmt: skip
    content: dict[str, Any] = {"g_ema": states["generator"], "d": states["discriminator"]}
    content |= {
        "g": make_official_states(RosinalityLayout(), make_networks(seed=1))["generator"],
        "d_optim": {"state": {0: {"step": 1}}},
    }
    content |= {"args": argparse.Namespace(**arguments), "ada_aug_p": 0.1, "latent_avg": torch.ones(1, STYLE)}
    torch.save(content, tmp_path / "000100.pt")
    torch.save(content | {"latent_avg": torch.zeros(STYLE)}, tmp_path / "000020.pt")
    result = import_stylegan2([tmp_path], {})
    assert_same_outputs(rebuild_networks(result), make_networks())
    result.networks = result.raw
    assert set(result.raw) == {"generator", "mapping"}
    assert_same_outputs(rebuild_networks(result), make_networks(seed=1))
    assert torch.equal(result.game["mean_latent"], torch.ones(STYLE)) and not result.notes
    c = result.config
    assert (c["data"]["batch"], c["training"]["iterations"], c["mixing"]) == (8, 1234, 0.5)
    assert (c["penalty"]["weight"], c["penalty"]["every"]) == (5.0, 8)
    assert (c["weights"]["path_length"], c["weights"]["path_every"]) == (1.0, 2)
    assert {o["lr"] for o in c["optimizers"].values()} == {0.01}
    for name, wrong, sentence in (
        ("size", 64, "image size: args says 64, the generator says 32, the discriminator says 32"),
        ("n_mlp", 8, "the layers of the mapping: args says 8, the mapping says 3"),
        ("latent", 512, "the size of a latent"),
        ("channel_multiplier", 2, r"from 4 to 32 px, are 5, 5, 4, 2: not those of .* of channel_multiplier=2,"),
    ):
        content["args"] = argparse.Namespace(**arguments | {name: wrong})
        torch.save(content, tmp_path / "000100.pt")
        with pytest.raises(ConfigError, match=sentence):
            import_stylegan2([tmp_path / "000100.pt"], {})


def test_import_reads_first_version_layout() -> None:
    made = make_networks()
    states = make_official_states(RosinalityLayout(), made)
    old = {}
    for name, value in states["generator"].items():
        if name.startswith("noises."):
            continue
        moved = name.endswith("activate.bias")
        old[name.replace("activate.bias", "bias")] = value[None, :, None, None] if moved else value
    result = convert_stylegan2({"generator": old}, {}, torch.zeros(STYLE))
    assert [note for note in result.notes if "no fixed noise" in note]
    again = rebuild_networks(result)
    given = [make_noise(k, 2, 1, *size) for k, size in enumerate(made["generator"].noise_sizes)]  # type: ignore
    wplus = make_noise(1, 2, made["generator"].rows, STYLE)  # type: ignore[arg-type]
    assert torch.equal(again["generator"](wplus, given).image, made["generator"](wplus, given).image)
    repeated = convert_stylegan2({"generator": old}, {}, torch.zeros(STYLE)).networks["generator"]
    assert all(torch.equal(result.networks["generator"][key], value) for key, value in repeated.items())


def test_import_detects_generator_without_noise() -> None:
    torch.manual_seed(0)
    made = make_networks()
    config = StyleGAN2GeneratorConfig(style_dim=STYLE, channel_multiplier=MULTIPLIER, max_width=WIDEST, noise=False)
    made["generator"] = StyleGAN2Generator(config, Facts(image_size=SIZE))
    result = convert_stylegan2({"generator": make_official_states(NvlabsLayout(), made)["generator"]}, {})
    assert result.config["generator"]["noise"] is False and not result.notes
    wplus = make_noise(1, 2, made["generator"].rows, STYLE)
    assert torch.equal(rebuild_networks(result)["generator"](wplus).image, made["generator"](wplus).image)


def test_import_falls_back_to_training_networks(tmp_path: Path) -> None:
    states = make_official_states(NvlabsLayout(), make_networks())
    torch.save({"G": states["generator"], "D": states["discriminator"]}, tmp_path / "a.pt")
    assert any("this is the generator in training" in note for note in import_stylegan2([tmp_path / "a.pt"], {}).notes)
    torch.save(
        {"G": states["generator"], "G_ema": make_official_states(NvlabsLayout(), make_networks(seed=1))["generator"]},
        tmp_path / "a.pt",
    )
    result = import_stylegan2([tmp_path / "a.pt"], {})
    assert not result.notes
    assert_same_outputs(rebuild_networks(result), make_networks(seed=1))


def test_import_accepts_files_of_both_layouts(tmp_path: Path) -> None:
    made = make_networks()
    one = kept(tmp_path, "alone", {"generator": make_official_states(NvlabsLayout(), made)["generator"]}, False)
    other = kept(
        tmp_path, "alone", {"discriminator": make_official_states(RosinalityLayout(), made)["discriminator"]}, True
    )
    assert_same_outputs(rebuild_networks(import_stylegan2([*other, *one], {})), made)


# ---- a run ----


def test_imported_weights_make_a_run_that_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    for module in (zoogan.builtin, zoogan_stylegan2):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    zoo = PluginHost()
    zoo.registry = registry
    made, mean, out = make_networks(), make_noise(5, STYLE), tmp_path / "run"
    states = make_official_states(RosinalityLayout(), made)
    trained = make_networks(seed=1)
    raw = make_official_states(RosinalityLayout(), trained)["generator"]
    torch.save({"g_ema": states["generator"], "g": raw, "latent_avg": mean}, tmp_path / "ffhq.pt")
    monkeypatch.setattr(import_verb, "open_host", lambda plugin: zoo)
    app = typer.Typer()
    app.command()(import_verb.import_)
    told = CliRunner().invoke(app, ["stylegan2", "--out", str(out), "--weights", str(tmp_path / "ffhq.pt")])
    assert told.exit_code == 0, told.output
    assert "discriminator is not in the files and starts untrained" in told.output
    assert f"zoo sample {out}" in told.output and "zoo edit" not in told.output
    saved = load_file(out / "model" / "generator.safetensors")
    assert all(torch.equal(saved[key], value) for key, value in made["generator"].state_dict().items())
    for slot in ("generator", "mapping"):  # what a training would go on with
        saved = load_file(out / "model" / f"{slot}.raw.safetensors")
        assert all(torch.equal(saved[key], value) for key, value in trained[slot].state_dict().items())
    from zoogan.runs.opening import load

    editor: Any = load(out, registry=registry).editor
    assert torch.equal(editor.mean_latent, mean) and editor.can_sample
    torch.testing.assert_close(editor.draw_latents([1, 2], truncation=0.0), mean.expand(2, made["generator"].rows, -1))  # type: ignore
    assert editor.sample([0, 1]).image.shape == (2, 3, SIZE, SIZE)


# ---- what does not fit ----


def test_import_ignores_damage_in_unneeded_parts(tmp_path: Path) -> None:
    made = make_official_states(RosinalityLayout(), make_networks())["generator"]
    part = {key: value for key, value in list(made.items())[:5]}
    torch.save({"g_ema": made, "g": part}, tmp_path / "part.pt")
    result = import_stylegan2([tmp_path / "part.pt"], {})
    assert not result.raw and set(result.networks) == {"generator", "mapping"}
    assert any("the weights in training, beside the averages, are left out" in note for note in result.notes)
    torch.save({"g_ema": made, "G_ema": made}, tmp_path / "twice.pt")
    assert not import_stylegan2([tmp_path / "twice.pt"], {}).raw  # neither is what the training had


def test_import_reports_mismatches(tmp_path: Path) -> None:
    made = make_networks()
    states = make_official_states(RosinalityLayout(), made)
    g, d, n = states["generator"], states["discriminator"], make_official_states(NvlabsLayout(), made)
    mean = torch.zeros(STYLE)
    with pytest.raises(ConfigError, match="no weights of StyleGAN2"):
        import_stylegan2([], {})
    with pytest.raises(ConfigError, match=r"no <number>\.pt"):
        import_stylegan2([tmp_path], {})
    for content, sentence in (
        ([1], "expected networks"), ({"a": torch.zeros(1)}, "neither a generator nor a discriminator of StyleGAN2"),
        ({"g_ema": {"a": 1}}, "expected a bare state_dict"), ({"odd": {"a": torch.zeros(1)}}, "expected a bare"),
    ):  # fmt: skip
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(ConfigError, match=sentence):
            import_stylegan2([tmp_path / "a.pt"], {})
    one = kept(tmp_path, "alone", {"generator": g}, True)
    with pytest.raises(ConfigError, match="a second generator"):
        import_stylegan2(one + one, {})
    with pytest.raises(ConfigError, match=r"no 'convs\.1\.noise\.weight'$"):
        convert_stylegan2({"generator": {k: v for k, v in g.items() if k != "convs.1.noise.weight"}}, {}, mean)
    with pytest.raises(ConfigError, match=r"unknown: 'synthesis\.odd'"):
        convert_stylegan2({"generator": {**n["generator"], "synthesis.odd": mean}}, {})
    with pytest.raises(ConfigError, match=r"no 'mapping\.fc0\.weight' of 2 dimensions"):
        convert_stylegan2({"generator": {k: v for k, v in n["generator"].items() if not k.startswith("mapping.")}}, {})
    with pytest.raises(ConfigError, match=r"about the image size: the generator says 32, the discriminator says 16"):
        convert_stylegan2(
            {
                "generator": g,
                "discriminator": make_official_states(RosinalityLayout(), make_networks(16))["discriminator"],
            },
            {},
            mean,
        )
    with pytest.raises(ConfigError, match=r"about the channels of an image: the generator says 3, .* says 1"):
        convert_stylegan2(
            {
                "generator": g,
                "discriminator": make_official_states(NvlabsLayout(), make_networks(32, 1))["discriminator"],
            },
            {},
            mean,
        )
    with pytest.raises(ConfigError, match=r"'noises\.noise_2' has the shape \(1, 1, 4, 4\).* need \(1, 1, 8, 8\)"):
        convert_stylegan2({"generator": {**g, "noises.noise_2": g["noises.noise_0"]}}, {}, mean)
    with pytest.raises(ConfigError, match="mean latent has 3 numbers, but a latent has 6"):
        convert_stylegan2({"generator": g}, {}, torch.zeros(3))
    with pytest.raises(ConfigError, match=r"filter 'convs\.1\.skip\.0\.kernel' is not that of \[1, 3, 3, 1\]"):
        convert_stylegan2({"discriminator": {**d, "convs.1.skip.0.kernel": torch.ones(4, 4) / 16}}, {})
    with pytest.raises(ConfigError, match="is class-conditional"):
        convert_stylegan2({"generator": {**n["generator"], "mapping.embed.weight": mean}}, {})
    with pytest.raises(ConfigError, match="latents of 6 numbers from noise of 4"):
        convert_stylegan2({"generator": {**n["generator"], "mapping.fc0.weight": torch.zeros(STYLE, 4)}}, {})
    wide = {**g, "input.input": torch.zeros(1, 7, 4, 4)}
    with pytest.raises(ConfigError, match=r"from 4 to 32 px, are 7, 5, 4, 2: not those of a StyleGAN2 with at most 7"):
        convert_stylegan2({"generator": wide}, {}, mean)
    small = {k: v for k, v in n["discriminator"].items() if not re.match(r"b(32|16)\.(conv|skip|resample)", k)}
    small = {k.replace("b32.", "b8."): v for k, v in small.items()}
    with pytest.raises(ConfigError, match="8 px; the smallest that the zoo takes are 16 px"):
        convert_stylegan2({"discriminator": small}, {})
