"""StyleGAN's mapping network: from noise to a latent of the same size."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan.interfaces.synthesis import Latent, LatentMapping
from zoogan.layers.config import PixelNormMappingConfig
from zoogan.layers.equalized import EqualizedLinear


def pixel_norm(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Scale each row to a mean square of 1.

    Args:
        x: Rows (n, d).

    Returns:
        The scaled rows (n, d).

    Source: Karras et al. 2018, section 4.2.
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class PixelNormMLP(nn.Sequential):
    """Pixel norm, then linear layers with leaky ReLUs, all of one width.

    Args:
        width: Numbers in and out of every layer.
        layers: How many linear layers.
        lr_multiplier: How fast their weights move.

    Source: StyleGAN (Karras et al. 2019), figure 1b.
    """

    def __init__(self, width: int, layers: int, lr_multiplier: float) -> None:
        super().__init__(
            *(EqualizedLinear(width, width, lr_multiplier=lr_multiplier, activate=True) for _ in range(layers))
        )

    def forward(self, input: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map (n, width) to (n, width)."""
        return super().forward(pixel_norm(input))


class PixelNormMapping(LatentMapping):
    """Map noise to a latent, both of `style_dim` numbers.

    Args:
        config: Size, number of layers and their speed.
        facts: Unused.

    Source: StyleGAN (Karras et al. 2019), figure 1b.
    """

    def __init__(self, config: PixelNormMappingConfig, facts: Facts) -> None:
        super().__init__()
        self.latent_dim = self.style_dim = config.style_dim
        self.layers = PixelNormMLP(config.style_dim, config.layers, config.lr_multiplier)

    def forward(self, latent: Float[Tensor, "n z"]) -> Latent:
        """Map noise N(0, 1) of shape (n, style_dim) to latents (n, style_dim), unbounded."""
        return self.layers(latent)
