"""Laws of the extra terms of reconstructions: feature matching and the perceptual term."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.auxiliary import perceptual
from zoogan.auxiliary.image_distance import L1
from zoogan.auxiliary.perceptual import Perceptual
from zoogan.composition.build import Composition, compose, expect_facts
from zoogan.composition.freezing import find_frozen
from zoogan.composition.rehearsal import compose_on_device, rehearse
from zoogan.config import GameConfig, compose_config, merge, parse_sets, validate
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Draws, Shared, SynthesisedFace, Turn, World
from zoogan.layers.layout import make_layout
from zoogan.layers.residual_discriminator import DiscriminatorTrunk
from zoogan.losses.config import FeatureMatchingConfig, PerceptualConfig
from zoogan.losses.feature_matching import FeatureMatching
from zoogan.plugins.host import get_zoo
from zoogan.testing.tensors import make_faces, make_segmentation
from zoogan_smile.image_config import SmileImageDiscriminatorConfig
from zoogan_smile.image_networks import SmileImageDiscriminator
from zoogan_stylegan2.config import StyleGAN2DiscriminatorConfig
from zoogan_stylegan2.networks import StyleGAN2Discriminator

REGISTRY = get_zoo().registry
SIZE, BATCH, PARTS = 16, 2, ("background", "skin", "hair")
FACTS = Facts(image_size=SIZE, parts=PARTS)
NARROW: dict[str, Any] = {"channel_multiplier": 2**-8, "max_width": 4}
TINY: dict[str, Any] = {
    "data": {"source": "drawn", "image_size": SIZE, "batch": BATCH},
    "generator": {"code_dim": 4, "stem_width": 4, "stem_halvings": 1, "widths": [4, 4], "hidden": 4, "codes": "all"},
    "mapping": {"code_dim": 4, "layers": 1},
    "region_encoder": {"code_dim": 4, "width": 4, "halvings": 1},
    "discriminator": NARROW,
}


def make_config(**settings: Any) -> GameConfig:
    return validate(REGISTRY.methods["smile-image"], REGISTRY, merge(TINY, settings))


def add_term(name: str, step: str = "reconstruction", **options: Any) -> dict[str, Any]:
    return {"extra_terms": {step: {name: {"use": name} | options}}}


def make_discriminator() -> SmileImageDiscriminator:
    torch.manual_seed(0)
    return SmileImageDiscriminator(SmileImageDiscriminatorConfig(**NARROW), FACTS)


def make_pairs(seed: int) -> Tensor:
    layout = make_layout(make_segmentation(0, BATCH, SIZE, len(PARTS)), len(PARTS), torch.float32)
    return torch.cat([make_faces(seed, BATCH, SIZE), 2 * layout - 1], 1)


def make_values(real: Tensor, fake: Tensor) -> dict[str, Any]:
    return {"image": real[:, :3], "real_input": real, "fake_input": fake, "synthesised": SynthesisedFace(fake[:, :3])}


def make_turn(networks: nn.ModuleDict, sample: dict[str, Tensor] | None = None) -> Turn:
    world = World.make_single()
    draw = Draws(0, world, BATCH, slice(None))
    return Turn(networks, {"source": sample or {}}, {}, Shared(), Clock(1, 100), world, draw)


def make_discriminator_turn(discriminator: nn.Module) -> Turn:
    return make_turn(nn.ModuleDict({"discriminator": discriminator}))


def compute_reconstruction(composition: Composition) -> dict[str, Tensor]:
    """Run the step `reconstruction` on random faces, with gradients of the networks that it trains alone."""
    config, game, networks = composition.config, composition.game, composition.networks
    sample = {
        "image": make_faces(0, BATCH, SIZE),
        "layout": make_layout(make_segmentation(0, BATCH, SIZE, len(PARTS)), len(PARTS), torch.float32),
    }
    step = next(step for step in game.steps if step.name == "reconstruction")
    turn = make_turn(networks, sample)
    frozen, _ = find_frozen(config.training, game, networks)
    with frozen.enable_gradients(step.trains):
        terms, weights = step.terms(turn), step.weights(turn.clock)
        assert terms.keys() == weights.keys()
        torch.stack([weights[name] * terms[name] for name in terms]).sum().backward()
    return terms


# ---- the discriminator's features ----


@pytest.mark.parametrize(
    "discriminator",
    [make_discriminator(), StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(**NARROW), FACTS)],
    ids=["smile-image", "stylegan2"],
)
def test_features_are_the_trunk_layer_by_layer(discriminator):
    pairs = make_pairs(0)
    image, maps = pairs[:, :3], pairs[:, 3:]
    features = discriminator.compute_features(image, maps)
    assert [feature.shape[2] for feature in features] == [16, 8, 4]
    assert torch.equal(discriminator.head(features[-1]), discriminator(image, maps))
    alone = discriminator.compute_features(image[:1], maps[:1])
    for one, both in zip(alone, features, strict=True):
        torch.testing.assert_close(one, both[:1])


def test_features_of_pairs_depend_on_the_layout():
    discriminator, pairs = make_discriminator(), make_pairs(0)
    one = discriminator.compute_features(pairs[:, :3], pairs[:, 3:])
    other = discriminator.compute_features(pairs[:, :3], pairs[:, 3:].flip(3))
    assert not any(torch.allclose(a, b) for a, b in zip(one, other, strict=True))
    with pytest.raises(ValueError, match="with their layouts"):
        discriminator.compute_features(pairs[:, :3])


def test_trunk_features_are_not_overwritten():
    trunk, image = DiscriminatorTrunk(3, [4, 4, 4]), make_faces(0, 1, SIZE)
    before = image.clone()
    features = trunk.compute_features(image)
    assert torch.equal(image, before)
    for k, feature in enumerate(features):
        assert torch.equal(nn.Sequential(*list(trunk)[: k + 1])(image), feature)


# ---- feature matching ----


def test_feature_matching_sums_the_means_of_the_layers():
    term, discriminator = FeatureMatching(), make_discriminator()
    turn, real, fake = make_discriminator_turn(discriminator), make_pairs(0), make_pairs(1)
    assert term(turn, make_values(real, real.clone())) == 0
    features = [discriminator.compute_features(x[:, :3], x[:, 3:]) for x in (real, fake)]
    expected = sum((a - b).abs().mean() for a, b in zip(*features, strict=True))
    assert expected > 1e-3
    torch.testing.assert_close(term(turn, make_values(real, fake)), expected)


def test_real_features_carry_no_graph():
    discriminator, graphs = make_discriminator(), []
    compute = discriminator.compute_features

    def record(image: Tensor, maps: Tensor) -> list[Tensor]:
        features = compute(image, maps)
        graphs.append({feature.requires_grad for feature in features})
        return features

    discriminator.compute_features = record
    real, fake = make_pairs(0).requires_grad_(), make_pairs(1).requires_grad_()
    FeatureMatching()(make_discriminator_turn(discriminator), make_values(real, fake)).backward()
    assert graphs == [{False}, {True}]
    assert real.grad is None and fake.grad is not None and fake.grad.any()


def test_feature_matching_trains_generator_and_encoder_only():
    composition = compose(make_config(weights={"reconstruction": 0.0}, **add_term("feature_matching")), FACTS, REGISTRY)
    composition.game.adversarial = SimpleNamespace(generator_loss=lambda score: 0 * score.sum())
    terms = compute_reconstruction(composition)
    assert terms["feature_matching"] > 0
    trained = {
        slot for slot, network in composition.networks.items()
        if any(p.grad is not None and p.grad.any() for p in network.parameters())
    }  # fmt: skip
    assert trained == {"generator", "region_encoder"}
    assert all(p.grad is None for p in composition.networks["discriminator"].parameters())


def test_feature_matching_needs_a_discriminator_with_features():
    config = make_config(discriminator={"use": "semantic-stylegan"} | NARROW, **add_term("feature_matching"))
    with pytest.raises(ConfigError, match=r"step 'reconstruction' fails.*gives no features to compare"):
        rehearse(config, FACTS, REGISTRY)


@pytest.mark.parametrize("name", ["feature_matching", "perceptual"])
def test_terms_of_reconstructions_are_refused_elsewhere(name):
    config = make_config(**add_term(name, "generator"))
    with pytest.raises(ConfigError, match=rf"term '{name}' compares.*the step reconstruction"):
        rehearse(config, FACTS, REGISTRY)


def test_terms_are_set_by_option():
    sets = parse_sets([
        "extra_terms.reconstruction.feature_matching.weight=3", "extra_terms.reconstruction.perceptual.trunk=alex",
    ])  # fmt: skip
    config = compose_config(REGISTRY.methods["smile-image"], REGISTRY, recipe="drawn-32", sets=sets)
    assert config.extra_terms["reconstruction"] == {
        "feature_matching": FeatureMatchingConfig(weight=3), "perceptual": PerceptualConfig(trunk="alex"),
    }  # fmt: skip
    assert FeatureMatchingConfig().weight == PerceptualConfig().weight == 10  # SEAN's


def test_null_removes_a_term():
    spec = REGISTRY.methods["smile-image"]
    sets = parse_sets(["extra_terms.reconstruction.feature_matching=null"])
    assert compose_config(spec, REGISTRY, recipe="ffhq-256", sets=sets).extra_terms == {}
    more = parse_sets(["extra_terms.reconstruction.perceptual.weight=10"])
    kept = compose_config(spec, REGISTRY, recipe="ffhq-256", sets=merge(more, sets)).extra_terms
    assert {step: list(terms) for step, terms in kept.items()} == {"reconstruction": ["perceptual"]}


# ---- the perceptual term ----


def test_perceptual_term_without_weights_is_refused_before_training(tmp_path: Path, monkeypatch: Any):
    pytest.importorskip("lpips")
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(tmp_path))
    facts = Facts(image_size=32, parts=PARTS)
    tiny = {"data": {"image_size": 32}} | add_term("perceptual", trunk="alex")
    config = make_config(**tiny)
    compose(config, facts, REGISTRY)  # as opening a trained run does
    with pytest.raises(ConfigError, match="extra_terms: perceptual: LPIPS needs weights: put alexnet-owt") as error:
        rehearse(config, facts, REGISTRY)
    assert len(str(error.value).splitlines()) == 1 and str(tmp_path) in str(error.value)
    assert not list(tmp_path.iterdir()), "nothing is downloaded"


def test_perceptual_term_refuses_small_faces():
    with pytest.raises(ConfigError, match="faces of 32 pixels or more, these have 16"):
        rehearse(make_config(**add_term("perceptual")), FACTS, REGISTRY)


def test_perceptual_term_is_the_mean_distance(monkeypatch: Any):
    opened: list[Any] = []

    def open_l1(*arguments: Any) -> Any:
        opened.append(arguments)
        return L1

    monkeypatch.setattr(perceptual, "make_lpips_distance", open_l1)
    term, real, fake = Perceptual(), make_pairs(0), make_pairs(1).requires_grad_()
    turn = make_discriminator_turn(make_discriminator())
    assert term(turn, make_values(real, real.clone())) == 0
    value = term(turn, make_values(real, fake.double()))  # in full precision, whatever the network computes in
    torch.testing.assert_close(value, L1.distance(fake[:, :3], real[:, :3]).mean())
    value.backward()
    assert fake.grad is not None and fake.grad[:, :3].any() and not fake.grad[:, 3:].any()
    assert opened == [(SIZE, torch.device("cpu"), ("vgg",))], "the network is opened once"


# ---- recipes ----


@pytest.mark.parametrize("recipe", ["ffhq-256", "no-encoder-256", "no-codes-256", "stylegan2-256", "spade-256"])
def test_recipes_of_256_px_add_terms_to_steps_they_have(recipe):
    config = compose_config(REGISTRY.methods["smile-image"], REGISTRY, recipe=recipe)
    compose_on_device(torch.device("meta"), config, expect_facts(config), REGISTRY)
    steps = {"reconstruction": ["feature_matching"]} if recipe in ("ffhq-256", "spade-256") else {}
    assert {step: list(terms) for step, terms in config.extra_terms.items()} == steps


def test_recipe_of_spade_passes_the_rehearsal():
    config = compose_config(REGISTRY.methods["smile-image"], REGISTRY, recipe="spade-256")
    rehearse(config, expect_facts(config), REGISTRY)
