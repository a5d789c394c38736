"""The joint variant of SD-GAN: its networks, where its gradients go, its terms, and its editor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.composition.build import Composition, compose
from zoogan.config import GameConfig
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Draws, Shared, Turn, World
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import (
    make_random_batches,
    make_tiny_config,
    make_tiny_facts,
    train_on_random_batches,
)
from zoogan.testing.tensors import make_faces, make_labels, make_noise
from zoogan_sd_gan.joint_config import JointDiscriminatorConfig, JointEncoderConfig, JointOffsetConfig
from zoogan_sd_gan.joint_networks import JointDiscriminator, JointEncoder, JointOffset

REGISTRY = get_zoo().registry
NARROW: dict[str, Any] = {"channel_multiplier": 2**-8, "max_width": 4}
LATENTS: dict[str, Any] = NARROW | {"style_dim": 6, "hidden": 5}
seeds = st.integers(0, 99)
sizes = st.sampled_from([16, 32])


def make_config(**sets: Any) -> GameConfig:
    """Make a narrow config with two attributes, of 16 px."""
    narrow: dict[str, Any] = {
        "generator": NARROW | {"style_dim": 6, "noise": True}, "mapping": {"style_dim": 6, "layers": 2},
        "encoder": LATENTS, "offset": LATENTS, "discriminator": NARROW, "mixing": 0.5,
    }  # fmt: skip
    for name, value in sets.items():
        narrow[name] = narrow[name] | value if isinstance(narrow.get(name), dict) else value
    return make_tiny_config("sd-gan-joint", REGISTRY, narrow)


def shake(composition: Composition) -> None:
    """Add noise to all parameters, so that the offset is not 0."""
    with torch.no_grad():
        for seed, p in enumerate(p for network in composition.networks.values() for p in network.parameters()):
            p += 0.1 * make_noise(seed, *p.shape)


def make_turn(config: GameConfig) -> tuple[Any, Turn]:
    """Make a game and its turn on a batch of 4 random faces."""
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    shake(composition)
    batch, world = next(make_random_batches(composition)), World.make_single()
    draw = Draws(0, world, 4, slice(None))
    targets = {"attributes": 1 - batch["source"]["attributes"]}
    return composition.game, Turn(composition.networks, batch, targets, Shared(), Clock(0, 4), world, draw)


def list_reached(turn: Turn) -> set[str]:
    """List the networks of which a parameter has a gradient that is not 0."""
    networks: Any = turn.networks
    return {
        name for name, network in networks.items()
        if any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
    }  # fmt: skip


# ---- networks ----


@settings(deadline=None, max_examples=20)
@given(seed=seeds, size=sizes, attributes=st.integers(1, 3), n=st.integers(1, 3))
def test_networks_have_the_shapes_of_their_roles(seed: int, size: int, attributes: int, n: int) -> None:
    facts = Facts(image_size=size, attributes=("Eyeglasses", "Bangs", "Male")[:attributes])
    torch.manual_seed(seed)
    encoder, offset = (
        JointEncoder(JointEncoderConfig(**LATENTS), facts),
        JointOffset(JointOffsetConfig(**LATENTS), facts),
    )
    discriminator = JointDiscriminator(JointDiscriminatorConfig(**NARROW), facts)
    image, labels = make_faces(seed, n, size), make_labels(seed, n, attributes)
    rows = {16: 6, 32: 8}[size]
    assert encoder(image).shape == offset(image, labels).shape == (n, rows, 6)
    assert not offset(image, labels).any(), "the offset starts at 0"
    assert offset.basis.shape == (attributes, 6)
    torch.testing.assert_close(offset.basis.norm(dim=1), torch.ones(attributes))
    torch.testing.assert_close(offset.compute_step(labels), labels @ offset.basis)
    verdict = discriminator.judge(image)
    assert verdict.score.shape == (n, 1) and verdict.attributes.shape == (n, attributes)
    assert torch.equal(verdict.score, discriminator(image))
    assert torch.equal(verdict.features, discriminator.compute_features(image)[-1].flatten(1))


@settings(deadline=None, max_examples=20)
@given(seed=seeds, size=sizes)
def test_each_face_is_read_alone(seed: int, size: int) -> None:
    facts = Facts(image_size=size, attributes=("Eyeglasses", "Bangs"))
    torch.manual_seed(seed)
    encoder, offset = (
        JointEncoder(JointEncoderConfig(**LATENTS), facts),
        JointOffset(JointOffsetConfig(**LATENTS), facts),
    )
    torch.nn.init.normal_(offset.offset.weight)
    discriminator = JointDiscriminator(JointDiscriminatorConfig(**NARROW), facts)
    image, labels, order = make_faces(seed, 3, size), make_labels(seed, 3, 2), torch.tensor([2, 0, 1])
    torch.testing.assert_close(encoder(image)[order], encoder(image[order]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(offset(image, labels)[order], offset(image[order], labels[order]), rtol=1e-4, atol=1e-5)
    whole, alone = discriminator.judge(image), discriminator.judge(image[1:2])
    torch.testing.assert_close(whole.attributes[1:2], alone.attributes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.features[1:2], alone.features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("basis", ["fixed", "learnt"])
def test_basis_moves_only_if_it_is_learnt(basis: str) -> None:
    config = make_config(offset={"basis": basis}, training={"average": 0.5, "average_images": None})
    before = train_on_random_batches(config, REGISTRY, 0).networks["offset"].basis.clone()
    trainer = train_on_random_batches(config, REGISTRY, 2)
    after = trainer.networks["offset"].basis
    assert torch.equal(before, after) == (basis == "fixed")
    state = trainer.get_state()
    assert torch.equal(state.networks["offset"]["basis"], after), "the basis is saved"
    average = state.averages["offset"]["basis"]
    assert not torch.equal(average, after) if basis == "learnt" else torch.equal(average, after)


# ---- faces ----


def test_sampled_faces_move_by_their_labels_without_offset() -> None:
    game, turn = make_turn(make_config())
    turn.networks["offset"].forward = None  # the sampling pass must not call it
    w, latents = game.sample_latents(turn, turn.networks["mapping"])
    turn.targets["attributes"] = torch.zeros_like(turn.targets["attributes"])
    _, origin = game.sample_latents(turn, turn.networks["mapping"])
    labels = 1 - turn.batch["source"]["attributes"]
    step = (labels @ turn.networks["offset"].basis)[:, None].expand_as(latents)
    assert step.any()
    torch.testing.assert_close(latents - origin, step, rtol=1e-4, atol=1e-5)
    assert w.shape == (4, 6)


# ---- terms ----


def test_discriminator_learns_attributes_off_real_faces_only() -> None:
    game, turn = make_turn(make_config())
    terms = game.compute_discriminator_terms(turn)
    assert set(terms) == set(game.get_discriminator_weights(turn.clock)) == {"real", "fake", "fake_edited", "attribute"}
    sample, network = turn.batch["source"], turn.networks["discriminator"]
    logits = network.judge(sample["image"]).attributes
    expected = F.binary_cross_entropy_with_logits(logits, sample["attributes"], reduction="sum") / 4
    torch.testing.assert_close(terms["attribute"], expected)
    head = network.attributes.weight
    for name in ("real", "fake", "fake_edited"):
        (gradient,) = torch.autograd.grad(terms[name], head, retain_graph=True, allow_unused=True)
        assert gradient is None or not gradient.any(), f"{name} trains the attribute head"
    sum(terms.values()).backward()
    assert list_reached(turn) == {"discriminator"}


def test_generator_terms_and_where_their_gradients_go() -> None:
    game, turn = make_turn(make_config())
    sample, weights = turn.batch["source"], game.get_generator_weights(turn.clock)
    terms = game.compute_generator_terms(turn)
    own = {"reconstruction", "adversarial_edited", "attribute_edited", "identity"}
    assert set(terms) == set(weights) == own | {"adversarial", "attribute"}
    assert weights["reconstruction"] == 10 and weights["adversarial_edited"] == 0.5
    reached = {}
    for name, term in terms.items():
        for network in turn.networks.values():
            network.zero_grad()
        term.backward(retain_graph=True)
        reached[name] = list_reached(turn) - {"discriminator"}
    assert reached == {
        name: {"generator", "encoder", "offset"} if name in own else {"generator", "mapping"} for name in terms
    }
    half = sample["image"][:2]
    encoded, network = turn.networks["encoder"](half), turn.networks["offset"]
    latents = {
        name: encoded + (labels @ network.basis)[:, None] + network(half, labels)
        for name, labels in (("own", sample["attributes"][:2]), ("target", turn.targets["attributes"][:2]))
    }
    noise = game.sample_noise(turn, slice(0, 2))
    back, edit = (turn.networks["generator"](latents[name], noise).image for name in ("own", "target"))
    torch.testing.assert_close(terms["reconstruction"], (back - half).abs().mean())
    judge = turn.networks["discriminator"].judge
    cosine = F.cosine_similarity(judge(edit).features, judge(half).features)
    torch.testing.assert_close(terms["identity"], (1 - cosine).mean())
    target = turn.targets["attributes"][:2]
    expected = F.binary_cross_entropy_with_logits(judge(edit).attributes, target, reduction="sum") / 2
    torch.testing.assert_close(terms["attribute_edited"], expected)


def test_terms_without_weight_are_not_computed() -> None:
    game, turn = make_turn(make_config(weights={"edited": 0, "attribute": 0, "identity": 0}))
    assert set(game.compute_generator_terms(turn)) == {"adversarial", "reconstruction"}
    assert set(game.compute_generator_terms(turn)) == set(game.get_generator_weights(turn.clock))
    assert set(game.compute_discriminator_terms(turn)) == set(game.get_discriminator_weights(turn.clock))


def test_augmentation_reaches_every_image_of_the_half_batch() -> None:
    config = make_config(augment={"use": "ada"})
    trainer = train_on_random_batches(config, REGISTRY, 2)
    assert trainer.read_terms()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"encoder": {"style_dim": 7}}, r"generator.style_dim=6, encoder.style_dim=7, offset.style_dim=6"),
        ({"offset": {"rows": 3}}, r"encoder.rows=6, offset.rows=3"),
        ({"condition": {"use": "latent"}}, r"condition.use=latent: .* set condition.use=attributes"),
        ({"classification": {"use": "softmax"}}, r"classification.use=softmax gives .* set classification.use=binary"),
        ({"data": {"attributes": []}}, r"data.attributes: sd-gan-joint edits attributes"),
        ({"weights": {"mask": 1}}, r"weights.mask: .* set it to 0"),
    ],
)
def test_misfit_is_refused_with_advice(sets: dict[str, Any], message: str) -> None:
    config = make_config(**sets)
    with pytest.raises(ConfigError, match=message):
        compose(config, make_tiny_facts(config), REGISTRY)


def test_discriminator_without_attribute_head_is_refused() -> None:
    config = make_config()
    plain = REGISTRY.components["image_discriminator", "stylegan2"].config(**NARROW)
    config = config.model_copy(update={"discriminator": plain})
    with pytest.raises(ConfigError, match=r"discriminator.use=stylegan2 reads no attributes"):
        compose(config, make_tiny_facts(config), REGISTRY)


# ---- the editor ----


def make_editor(shares: tuple[float, float] = (0.5, 0.5)) -> Any:
    """Make an editor of shaken networks."""
    config = make_config()
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    shake(composition)
    composition.game.attribute_shares.copy_(torch.tensor(shares))
    networks = composition.networks.eval().requires_grad_(False)
    return composition.game.make_editor(networks, attributes=composition.facts.attributes)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, strength=st.floats(0, 1))
def test_strength_blends_and_zero_returns_the_origin(seed: int, strength: float) -> None:
    editor, image = make_editor(), make_faces(seed, 2, 16)
    targets = {"attributes": make_labels(seed, 2, 2)}
    assert torch.equal(editor.apply(image, targets, strength=0).image, image)
    full = editor.apply(image, targets).image
    blended = editor.apply(image, targets, strength=strength).image
    torch.testing.assert_close(blended, image.lerp(full, strength), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(full, editor.apply(image, {"attributes": 1 - targets["attributes"]}).image)


def test_edit_uses_encoder_basis_and_offset() -> None:
    editor, image, labels = make_editor(), make_faces(0, 2, 16), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    networks = editor.networks
    offset = networks["offset"]
    latents = networks["encoder"](image) + offset.basis[[0, 1]][:, None] + offset(image, labels)
    expected = networks["generator"](latents).image.clamp(-1, 1)
    torch.testing.assert_close(editor.apply(image, {"attributes": labels}).image, expected)


def test_unknown_labels_are_read_by_the_discriminator() -> None:
    editor, image = make_editor(), make_faces(0, 3, 16)
    editor.networks["discriminator"].attributes.bias.copy_(torch.tensor([9.0, -9.0]))
    request = editor.condition.parse({editor.attributes[0]: 0})
    assert editor.resolve(request, image)["attributes"].tolist() == [[0, 0]] * 3
    request = editor.condition.parse({editor.attributes[1]: 1})
    assert editor.resolve(request, image)["attributes"].tolist() == [[1, 1]] * 3


def test_samples_draw_labels_by_their_shares() -> None:
    editor = make_editor((0.25, 1.0))
    labels = editor.draw_labels(range(400))
    assert labels[:, 1].all() and 0.17 < float(labels[:, 0].mean()) < 0.33
    sample = editor.sample(range(8))
    assert torch.equal(sample.extras["attributes"], labels[:8])
    origin = editor.faces.draw_latents(range(8))
    step = labels[:8] @ editor.offset.basis
    torch.testing.assert_close(sample.extras["latents"] - origin, step[:, None].expand_as(origin), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="paints no layouts"):
        editor.sample([0], layout=torch.zeros(1, 2, 16, 16))


def test_samples_never_show_rivals_together() -> None:
    editor = make_editor((0.9, 0.9))
    editor.condition.add_exclusive_groups(editor.attributes)
    labels = editor.draw_labels(range(100))
    assert labels.sum(1).max() == 1 and labels[:, 0].any() and labels[:, 1].any()


def test_shares_follow_the_labels() -> None:
    game, turn = make_turn(make_config())
    turn.batch["source"]["attributes"] = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    before = game.attribute_shares.clone()
    for _ in range(2000):
        game.record_shares(turn)
        game.end_iteration(turn.clock)
    assert before.tolist() == [0.5, 0.5]
    assert float(game.attribute_shares[0]) > 0.98 and float(game.attribute_shares[1]) < 0.02
