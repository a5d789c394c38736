"""Moving averages of networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from itertools import compress

import torch
from torch import Tensor, nn

from zoogan.config import TrainingConfig

RAMP = (
    0.05  # an average over images reaches back over this share of those seen, at most (StyleGAN2-ADA's official code)
)

BITS = {4: torch.int32, 8: torch.int64}
"""Integers as long as a float, by its length in bytes."""


def decay_of(training: TrainingConfig, images: int) -> Callable[[int], float] | None:
    """The decay of the average in each iteration of so many images; None if no average is asked for.

    `average` is the decay itself, with the warm-up min(decay, (k + 1) / (k + 10)) in iteration k. `average_images` is
    the half-life in images, whatever the batch, ramped up to 5 % of the images seen. Neither warms up where training
    starts from another run: its average is worth keeping.
    """
    fresh = training.start_from is None
    if training.average is not None:
        decay, warm_up = training.average, training.average_warm_up and fresh
        return lambda k: min(decay, (k + 1) / (k + 10)) if warm_up else decay
    if training.average_images is not None:
        longest = training.average_images
        return lambda k: 0.5 ** (images / max(min(longest, RAMP * (k + 1) * images) if fresh else longest, 1e-8))
    return None


class Average:
    """An exponential moving average of a network: average = decay * average + (1 - decay) * network.

    Parameters are averaged; buffers (BatchNorm statistics, themselves averages) are copied. still: the names of those
    that stay as they are.
    """

    def __init__(self, network: nn.Module, decay: Callable[[int], float], still: Collection[str] = ()) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.averaged = [name not in still for name, _ in network.named_parameters()]
        self.copied = [name not in still for name, _ in network.named_buffers()]

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int, apply: Tensor | None = None) -> None:
        """Move towards `network`. `apply` is a 0-d 1.0 or 0.0 on the device: 0 leaves the average as it is."""
        decay = self.decay(iteration)
        mine: list[Tensor] = list(compress(self.network.parameters(), self.averaged))
        theirs: list[Tensor] = list(compress(network.parameters(), self.averaged))
        if not mine:
            pass
        elif apply is None:
            torch._foreach_lerp_(mine, theirs, 1 - decay)
        else:
            way = list(torch._foreach_sub(mine, theirs))
            zero_unless(apply, way)
            torch._foreach_sub_(mine, way, alpha=1 - decay)  # not added: -0.0 too stays as it is
        for average, value in compress(zip(self.network.buffers(), network.buffers()), self.copied):
            average.copy_(value if apply is None else torch.where(apply > 0, value, average))


def zero_unless(apply: Tensor, tensors: list[Tensor]) -> None:
    """Make all floats 0.0 in place if `apply` (0-d, 1.0 or 0.0) is 0, infinite ones and NaN too; else nothing.

    Their bits are multiplied as integers, for 0.0 * NaN is NaN.
    """
    bits = [tensor.view(BITS[tensor.element_size()]) for tensor in tensors]
    torch._foreach_mul_(bits, apply.to(bits[0].dtype))
