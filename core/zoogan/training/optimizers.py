"""Optimizers and learning-rate schedules. A schedule is a pure function of the clock, so that resuming is exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from zoogan.config import ComponentConfig
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Step
from zoogan.training.config import AdamConfig, ConstantConfig, CosineConfig, LinearConfig

Schedule = Callable[[Clock], float]
"""Computes the factor of the learning rate at a clock."""
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""Makes the torch optimizer of some parameters."""


class Adam:
    """Builds torch's Adam for a network's parameters.

    Args:
        config: an `AdamConfig`.
        facts: not used.
    """

    def __init__(self, config: ComponentConfig, facts: Facts | None = None) -> None:
        assert isinstance(config, AdamConfig)
        self.config = config

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimizer: fused on CPU (2.7 times as fast as the loop) and CUDA, torch's choice elsewhere."""
        parameters = list(parameters)
        fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
        c = self.config
        return torch.optim.Adam(
            parameters, lr=c.lr, betas=c.betas, eps=c.eps, weight_decay=c.weight_decay, fused=fused or None
        )


def supports_found_inf(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether the optimizer skips its update where `found_inf` is 1.0; only fused optimizers do."""
    return all(group.get("fused") for group in optimizer.param_groups)


def correct_for_lazy_steps(optimizer: torch.optim.Optimizer, name: str, steps: Sequence[Step]) -> torch.optim.Optimizer:
    """Correct an optimizer in place for the lazy steps that update its network too.

    With m updates an iteration by its other steps and l by its lazy ones, the learning rate becomes lr * c and each
    beta becomes beta^c, where c = m / (m + l), so that the network changes as fast as without lazy steps. A network
    that only lazy steps train is not corrected.

    Args:
        optimizer: Of one network.
        name: Name of the network.
        steps: All steps of the game.

    Source:
        StyleGAN2, appendix B: c = k / (k + 1) for one update an iteration and a lazy one every k iterations.
    """
    own = [step for step in steps if name in step.trains]
    main = sum(step.repeat / step.every for step in own if not step.lazy)
    lazy = sum(step.repeat / step.every for step in own if step.lazy)
    if main and lazy:
        share = main / (main + lazy)
        for group in (optimizer.defaults, *optimizer.param_groups):
            group["lr"] *= share
            if "betas" in group:
                group["betas"] = tuple(beta**share for beta in group["betas"])
    return optimizer


def make_constant_schedule(config: ConstantConfig, facts: Facts | None = None) -> Schedule:
    """Make the schedule that keeps the learning rate: factor 1."""
    return lambda clock: 1.0


def compute_decay_progress(clock: Clock, start: float) -> float:
    """Compute the progress of the decay: 0 until the share `start` of the run, 1 at its end."""
    first = start * clock.iterations
    return min(1.0, max(0.0, (clock.iteration - first) / (clock.iterations - first)))


def make_linear_schedule(config: LinearConfig, facts: Facts | None = None) -> Schedule:
    """Make the schedule with factor 1 until `start`, then linearly to `final`."""
    return lambda clock: 1 - (1 - config.final) * compute_decay_progress(clock, config.start)


def make_cosine_schedule(config: CosineConfig, facts: Facts | None = None) -> Schedule:
    """Make the schedule with factor 1 until `start`, then half a cosine to `final`."""
    return lambda clock: (
        config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * compute_decay_progress(clock, config.start)))
    )
