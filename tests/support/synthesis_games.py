"""Narrow networks of the methods that play synthesis, and what a step of theirs sees and does."""

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
OF_PARTS: dict[str, Any] = {
    "generator": {"part_layers": 3, "part_width": 4, "shared_layers": 1, "shape_layers": 2, "feature_width": 6}
}
FACTS = {
    "stylegan2": Facts(image_size=SIZE),
    "semantic-stylegan": Facts(image_size=SIZE, parts=PARTS, transparent=TRANSPARENT),
}


def trainer_of(batch: int = BATCH, facts: Facts | None = None, method: str = "stylegan2", **sets: Any) -> Trainer:
    """A trainer of narrow networks on random faces, the same ones however they are split into micro-batches."""
    asked = merge({"data": {"batch": batch}}, sets)
    of_parts = method == "semantic-stylegan" and "use" not in asked.get("generator", {})
    tiny = merge(TINY, OF_PARTS if of_parts else {})
    config = validate(REGISTRY.methods[method], REGISTRY, merge(tiny, asked))
    rows = batch * config.training.accumulate

    def batches() -> Iterator[Batch]:
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
    with torch.no_grad():  # noise that is heard, biases that are not 0
        for seed, parameter in enumerate(p for network in composition.networks.values() for p in network.parameters()):
            parameter += 0.1 * make_noise(seed, *parameter.shape)
    return Trainer(composition, REGISTRY, Accelerator(cpu=True), batches())


def turn_of(trainer: Trainer, step: str, iteration: int = 0) -> tuple[Any, Turn]:
    """A step, and what it sees of the first micro-batch."""
    if trainer.batch is None:
        trainer.fetch_batch()
    trainer.iteration = iteration
    chosen = next(s for s in trainer.game.steps if s.name == step)
    return chosen, trainer.make_turn(chosen, 0, Clock(iteration, 100), slice(0, trainer.config.data.batch), frozenset())


def played(trainer: Trainer, name: str, mixed: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """A step's terms, perhaps in mixed precision, and the gradients that they leave in what it trains."""
    trainer.networks.zero_grad()
    step, turn = turn_of(trainer, name)
    with trainer.enable_gradients(step, graph=False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            terms = step.terms(turn)
        torch.stack([weight * terms[term] for term, weight in step.weights(turn.clock).items()]).sum().backward()
    found = {f"{n}/{k}": p.grad for n in step.trains for k, p in trainer.networks[n].named_parameters()}
    return {term: value.detach() for term, value in terms.items()}, found
