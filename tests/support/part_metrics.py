"""Generators of faces whose parts are separate, or leak by a known amount, and a judge that reads these parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import LatentGenerator, LatentMapping, SynthesisedFace
from zoogan.interfaces.synthesis import Noise

PARTS = ("background", "hair", "nose", "hat")
SIDE, EDGE = 16, 6
STYLE = 3
LEVEL = 0.2  # of the third channel, from one class to the next


class IdentityMapping(LatentMapping):
    """The identity: w = z."""

    latent_dim = style_dim = STYLE

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor) -> Tensor:
        return latent


class FunctionGenerator(LatentGenerator):
    """A generator made of a function: latents (n, rows, 3) -> (image, labels)."""

    style_dim = STYLE

    def __init__(self, paint: Callable[[Tensor], tuple[Tensor, Tensor]], parts: Sequence[str] = PARTS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.paint, self.parts, self.rows = paint, tuple(parts), 2 * len(parts)
        self.part_rows = MappingProxyType(
            {part: MappingProxyType({"shape": (2 * k,), "texture": (2 * k + 1,)}) for k, part in enumerate(parts)}
        )

    def forward(self, latents: Tensor, noise: Noise | None = None) -> SynthesisedFace:
        image, labels = self.paint(latents)
        scores = nn.functional.one_hot(labels, len(self.parts)).permute(0, 3, 1, 2).float() * 2 - 1
        return SynthesisedFace(image, scores)


def make_rectangle_painter(leak: float = 0.0, drag: bool = False) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Make a function that paints one square for each part.

    The shape row decides the place, and the part is absent if its third number is below -0.3. The texture row decides
    the first two colour channels. The third channel encodes the part.

    Args:
        leak: Share of the colour of each part that is added to all other pixels.
        drag: Whether the shape of the hair moves the nose.
    """

    def paint(latents: Tensor) -> tuple[Tensor, Tensor]:
        n, across = len(latents), torch.arange(SIDE)
        labels = torch.zeros(n, SIDE, SIDE, dtype=torch.int64)
        for k in range(1, len(PARTS)):
            shape = latents[:, 2 if drag and PARTS[k] == "nose" else 2 * k].roll(k, 1)  # so that places differ
            first = (shape[:, :2].sigmoid() * (SIDE - EDGE)).round()
            first = torch.where(shape[:, 2:] < -0.3, torch.full_like(first, SIDE), first)
            x, y = ((across >= at[:, None]) & (across < at[:, None] + EDGE) for at in first.T)
            labels = torch.where(y[:, :, None] & x[:, None, :], k, labels)
        colours = 0.3 * latents[:, 1::2, :2].tanh()  # (n, parts, 2)
        own = colours.gather(1, labels.flatten(1)[..., None].expand(-1, -1, 2))
        mixed = own + leak * (colours.sum(1, keepdim=True) - own)
        mark = -1 + LEVEL * labels.flatten(1)[..., None]
        return torch.cat([mixed, mark], 2).transpose(1, 2).unflatten(2, (SIDE, SIDE)), labels

    return paint


def make_painted_editor(
    paint: Callable[[Tensor], tuple[Tensor, Tensor]], parts: Sequence[str] = PARTS
) -> SynthesisEditor:
    """Make an editor of faces that a function paints."""
    return SynthesisEditor(
        {"generator": FunctionGenerator(paint, parts), "mapping": IdentityMapping()}, LatentCondition(), torch.zeros(3)
    )


class ColourJudge:
    """A judge that reads the part from the third channel, in any order of parts."""

    attributes: tuple[str, ...] = ()
    thresholds = torch.empty(0)
    table: ClassVar[Mapping[str, Mapping[str, float]]] = {}
    digest, backbone, resizer = "2" * 64, "marked", "none"
    part_table: ClassVar = {"hair": {"iou": 0.75}, "background": {"iou": 0.95}}
    part_scores: ClassVar = {"mean_iou": 0.85, "pixel_accuracy": 0.9, "classes": 2.0, "faces": 30.0}

    def __init__(self, parts: Sequence[str] = PARTS, painted: Sequence[str] = PARTS) -> None:
        self.parts = tuple(parts)
        self.number = torch.tensor([self.parts.index(part) if part in parts else 0 for part in painted])

    def read_attributes(self, image: Tensor) -> Tensor:
        return torch.empty(len(image), 0)

    def read_poses(self, image: Tensor) -> Tensor | None:
        return None

    def read_parts(self, image: Tensor) -> Tensor | None:
        return self.number[((image[:, 2] + 1) / LEVEL).round().long()]
