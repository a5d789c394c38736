"""The generators of all parts, computed as one batched product a layer, and the composition of parts.

Source: SemanticStyleGAN, section 3.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers import DEMODULATION_EPSILON, LRELU_GAIN, disable_autocast, leaky_relu, matmul_without_tf32

Places = Float[Tensor, "#n k 2 h w"]


class PartFeatures(NamedTuple):
    """The output of the parts' generators.

    Attributes:
        hidden: Features of each part.
        depth: How near each part is; 0 for the first part, the background.
    """

    hidden: Float[Tensor, "n k c h w"]
    depth: Float[Tensor, "n k h w"]


def make_coordinate_grid(side: int) -> Float[Tensor, "2 side side"]:
    """Return x and y of each pixel, -1 at the left and upper border and 1 at the others."""
    line = torch.linspace(-1, 1, side)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))


class Positions(nn.Module):
    """Fourier features of places, x, y, and sine and cosine of 2^f times both, mixed into channels.

    Args:
        frequencies: Number of frequencies, f = 0, 1, ...
        width: Channels of the mixture.
    """

    waves: Tensor

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 2 * (2 * frequencies + 1)))
        self.register_buffer("waves", 2.0 ** torch.arange(frequencies), persistent=False)

    def forward(self, place: Float[Tensor, "*n 2 h w"]) -> Float[Tensor, "*n c h*w"]:
        """Encode places (..., 2, h, w) to (..., width, h * w)."""
        place = place.flatten(-2)
        angles = place[..., None, :, :] * self.waves[:, None, None]
        waves = torch.cat([angles.sin(), angles.cos()], -2).flatten(-3, -2)  # sin x, sin y, cos x, cos y of each
        features = torch.cat([place, waves], -2)
        with disable_autocast(place):  # near the border neighbours differ by less than the precision of bfloat16
            return matmul_without_tf32(self.weight / math.sqrt(self.weight.shape[1]), features)


class PartGenerators(nn.Module):
    """An MLP over the pixels for each part, whose weights the part's latents scale as in StyleGAN2.

    The parts share only the places. The depth of the first part, the background, is 0 everywhere. The weights of all
    parts and layers are in one tensor, so that a layer is one batched product for any number of parts.

    Args:
        parts: Number of parts.
        layers: Layers of each MLP.
        shape_layers: The depth is read after this many layers.
        width: Width of the layers.
        style_dim: Length of a latent.
        detach_texture: Stop the gradient from the later layers to the earlier ones.
    """

    def __init__(
        self, parts: int, layers: int, shape_layers: int, width: int, style_dim: int, detach_texture: bool = False
    ) -> None:
        super().__init__()
        self.parts, self.layers, self.shape_layers, self.width = parts, layers, shape_layers, width
        self.detach_texture = detach_texture
        self.weight = nn.Parameter(torch.randn(parts, layers, width, width))
        self.bias = nn.Parameter(torch.zeros(parts, layers, width))
        self.affine_weight = nn.Parameter(torch.randn(parts, layers, width, style_dim))
        self.affine_bias = nn.Parameter(torch.ones(parts, layers, width))
        self.depth_weight = nn.Parameter(torch.randn(parts - 1, width))
        self.depth_scale = nn.Parameter(torch.ones(parts - 1, width))
        self.depth_bias = nn.Parameter(torch.zeros(parts - 1))

    def compute_weights(self, latents: Float[Tensor, "n rows s"]) -> Float[Tensor, "l nk c c"]:
        """Compute each layer's weights for each face and part: scaled, demodulated, with the activation's gain."""
        n, (k, layers, c) = latents.shape[0], self.bias.shape
        affine = self.affine_weight.flatten(0, 1).transpose(1, 2) / math.sqrt(latents.shape[2])
        scale = torch.baddbmm(self.affine_bias.view(-1, 1, c), latents.transpose(0, 1), affine)  # (k * l, n, c)
        with disable_autocast(scale):
            scale, weight = scale.to(self.weight.dtype) / math.sqrt(c), self.weight.flatten(0, 1)
            squares = torch.bmm(scale.square(), weight.square().transpose(1, 2))
            after = torch.rsqrt(squares + DEMODULATION_EPSILON) * LRELU_GAIN
            scaled = weight[:, None] * scale[:, :, None] * after[..., None]  # (k * l, n, c, c)
        return scaled.view(k, layers, n, c, c).permute(1, 2, 0, 3, 4).reshape(layers, n * k, c, c)

    def forward(self, latents: Float[Tensor, "n rows s"], positions: Tensor, side: tuple[int, int]) -> PartFeatures:
        """Compute features and depth of all parts.

        Args:
            latents: A row for each part and layer (n, parts * layers, style_dim), the layers of a part together.
            positions: (width, h * w) for all, (n, parts, width, h * w) for each face and part, or (1, ...) for the
                parts of all faces.
            side: Height and width of the features.
        """
        n, k, c = latents.shape[0], self.parts, self.width
        weights = self.compute_weights(latents)
        biases = (
            (self.bias * LRELU_GAIN).transpose(0, 1)[:, None].expand(-1, n, -1, -1).reshape(self.layers, n * k, c, 1)
        )
        x, depth = positions, positions
        for layer in range(self.layers):
            if x.ndim == 2:  # the same for all faces and parts: one product of two matrices
                x = (weights[layer].reshape(-1, c) @ x).view(n * k, c, -1) + biases[layer]
            else:
                x = x.expand(n, -1, -1, -1).reshape(n * k, c, -1) if x.ndim == 4 else x
                x = torch.baddbmm(biases[layer], weights[layer], x)
            x = leaky_relu(x, inplace=True)
            if layer == self.shape_layers - 1:
                depth = self.compute_depth(x.view(n, k, c, -1))
                x = x.detach() if self.detach_texture and layer < self.layers - 1 else x
        return PartFeatures(x.view(n, k, c, *side), depth.view(n, k, *side))

    def compute_depth(self, hidden: Float[Tensor, "n k c p"]) -> Float[Tensor, "n k p"]:
        """Compute how near each part is at each place; the background is 0."""
        weight = F.pad(self.depth_weight * self.depth_scale / math.sqrt(self.width), (0, 0, 1, 0))
        depth = torch.matmul(weight[:, None], hidden).squeeze(2) + F.pad(self.depth_bias, (1, 0))[:, None]
        return depth.to(torch.promote_types(depth.dtype, torch.float32))


class PartComposition(nn.Module):
    """Composes one feature map from the parts: the nearest ones by a softmax, transparent parts over them.

    The parts' features are weighted before the linear layer that widens them, so that the wide maps of all parts are
    never stored: the same result with an eighth of the memory at the published widths.

    Args:
        parts: Number of parts.
        width: Channels of a part's features.
        outputs: Channels of the feature map.
        transparent: Indices of the transparent parts.
    """

    opaque: Tensor

    def __init__(self, parts: int, width: int, outputs: int, transparent: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(parts, outputs, width))
        self.scale = nn.Parameter(torch.ones(parts, width))
        self.bias = nn.Parameter(torch.zeros(parts, outputs))
        self.transparent = bool(transparent)
        opaque = torch.ones(parts, 1, 1)
        opaque[list(transparent)] = 0
        self.register_buffer("opaque", opaque, persistent=False)

    def get_linear_weights(self) -> Float[Tensor, "k o c"]:
        """Return the weights of each part's linear layer."""
        return self.weight * (self.scale / math.sqrt(self.scale.shape[1]))[:, None]

    def compute_masks(
        self, depth: Float[Tensor, "n k h w"], visible: Float[Tensor, "#n k"] | None = None
    ) -> Float[Tensor, "n k h w"]:
        """Compute the share of each part at each place; the shares of all parts add up to 1.

        Args:
            depth: How near each part is.
            visible: 1 = the part may show, 0 = it is left out; None = all parts.
        """
        masks = depth.softmax(1)
        if visible is None:
            return masks
        masks = masks * visible[..., None, None]
        return masks / (masks.sum(1, keepdim=True) + DEMODULATION_EPSILON)

    def compute_shares(self, masks: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """Compute the weight of each part's features at each place.

        The opaque parts are weighted as if there were no transparent ones; the transparent parts are added on top.
        """
        if not self.transparent:
            return masks
        solid = masks * self.opaque
        return solid / (solid.sum(1, keepdim=True) + DEMODULATION_EPSILON) + masks * (1 - self.opaque)

    def forward(self, hidden: Float[Tensor, "n k c h w"], masks: Float[Tensor, "n k h w"]) -> Float[Tensor, "n o h w"]:
        """Compose the features of all parts, weighed by their masks."""
        shares = self.compute_shares(masks).to(hidden.dtype)
        weight = self.get_linear_weights().transpose(0, 1).flatten(1).to(hidden.dtype)  # (outputs, parts * width)
        weighed = (hidden * shares[:, :, None]).flatten(1, 2)
        biases = F.conv2d(shares, self.bias.t()[..., None, None].to(hidden.dtype))
        return F.conv2d(weighed, weight[..., None, None]) + biases

    def compute_each_part(self, hidden: Float[Tensor, "n k c h w"]) -> Float[Tensor, "n k o h w"]:
        """Compute the wide features of every part, before they are weighed."""
        wide = torch.einsum("koc,nkchw->nkohw", self.get_linear_weights(), hidden)
        return wide + self.bias[:, :, None, None]
