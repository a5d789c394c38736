"""Trainers of narrow synthesis methods on random faces, and single steps of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Turn
from zoogan.plugins.host import get_zoo
from zoogan.testing.tensors import make_faces, make_noise, make_segmentation
from zoogan.training.trainer import Batch, Trainer

SIZE, STYLE, BATCH = 16, 6, 4
REGISTRY = get_zoo().registry
WIDTHS = {"channel_multiplier": 2**-8, "max_width": 5}
TINY: dict[str, Any] = {
    "data": {"source": "drawn", "image_size": SIZE, "batch": BATCH},
    "generator": WIDTHS | {"style_dim": STYLE},
    "mapping": {"style_dim": STYLE, "layers": 2},
    "discriminator": WIDTHS,
    "training": {"iterations": 100, "precision": "fp32", "average_images": None},
}
PARTS, TRANSPARENT = ("background", "face", "hair", "glasses"), ("glasses",)
PART_WIDTHS: dict[str, Any] = {
    "generator": {"part_layers": 3, "part_width": 4, "shared_layers": 1, "shape_layers": 2, "feature_width": 6}
}
FACTS = {
    "stylegan2": Facts(image_size=SIZE),
    "semantic-stylegan": Facts(image_size=SIZE, parts=PARTS, transparent=TRANSPARENT),
}


def make_trainer(batch: int = BATCH, facts: Facts | None = None, method: str = "stylegan2", **settings: Any) -> Trainer:
    """Make a trainer of narrow networks on random faces, which do not depend on the size of micro-batches.

    Args:
        batch: Faces of a micro-batch.
        facts: Facts of the data; None for those of `FACTS`.
        method: Name of a synthesis method.
        settings: Groups of settings that win over the narrow ones.
    """
    settings = merge({"data": {"batch": batch}}, settings)
    has_parts = method == "semantic-stylegan" and "use" not in settings.get("generator", {})
    tiny = merge(TINY, PART_WIDTHS if has_parts else {})
    config = validate(REGISTRY.methods[method], REGISTRY, merge(tiny, settings))
    rows = batch * config.training.accumulate

    def iterate_batches() -> Iterator[Batch]:
        k = 0
        while True:
            yield {
                "source": {
                    "image": make_faces(k, rows, SIZE),
                    "segmentation": make_segmentation(k, rows, SIZE, len(PARTS)),
                }
            }
            k += 1

    composition = compose(config, facts or FACTS[method], REGISTRY)
    with torch.no_grad():  # so that noise counts and no bias is 0
        for seed, parameter in enumerate(p for network in composition.networks.values() for p in network.parameters()):
            parameter += 0.1 * make_noise(seed, *parameter.shape)
    return Trainer(composition, REGISTRY, Accelerator(cpu=True), iterate_batches())


def make_turn(trainer: Trainer, step: str, iteration: int = 0) -> tuple[Any, Turn]:
    """Return a step and its turn on the first micro-batch."""
    if trainer.batch is None:
        trainer.fetch_batch()
    trainer.iteration = iteration
    game_step = next(s for s in trainer.game.steps if s.name == step)
    turn = trainer.make_turn(game_step, 0, Clock(iteration, 100), slice(0, trainer.config.data.batch), frozenset())
    return game_step, turn


def compute_step(
    trainer: Trainer, name: str, mixed: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """Compute the terms of a step and the gradients of the networks that it trains.

    Args:
        trainer: The trainer.
        name: Name of the step.
        mixed: Whether to compute in bfloat16 where autocast does.
    """
    trainer.networks.zero_grad()
    step, turn = make_turn(trainer, name)
    with trainer.enable_gradients(step, graph=False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            terms = step.terms(turn)
        torch.stack([weight * terms[term] for term, weight in step.weights(turn.clock).items()]).sum().backward()
    gradients = {f"{n}/{k}": p.grad for n in step.trains for k, p in trainer.networks[n].named_parameters()}
    return {term: value.detach() for term, value in terms.items()}, gradients
