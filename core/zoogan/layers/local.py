"""Locally connected layer: a linear layer of its own at each position."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LocallyConnected(nn.Module):
    """Multiplies the channels at each position by a matrix of that position; without a bias.

    The weight is stored as (positions, inputs, outputs), so that one batched product reads it once, whatever the batch.
    Laid out by channels first, every call would copy it, or make a product as large as the weight for each row.

    Args:
        positions: Number of positions.
        inputs: Channels in.
        outputs: Channels out.
        std: Standard deviation of the weights at the start; None = 1 / sqrt(inputs), which keeps the variance.

    Source: SD-GAN (Zhou et al. 2022), official `localconntect.py`, which starts with std=1.
    """

    def __init__(self, positions: int, inputs: int, outputs: int, *, std: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(positions, inputs, outputs))
        nn.init.normal_(self.weight, 0.0, 1 / math.sqrt(inputs) if std is None else std)

    def forward(self, x: Float[Tensor, "n i p"]) -> Float[Tensor, "n o p"]:
        """Map (n, inputs, positions) to (n, outputs, positions)."""
        return torch.bmm(x.permute(2, 0, 1), self.weight).permute(1, 2, 0)
