"""Synthesis with a discriminator of pairs: images and their segmentations; with SemanticStyleGAN's networks, narrow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from support.synthesis_games import FACTS, PARTS, SIZE, compute_step, make_trainer, make_turn
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.synthesis import Synthesis, make_one_hot_maps
from zoogan.interfaces import SynthesisedFace
from zoogan.losses.synthesis import mask_loss
from zoogan.testing.tensors import make_noise, make_segmentation

METHOD = "semantic-stylegan"


def game_of(**sets: Any) -> Synthesis:
    """The game alone."""
    game = make_trainer(method=METHOD, **sets).game
    assert isinstance(game, Synthesis)
    return game


def test_segmentation_is_read_only_if_judged() -> None:
    assert game_of().needs["source"].fields == ("image", "segmentation")
    alone = {"judge_segmentation": False, "weights": {"mask": 0}}
    assert game_of(**alone).needs["source"].fields == ("image",)
    blind = {"discriminator": {"use": "stylegan2"}}
    assert game_of(**blind).needs["source"].fields == ("image",)


def test_mismatched_pair_networks_are_refused() -> None:
    one_piece = {"generator": {"use": "stylegan2", "style_dim": 6}, "weights": {"mask": 0}}
    with pytest.raises(ConfigError, match="looks at segmentations of 4 classes, but generator 'stylegan2' gives none"):
        make_trainer(method=METHOD, **one_piece)
    with pytest.raises(ConfigError, match=r"weights.mask: generator 'stylegan2' makes no masks of parts"):
        make_trainer(method=METHOD, **one_piece | {"weights": {"mask": 1}, "judge_segmentation": False})
    with pytest.raises(ConfigError, match="makes faces of parts, and this source has none"):
        make_trainer(method=METHOD, facts=Facts(image_size=SIZE))


def test_pair_appends_class_planes_to_image() -> None:
    trainer = make_trainer(method=METHOD)
    _, turn = make_turn(trainer, "discriminator")
    assert isinstance(trainer.game, Synthesis)
    real, sample = trainer.game.make_real_input(turn), turn.batch["source"]
    assert torch.equal(real[:, :3], sample["image"])
    assert set(real[:, 3:].unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(real[:, 3:].argmax(1), sample["segmentation"].long())
    assert (real[:, 3:].sum(1) == 2 - len(PARTS)).all()


def test_pair_augmentation_colours_only_the_image() -> None:
    labels = make_segmentation(0, 4, SIZE, len(PARTS))
    layout = make_one_hot_maps(labels, len(PARTS), like=torch.zeros(1))
    image = layout[:, :3].clone()  # a picture that is the segmentation: what moves one moves the other
    for use in ({"use": "diffaugment", "color": False}, {"use": "ada", "start": 1.0}):
        trainer = make_trainer(method=METHOD, augment=use)
        _, turn = make_turn(trainer, "discriminator")
        assert isinstance(trainer.game, Synthesis)
        seen = trainer.game.augment_for_discriminator(torch.cat([image, layout], 1), turn, "real")
        moved = seen[:, 3:] - layout
        assert moved.abs().amax((1, 2, 3)).gt(0.5).any(), "something moved"
        if use["use"] == "diffaugment":
            assert torch.equal(seen[:, :3], seen[:, 3:6])
        else:  # what is left of the classes still adds up to what a pixel's must, whatever became of the colours
            inside = seen[:, 3:].abs().sum(1) > 0
            assert not torch.allclose(seen[:, :3], seen[:, 3:6], atol=0.1)
            shares = (seen[:, 3:].sum(1) / (2 - len(PARTS)))[inside]
            assert shares.min() > -0.5 and shares.median() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("ratio", [1.0, 100.0])
def test_penalty_uses_segmentation_weight(ratio: float) -> None:
    trainer = make_trainer(method=METHOD, weights={"segmentation_penalty": ratio}, training={"precision": "fp64"})
    trainer.networks.double()
    step, turn = make_turn(trainer, "penalty")
    sample, discriminator = turn.batch["source"], trainer.networks["discriminator"]
    image = sample["image"].double().requires_grad_()
    layout = make_one_hot_maps(sample["segmentation"], len(PARTS), like=image.detach()).requires_grad_()
    slopes = torch.autograd.grad(discriminator(image, layout).sum(), [image, layout])
    of_image, of_layout = (slope.square().flatten(1).sum(1).mean() for slope in slopes)
    sample["image"] = image.detach()
    torch.testing.assert_close(step.terms(turn)["penalty"], (of_image + ratio * of_layout) / 2)


def test_segmentation_branch_needs_pairs() -> None:
    trainer = make_trainer(method=METHOD, judge_segmentation=False)
    for name in ("discriminator", "penalty"):
        gradients = compute_step(trainer, name)[1]
        branch = {key: g for key, g in gradients.items() if "segmentation_trunk" in key}
        assert branch and all(g is None for g in branch.values())
        assert any(g is not None and bool(g.any()) for key, g in gradients.items() if key not in branch)


def test_mask_term_equals_hand_computation() -> None:
    coarse, segmentation = make_noise(0, 2, 3, 4, 4), make_noise(1, 2, 3, 8, 8)
    total = 0.0
    for n in range(2):
        for k in range(3):
            for y in range(4):
                for x in range(4):
                    pooled = segmentation[n, k, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
                    total += float(coarse[n, k, y, x] - pooled) ** 2
    made = SynthesisedFace(torch.zeros(2, 3, 8, 8), segmentation, coarse)
    assert float(mask_loss(made)) == pytest.approx(total / (2 * 3 * 4 * 4), rel=1e-5)


def test_mask_term_trains_parts_and_renderer() -> None:
    trainer = make_trainer(method=METHOD)
    step, turn = make_turn(trainer, "generator")
    with trainer.enable_gradients(step, graph=False):
        terms = step.terms(turn)
        terms["mask"].backward()
    moved = {key for key, p in trainer.networks["generator"].named_parameters() if p.grad is not None and p.grad.any()}
    assert {"part_generators.depth_weight", "renderer.stages.0.segmentation.weight"} <= moved
    assert "composition.weight" in moved
    assert step.weights(turn.clock) == {"adversarial": 1.0, "mask": 100.0}


def test_path_length_uses_latent_of_every_layer() -> None:
    """Not of w+: a row that six layers read would count once."""
    trainer = make_trainer(method=METHOD)
    seen: list[Tensor] = []
    generator: Any = trainer.networks["generator"]
    forward = generator.forward

    def spied(latents: Tensor, noise: Any = None) -> SynthesisedFace:
        seen.append(latents)
        return forward(latents, noise)

    generator.forward = spied
    _, gradients = compute_step(trainer, "path_length")
    assert seen[0].shape[1] == generator.layers == len(PARTS) * 3 and seen[0].requires_grad
    assert all(g is None for key, g in gradients.items() if key.startswith("mapping"))
    assert FACTS[METHOD].parts == generator.parts
