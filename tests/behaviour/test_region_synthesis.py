"""Region synthesis: layouts painted with drawn codes in even iterations, with those of the photos in odd ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoogan import ConfigError
from zoogan.composition.build import compose, expect_facts
from zoogan.composition.rehearsal import rehearse
from zoogan.config import GameConfig, compose_config
from zoogan.interfaces import Clock, Draws, Shared, Turn, World
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_random_batches, make_tiny_config, train_on_random_batches

REGISTRY = get_zoo().registry


def make_config(**sets: Any) -> GameConfig:
    small = {"width": 4, "widths": [6, 5], "stem_width": 4, "stem_halvings": 1, "code_dim": 4, "hidden": 4}
    given = sets.pop("generator", {})
    layer = {
        "generator": small | given if "use" not in given else given,
        "mapping": {"code_dim": 4, "layers": 1}, "region_encoder": {"code_dim": 4, "width": 4},
        "discriminator": {"channel_multiplier": 0.01, "max_width": 4},
    }  # fmt: skip
    layer["generator"].pop("width", None)
    return make_tiny_config("smile-image", REGISTRY, {**layer, **sets})


def make_turn(config: GameConfig, iteration: int) -> tuple[Any, Turn]:
    composition = compose(config, expect_facts(config), REGISTRY)
    batch = next(make_random_batches(composition))
    draw = Draws(0, World.make_single(), 4, slice(None))
    clock = Clock(iteration, 4)
    turn = Turn(composition.networks, batch, {}, Shared(), clock, World.make_single(), draw)
    return composition.game, turn


def test_steps_alternate():
    game, _ = make_turn(make_config(), 0)
    due = [[step.name for step in game.steps if step.is_due(k)] for k in (1, 2, 3)]
    assert due == [
        ["discriminator", "reconstruction"],
        ["discriminator", "generator"],
        ["discriminator", "reconstruction"],
    ]
    trains = {step.name: step.trains for step in game.steps}
    assert trains["reconstruction"] == ("generator", "region_encoder")
    assert trains["generator"] == ("generator", "mapping")


def test_without_encoder_it_is_plain_synthesis():
    config = make_config(region_encoder={"use": "none"})
    game, _ = make_turn(config, 0)
    assert [step.name for step in game.steps] == ["discriminator", "penalty", "generator"]
    assert all(step.every == 1 for step in game.steps if step.name == "generator")
    assert game.averages == ("generator", "mapping")
    trainer = train_on_random_batches(config, REGISTRY, 2)
    assert set(trainer.networks) == {"generator", "mapping", "discriminator"}


def test_the_discriminator_judges_reconstructions_in_odd_iterations():
    game, turn = make_turn(make_config(), 1)
    fakes = game.generate_fakes(turn)
    codes = game.reconstruct(turn)[1]
    assert torch.equal(fakes.image, game.reconstruct(turn)[0].image)
    game, even = make_turn(make_config(), 2)
    drawn = game.generate_fakes(even)
    assert not torch.allclose(drawn.image, fakes.image)
    assert not fakes.image.requires_grad and codes.requires_grad


def test_parts_that_a_photo_lacks_get_drawn_codes():
    game, turn = make_turn(make_config(), 1)
    layout = torch.zeros_like(turn.batch["source"]["layout"])
    layout[:, 0] = 1  # background everywhere
    turn.batch["source"]["layout"] = layout
    _, codes = game.reconstruct(turn)
    drawn = turn.networks["mapping"](turn.draw.normal("latent", game.latent_dim, like=layout)).unflatten(
        1, codes.shape[1:]
    )
    assert torch.equal(codes[:, 1:], drawn[:, 1:])
    own = turn.networks["region_encoder"](turn.batch["source"]["image"], layout).codes
    assert torch.equal(codes[:, 0], own[:, 0])


def test_reconstruction_terms_and_where_their_gradient_goes():
    game, turn = make_turn(make_config(), 1)
    terms, weights = game.compute_reconstruction_terms(turn), game.get_reconstruction_weights(turn.clock)
    assert set(terms) == set(weights) == {"adversarial", "reconstruction"}
    face = game.reconstruct(turn)[0].image
    expected = (face - turn.batch["source"]["image"]).abs().mean()
    torch.testing.assert_close(terms["reconstruction"], expected)
    terms["reconstruction"].backward()
    assert all(p.grad is None for p in turn.networks["mapping"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in turn.networks["region_encoder"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in turn.networks["generator"].parameters())


def test_the_penalty_differentiates_images_alone_by_default():
    game, turn = make_turn(make_config(), 0)
    assert game.config.weights.segmentation_penalty == 0
    seen = []

    def record(scorer: Any, real: torch.Tensor, fake: torch.Tensor, draw: Any) -> torch.Tensor:
        seen.append(real.shape[1])
        score = scorer(real)
        assert score.shape == (4, 1)
        return score.sum()

    record.on_real = True  # type: ignore[attr-defined]
    game.penalty = record
    game.compute_penalty_terms(turn)
    both, turn = make_turn(make_config(weights={"segmentation_penalty": 1.0}), 0)
    both.penalty = record
    both.compute_penalty_terms(turn)
    assert seen == [3, 3 + len(both.parts)]


def test_pairs_are_the_given_layouts():
    game, turn = make_turn(make_config(), 0)
    layout = turn.batch["source"]["layout"]
    assert game.needs["source"].fields == ("image", "layout")
    assert torch.equal(game.make_real_input(turn)[:, 3:], 2 * layout - 1)
    assert torch.equal(game.make_fake_input(game.generate_fakes(turn))[:, 3:], 2 * layout - 1)


def test_path_lengths_train_on_layouts():
    config = make_config(weights={"path_length": 2.0, "path_every": 2})
    trainer = train_on_random_batches(config, REGISTRY, 3)
    assert float(trainer.game.path_mean) > 0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"region_encoder": {"code_dim": 5, "width": 4}}, "code_dim=4, region_encoder.code_dim=5"),
        ({"mapping": {"code_dim": 5, "layers": 1}}, "style_dim"),
        ({"weights": {"mask": 1.0}}, "weights.mask"),
        ({"generator": {"codes": "none"}}, "region_encoder.use=none"),
        (
            {"generator": {"codes": "none"}, "region_encoder": {"use": "none"}, "weights": {"path_length": 1.0}},
            "weights.path_length=0",
        ),
        ({"generator": {"use": "stylegan2", "style_dim": 76}, "judge_segmentation": False}, "takes no layouts"),
    ],
)
def test_networks_that_do_not_fit_are_refused(sets, message):
    config = make_config(**sets)
    with pytest.raises(ConfigError, match=message):
        compose(config, expect_facts(config), REGISTRY)


@pytest.mark.parametrize(
    ("recipe", "parameters"),
    [
        ("ffhq-256", 42_235_054),
        ("no-encoder-256", 39_919_462),
        ("no-codes-256", 36_095_782),
        ("stylegan2-256", 30_034_338),
    ],
)
def test_parameter_counts_of_the_paper(recipe, parameters):
    config = compose_config(REGISTRY.methods["smile-image"], REGISTRY, recipe=recipe)
    with torch.device("meta"):
        networks = compose(config, expect_facts(config), REGISTRY).networks
    slots = [slot for slot in networks if slot != "discriminator"]
    assert sum(p.numel() for slot in slots for p in networks[slot].parameters()) == parameters


def test_penalties_between_real_and_generated_need_equal_maps():
    config = compose_config(REGISTRY.methods["semantic-stylegan"], REGISTRY, sets={
        "penalty": {"use": "gradient"}, "weights": {"segmentation_penalty": 0.0},
    })  # fmt: skip
    with torch.device("meta"), pytest.raises(ConfigError, match="segmentation_penalty=0"):
        compose(config, expect_facts(config), REGISTRY)


def test_other_methods_can_use_the_layout_generator():
    sets = {
        "data": {"image_size": 16}, "generator": {"use": "smile-image", **make_config().generator.model_dump()},
        "mapping": make_config().mapping.model_dump(), "training": {"precision": "fp32"},
        "discriminator": {"use": "stylegan2", "channel_multiplier": 0.01, "max_width": 4},
    }  # fmt: skip
    config = compose_config(REGISTRY.methods["stylegan2"], REGISTRY, sets=sets)
    rehearse(config, expect_facts(config), REGISTRY)
