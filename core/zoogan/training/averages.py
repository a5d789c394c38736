"""Moving averages of networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from itertools import compress

import torch
from torch import Tensor, nn

from zoogan.config import TrainingConfig

# At most this share of the images seen so far is the half-life of an average (StyleGAN2-ADA's official code).
RAMP = 0.05
BITS = {4: torch.int32, 8: torch.int64}  # integers as long as a float, by its length in bytes


def make_decay(training: TrainingConfig, images: int) -> Callable[[int], float] | None:
    """Make the function that gives the decay of the moving average in each iteration.

    `average` is the decay itself, with the warm-up min(decay, (k + 1) / (k + 10)) in iteration k. `average_images` is
    the half-life in images, independent of the batch size and at most 5 % of the images so far. A training that starts
    from another run continues that run's average without a warm-up.

    Args:
        training: settings.
        images: joint images of one iteration.

    Returns:
        Iteration -> decay; None if averages are off.
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

    Parameters are averaged; buffers (BatchNorm statistics, themselves averages) are copied.

    Args:
        network: to be averaged; its copy begins with the same weights.
        decay: iteration -> decay.
        frozen_names: names of parameters and buffers that stay as they are.
    """

    def __init__(self, network: nn.Module, decay: Callable[[int], float], frozen_names: Collection[str] = ()) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.averaged = [name not in frozen_names for name, _ in network.named_parameters()]
        self.copied = [name not in frozen_names for name, _ in network.named_buffers()]

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int, apply: Tensor | None = None) -> None:
        """Move the average towards a network.

        Args:
            network: the one that trains.
            iteration: of the training.
            apply: 0-d 1.0 or 0.0 on the device; 0.0 leaves the average as it is. None applies always.
        """
        decay = self.decay(iteration)
        averages: list[Tensor] = list(compress(self.network.parameters(), self.averaged))
        values: list[Tensor] = list(compress(network.parameters(), self.averaged))
        if not averages:
            pass
        elif apply is None:
            torch._foreach_lerp_(averages, values, 1 - decay)
        else:
            differences = list(torch._foreach_sub(averages, values))
            zero_unless_applied(apply, differences)
            torch._foreach_sub_(averages, differences, alpha=1 - decay)  # keeps -0.0, unlike adding
        for average, value in compress(zip(self.network.buffers(), network.buffers()), self.copied):
            average.copy_(value if apply is None else torch.where(apply > 0, value, average))


def zero_unless_applied(apply: Tensor, tensors: list[Tensor]) -> None:
    """Set all floats to 0.0 in place if `apply` (0-d, 1.0 or 0.0) is 0.0, infinite ones and NaN too.

    Their bits are multiplied as integers, because 0.0 * NaN is NaN.
    """
    bits = [tensor.view(BITS[tensor.element_size()]) for tensor in tensors]
    torch._foreach_mul_(bits, apply.to(bits[0].dtype))
