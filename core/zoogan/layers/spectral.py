"""Spectral norm: a weight is divided by its largest singular value whenever it is used.

Source: Miyato et al. 2018.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from zoogan.layers.precision import disable_autocast

FIRST_ITERATIONS = 15  # as torch


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value, in full precision also under autocast (unlike torch's own).

    A step of the power iteration before each training forward estimates it.

    Args:
        weight: The weight; its first dimension counts the outputs.

    Attributes:
        left: Estimate of the left singular vector (o,).
        right: Estimate of the right one.

    Source: Miyato et al. 2018, section 2.1 and appendix A.
    """

    left: Float[Tensor, " o"]
    right: Float[Tensor, " i"]

    def __init__(self, weight: Float[Tensor, " o *i"]) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("right", F.normalize(torch.randn_like(matrix[0]), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self.update_vectors(matrix)

    @torch.no_grad()
    def update_vectors(self, matrix: Float[Tensor, "o i"]) -> None:
        """Run a step of the power iteration.

        Args:
            matrix: The weight, flattened.
        """
        # Products of matrices: those with vectors are slow on the meta device, where rehearsals run.
        self.left.copy_(F.normalize((matrix @ self.right[:, None])[:, 0], dim=0))
        self.right.copy_(F.normalize((self.left[None] @ matrix)[0], dim=0))

    def forward(self, weight: Float[Tensor, " o *i"]) -> Float[Tensor, " o *i"]:
        """Divide a weight by the estimate of its largest singular value."""
        with disable_autocast(weight):
            matrix = weight.flatten(1)
            if self.training:
                self.update_vectors(matrix)
            # Copies, because another forward may change the vectors before the backward.
            largest = self.left.clone()[None] @ matrix @ self.right.clone()[:, None]
            return weight / largest.squeeze()


def add_spectral_norm(layer: nn.Module) -> None:
    """Make a convolution or linear layer use its weight divided by the largest singular value, in place.

    Args:
        layer: The layer; its parameter `weight` is then called `parametrizations.weight.original`.
    """
    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.get_parameter("weight")))
