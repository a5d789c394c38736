"""Moving averages of networks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of a network: average = decay * average + (1 - decay) * network.

    warm_up: the decay is min(decay, (k + 1) / (k + 10)) in iteration k, so that early averages are not the random
    initialisation; otherwise it is what it is from the start. Parameters are averaged; buffers (BatchNorm statistics,
    themselves averages) are copied.
    """

    def __init__(self, network: nn.Module, decay: float, warm_up: bool = True) -> None:
        self.decay, self.warm_up = decay, warm_up
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int, apply: Tensor | None = None) -> None:
        """Move towards `network`. `apply` is a 0-d 1.0 or 0.0 on the device: 0 leaves the average as it is."""
        decay = min(self.decay, (iteration + 1) / (iteration + 10)) if self.warm_up else self.decay
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(network.parameters())
        if apply is None:
            torch._foreach_lerp_(mine, theirs, 1 - decay)
        else:
            for a, b in zip(mine, theirs):
                a.lerp_(b, (1 - decay) * apply.to(a.dtype))
        for average, value in zip(self.network.buffers(), network.buffers()):
            average.copy_(value if apply is None else torch.where(apply > 0, value, average))
