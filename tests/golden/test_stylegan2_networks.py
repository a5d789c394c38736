"""StyleGAN2's networks compute what the official ones do on the same weights, through the importer."""

from __future__ import annotations

import pytest
import torch
from official import Case
from synthesis_cases import Known, built, check_output, check_parameters, given

from zoogan.conditions.latent import LatentCondition
from zoogan.config.registry import Registry
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Draws, World
from zoogan_stylegan2.networks import StyleGAN2Discriminator, StyleGAN2Generator
from zoogan_stylegan2.weights import convert_stylegan2


@torch.no_grad()
def test_generator(synthesis_generator_case: Case, registry: Registry) -> None:
    """w, faces of w, truncated, of two latents, and of w+; the noise is the weights' own."""
    case, says = synthesis_generator_case, synthesis_generator_case.says
    inputs = {name: given(recipe) for name, recipe in says["inputs"].items()}
    networks, result = built(says, registry, inputs["mean_latent"])
    check_parameters(says, networks)
    mapping, generator = networks["mapping"], networks["generator"]
    assert isinstance(generator, StyleGAN2Generator)
    w, w2 = mapping(inputs["z"]), mapping(inputs["z2"])
    n, whole = len(w), generator.repeat_latent(w)
    assert list(whole.shape) == says["latents_shape"]
    found = {"w": w, "image": generator(whole).image}
    for name in says["outputs"]:
        if name.startswith("image_trunc"):
            stub = {"generator": generator, "mapping": Known(w)}
            editor = SynthesisEditor(stub, LatentCondition(), result.game["mean_latent"])
            truncated = editor.draw_latents(range(n), truncation=float(name.removeprefix("image_trunc")))
            found[name] = generator(truncated).image
        if name.startswith("image_mix_inject"):
            cut = int(name.removeprefix("image_mix_inject"))
            share = torch.full((n,), (cut - 0.5) / (generator.rows - 1))
            draw = Draws(0, World.make_single(), n, slice(None), {"cut": share})
            found[name] = generator(generator.mix_latents(whole, generator.repeat_latent(w2), draw)).image
        if name == "image_wplus":
            assert says["wplus"] == "layer i gets w*(1+0.1*i), input_is_latent=True"
            found[name] = generator(whole * (1 + 0.1 * torch.arange(generator.rows, device=w.device)[:, None])).image
    assert set(found) == set(says["outputs"])
    for name, output in found.items():
        check_output(name, output, case)


@torch.no_grad()
def test_discriminator(synthesis_discriminator_case: Case, registry: Registry) -> None:
    """Scores of a batch, of a part of it (they depend on each other), and features."""
    case, says = synthesis_discriminator_case, synthesis_discriminator_case.says
    networks, _ = built(says, registry)
    check_parameters(says, networks)
    discriminator, image = networks["discriminator"], given(says["inputs"]["x"])
    assert isinstance(discriminator, StyleGAN2Discriminator)
    features = discriminator.trunk(image)
    found = {"logits": discriminator.head(features), "features_before_stddev": features}
    for name in says["outputs"]:
        if name.startswith("logits_first"):
            found[name] = discriminator(image[: int(name.removeprefix("logits_first"))])
    assert set(found) == set(says["outputs"])
    for name, output in found.items():
        check_output(name, output, case)


def test_what_a_case_says_is_what_is_imported(synthesis_generator_case: Case) -> None:
    """Shapes tell the size, the widths and the mapping; nothing of the case's config is needed."""
    says, config = synthesis_generator_case.says, synthesis_generator_case.says["config"]
    shapes = {key: torch.zeros(1).expand(shape) for key, shape in says["networks"]["G"]["state_dict"]}
    shapes = {key: value for key, value in shapes.items() if key not in says["networks"]["G"]["kept"]}
    result = convert_stylegan2({"generator": shapes}, {}, torch.zeros(config["style_dim"]))
    assert result.config["data"]["image_size"] == config["size"]
    assert result.config["mapping"]["layers"] == config["n_mlp"]
    assert result.config["mapping"]["style_dim"] == result.config["generator"]["style_dim"] == config["style_dim"]
    if config["size"] > 32 * config["channel_multiplier"]:  # below, every layer is as wide as allowed
        assert result.config["generator"]["channel_multiplier"] == pytest.approx(config["channel_multiplier"])
