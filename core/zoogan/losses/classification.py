"""What attribute logits cost against labels."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.facts import Facts
from zoogan.interfaces import Classification


class Binary(Classification):
    """Every attribute by itself, as StarGAN does on CelebA: summed over attributes, not averaged."""

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """Binary cross entropy, summed over attributes, mean over the batch."""
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


class Softmax(Classification):
    """One of the attributes, as StarGAN does on RaFD: labels are one-hot."""

    exclusive: ClassVar[bool] = True

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """Cross entropy against the label that is set, mean over the batch."""
        return F.cross_entropy(logits, labels.argmax(1))

    def read(self, logits: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """One-hot: the most likely attribute; of equals the first."""
        return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
