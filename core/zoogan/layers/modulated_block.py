"""The residual block of SMILE's decoder, whose convolutions a style modulates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers.activations import SQRT_HALF, leaky_relu
from zoogan.layers.modulated_conv import ModulatedConv2d


class ModulatedResidualBlock(nn.Module):
    """LReLU, [nearest x2], modulated 3x3, noise, LReLU, modulated 3x3, noise; plus the input; over sqrt(2).

    The scales of the convolutions are 1 + a linear function of the style. Both places share one strength of the noise,
    which begins at 0. There are no norms and no biases.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        style_dim: Numbers in a style.
        upsample: Double height and width.
        shortcut: Add the input; False = the residual alone, neither summed nor divided, without weights for the input.
        noise: Add noise; False = the block has no strength either.

    Source: SMILE (Romero et al. 2021), official `misc/normalization.py`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        style_dim: int,
        upsample: bool = False,
        shortcut: bool = True,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = ModulatedConv2d(inputs, outputs, 3, style_dim, affine="delta")
        self.conv2 = ModulatedConv2d(outputs, outputs, 3, style_dim, affine="delta")
        self.strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut and inputs != outputs else None
        self.sums, self.upsample = shortcut, upsample

    def forward(
        self, x: Float[Tensor, "n i h w"], style: Float[Tensor, "n s"], noise: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "n o h2 w2"]:
        """Map features to features of the same size, or twice as high and wide.

        Args:
            x: Features (n, inputs, h, w).
            style: Styles (n, style_dim).
            noise: Two maps N(0, 1) (n, 1, h2, w2), after each convolution; None = no noise.

        Returns:
            Features (n, outputs, h2, w2).
        """
        first, second = (None, None) if noise is None or self.strength is None else noise
        y = leaky_relu(x)
        y = F.interpolate(y, scale_factor=2.0, mode="nearest") if self.upsample else y
        y = self.add_noise(self.conv1(y, style), first)
        y = self.add_noise(self.conv2(leaky_relu(y, inplace=True), style), second)
        if not self.sums:
            return y
        # Enlarging last is the same function as enlarging first, and leaves the convolution a quarter of the pixels.
        x = x if self.shortcut is None else self.shortcut(x)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.upsample else x
        return (y + x).mul_(SQRT_HALF)

    def add_noise(self, x: Float[Tensor, "n o h w"], noise: Tensor | None) -> Float[Tensor, "n o h w"]:
        """Add a noise map (n, 1, h, w) times the learned strength; None adds nothing."""
        if noise is None or self.strength is None:
            return x
        return x + (noise * self.strength).to(x.dtype)
