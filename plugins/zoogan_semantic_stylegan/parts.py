"""The generators of all parts side by side (SemanticStyleGAN, section 3.2): one product a layer for them all."""

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
    """What the parts' generators make of latents: hidden (n, k, c, h, w), and depth (n, k, h, w), 0 for the first."""

    hidden: Float[Tensor, "n k c h w"]
    depth: Float[Tensor, "n k h w"]


def make_grid(side: int) -> Float[Tensor, "2 side side"]:
    """x and y of each pixel, -1 at the left and upper border and 1 at the others."""
    line = torch.linspace(-1, 1, side)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))


class Positions(nn.Module):
    """Fourier features of a place, mixed into `width` channels: x, y, and sine and cosine of 2^f times both."""

    waves: Tensor

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 2 * (2 * frequencies + 1)))
        self.register_buffer("waves", 2.0 ** torch.arange(frequencies), persistent=False)

    def forward(self, place: Float[Tensor, "*n 2 h w"]) -> Float[Tensor, "*n c h*w"]:
        """(..., 2, h, w) -> (..., width, h * w)."""
        place = place.flatten(-2)
        angles = place[..., None, :, :] * self.waves[:, None, None]
        turned = torch.cat([angles.sin(), angles.cos()], -2).flatten(-3, -2)  # sin x, sin y, cos x, cos y of each
        features = torch.cat([place, turned], -2)
        with disable_autocast(place):  # neighbours differ by less than bfloat16 can tell near the border
            return matmul_without_tf32(self.weight / math.sqrt(self.weight.shape[1]), features)


class PartGenerators(nn.Module):
    """An MLP over the pixels for each part, whose weights the part's latents scale as in StyleGAN2.

    They share the places, and nothing else. The first part, the background, has no depth: it is 0 everywhere. The
    weights of all parts and layers lie in one tensor, so that a layer is one batched product, whatever their number.
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
        """The weights of each layer for each face and part, scaled, demodulated, with the activation's gain."""
        n, (k, layers, c) = len(latents), self.bias.shape
        affine = self.affine_weight.flatten(0, 1).transpose(1, 2) / math.sqrt(latents.shape[2])
        scale = torch.baddbmm(self.affine_bias.view(-1, 1, c), latents.transpose(0, 1), affine)  # (k * l, n, c)
        with disable_autocast(scale):
            scale, weight = scale.to(self.weight.dtype) / math.sqrt(c), self.weight.flatten(0, 1)
            squares = torch.bmm(scale.square(), weight.square().transpose(1, 2))
            after = torch.rsqrt(squares + DEMODULATION_EPSILON) * LRELU_GAIN
            scaled = weight[:, None] * scale[:, :, None] * after[..., None]  # (k * l, n, c, c)
        return scaled.view(k, layers, n, c, c).permute(1, 2, 0, 3, 4).reshape(layers, n * k, c, c)

    def forward(self, latents: Float[Tensor, "n rows s"], positions: Tensor, side: tuple[int, int]) -> PartFeatures:
        """Latents with a row for each part and layer, (n, parts * layers, style_dim), layers of a part together.

        positions: (width, h * w) of all, or (n, parts, width, h * w); or (1, ...) for the parts of all faces.
        """
        n, k, c = len(latents), self.parts, self.width
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
        """How near each part is at each place; the background 0."""
        weight = F.pad(self.depth_weight * self.depth_scale / math.sqrt(self.width), (0, 0, 1, 0))
        depth = torch.matmul(weight[:, None], hidden).squeeze(2) + F.pad(self.depth_bias, (1, 0))[:, None]
        return depth.to(torch.promote_types(depth.dtype, torch.float32))


class Composition(nn.Module):
    """Parts as one feature map: of each place those of the nearest parts, softly; transparent parts lie over them.

    Weighs the parts' features before the linear layer that widens them, so that the wide maps of all parts need never
    exist: the same numbers, an eighth of the memory at the published widths.
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
        """The linear layer of each part."""
        return self.weight * (self.scale / math.sqrt(self.scale.shape[1]))[:, None]

    def compute_masks(
        self, depth: Float[Tensor, "n k h w"], kept: Float[Tensor, "#n k"] | None = None
    ) -> Float[Tensor, "n k h w"]:
        """The share of each part at each place; over all parts they add up to 1.

        kept: 1 = the part may show, 0 = it is left out.
        """
        masks = depth.softmax(1)
        if kept is None:
            return masks
        masks = masks * kept[..., None, None]
        return masks / (masks.sum(1, keepdim=True) + DEMODULATION_EPSILON)

    def compute_shares(self, masks: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """How much of each part's features a place takes: of the opaque ones as if no other were there, and the
        transparent ones on top."""
        if not self.transparent:
            return masks
        solid = masks * self.opaque
        return solid / (solid.sum(1, keepdim=True) + DEMODULATION_EPSILON) + masks * (1 - self.opaque)

    def forward(self, hidden: Float[Tensor, "n k c h w"], masks: Float[Tensor, "n k h w"]) -> Float[Tensor, "n o h w"]:
        """What all parts show together."""
        shares = self.compute_shares(masks).to(hidden.dtype)
        weight = self.get_linear_weights().transpose(0, 1).flatten(1).to(hidden.dtype)  # (outputs, parts * width)
        shown = (hidden * shares[:, :, None]).flatten(1, 2)
        biases = F.conv2d(shares, self.bias.t()[..., None, None].to(hidden.dtype))
        return F.conv2d(shown, weight[..., None, None]) + biases

    def compute_each_part(self, hidden: Float[Tensor, "n k c h w"]) -> Float[Tensor, "n k o h w"]:
        """The wide features of every part, before they are weighed."""
        wide = torch.einsum("koc,nkchw->nkohw", self.get_linear_weights(), hidden)
        return wide + self.bias[:, :, None, None]
