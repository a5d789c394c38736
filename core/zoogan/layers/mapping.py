"""The mapping of StyleGAN and its kin: from noise to a latent of the same size."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces.synthesis import Latent, LatentMapping
from zoogan.layers.config import PixelNormMappingConfig
from zoogan.layers.equalised import PixelNormMLP


class PixelNormMapping(LatentMapping):
    """Noise to latent, both of style_dim numbers (StyleGAN, figure 1b)."""

    def __init__(self, config: PixelNormMappingConfig, facts: Facts) -> None:
        super().__init__()
        self.latent_dim = self.style_dim = config.style_dim
        self.layers = PixelNormMLP(config.style_dim, config.layers, config.lr_multiplier)

    def forward(self, latent: Float[Tensor, "n z"]) -> Latent:
        """N(0, 1) of shape (n, style_dim) -> (n, style_dim), unbounded."""
        return self.layers(latent)
