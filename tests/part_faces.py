"""Faces made of parts, simple enough to know what must come out."""

from __future__ import annotations

from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from face_runs import ToyMapping
from zoogan.conditions.latent import LatentCondition
from zoogan.games.synthesis_editor import SynthesisEditor
from zoogan.interfaces import LatentGenerator, Synthesised

PARTS = ("background", "face", "hair")
SIDE, COARSE_SIDE, STYLE = 8, 4, 5
ROWS = 1 + 2 * len(PARTS)
COLOURS = torch.linspace(-1, 1, 3 * STYLE).view(3, STYLE)
HEIGHTS = torch.linspace(-1, 1, COARSE_SIDE * COARSE_SIDE * STYLE).view(COARSE_SIDE * COARSE_SIDE, STYLE)


class PartGenerator(LatentGenerator):
    """Of each part a depth, linear in its shape and the coarse row, and a flat colour, linear in its texture."""

    parts, rows, style_dim = PARTS, ROWS, STYLE
    noise_sizes = ((SIDE, SIDE),)
    part_rows = MappingProxyType(
        {"coarse": {"shape": (0,)}}
        | {part: {"shape": (1 + 2 * k,), "texture": (2 + 2 * k,)} for k, part in enumerate(PARTS)}
    )

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Parameter(COLOURS.clone())
        self.heights = nn.Parameter(HEIGHTS.flip(0) + HEIGHTS.roll(3, 0).cos())
        self.register_buffer("noise_0", torch.linspace(-1, 1, SIDE * SIDE).view(1, 1, SIDE, SIDE))

    def forward(self, latents: Tensor, noise: object = None) -> Synthesised:
        """As `composed`, of all parts."""
        return self.composed(latents, noise)

    def composed(
        self, latents: Tensor, noise: object = None, *, kept: Float[Tensor, "#n k"] | None = None
    ) -> Synthesised:
        """Masks are the softmax of depths, the image is the sum of what they show, and a little noise."""
        shapes = latents[:, 1::2] + latents[:, :1]
        depth = (shapes @ self.heights.T).unflatten(-1, (COARSE_SIDE, COARSE_SIDE))
        masks = depth.softmax(1)
        if kept is not None:
            masks = masks * kept[..., None, None]
            masks = masks / (masks.sum(1, keepdim=True) + 1e-8)
        wide = masks.repeat_interleave(SIDE // COARSE_SIDE, 2).repeat_interleave(SIDE // COARSE_SIDE, 3)
        colour = latents[:, 2::2] @ self.colours.T / 4
        maps = self.get_buffer("noise_0") if noise is None else noise[0]
        image = torch.einsum("nkhw,nkc->nchw", wide, colour) + 0.01 * maps
        return Synthesised(image, 2 * wide - 1, 2 * masks - 1, depth)


def part_editor() -> SynthesisEditor:
    """Faces made of `PARTS`."""
    nets = {"generator": PartGenerator(), "mapping": ToyMapping(STYLE)}
    return SynthesisEditor(nets, LatentCondition(), torch.zeros(STYLE))
