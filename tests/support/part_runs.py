"""Faces made of parts, simple enough to know what must come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from support.generated_faces import ToyMapping
from zoogan.composition.build import compose
from zoogan.conditions.latent import LatentCondition
from zoogan.config import validate
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.facts import Facts
from zoogan.interfaces import LatentGenerator, SynthesisedFace
from zoogan.pictures.photo import quantize_image
from zoogan.pictures.sheet import LEGIBLE
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import RunFolder

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

    def forward(self, latents: Tensor, noise: object = None) -> SynthesisedFace:
        """As `generate_parts`, of all parts."""
        return self.generate_parts(latents, noise)

    def generate_parts(
        self, latents: Tensor, noise: object = None, *, visible: Float[Tensor, "#n k"] | None = None
    ) -> SynthesisedFace:
        """Masks are the softmax of depths, the image is the sum of what they show, and a little noise."""
        shapes = latents[:, 1::2] + latents[:, :1]
        depth = (shapes @ self.heights.T).unflatten(-1, (COARSE_SIDE, COARSE_SIDE))
        masks = depth.softmax(1)
        if visible is not None:
            masks = masks * visible[..., None, None]
            masks = masks / (masks.sum(1, keepdim=True) + 1e-8)
        wide = masks.repeat_interleave(SIDE // COARSE_SIDE, 2).repeat_interleave(SIDE // COARSE_SIDE, 3)
        colour = latents[:, 2::2] @ self.colours.T / 4
        maps = self.get_buffer("noise_0") if noise is None else noise[0]
        image = torch.einsum("nkhw,nkc->nchw", wide, colour) + 0.01 * maps
        return SynthesisedFace(image, 2 * wide - 1, 2 * masks - 1, depth)


NARROW = {
    "data": {"source": "drawn", "image_size": 16, "attributes": [], "batch": 4, "faces": 16, "held_out": 8},
    "generator": {
        "use": "semantic-stylegan", "style_dim": 8, "part_layers": 4, "part_width": 8, "shared_layers": 1,
        "shape_layers": 2, "coarse_size": 8, "feature_width": 8, "render_from": 4, "max_width": 8,
    },
    "mapping": {"use": "semantic-stylegan", "style_dim": 8, "layers": 2},
    "discriminator": {"use": "semantic-stylegan", "max_width": 8},
    "inversion": {"iterations": 5, "mean_of": 50},
}  # fmt: skip
Says = Callable[..., str]
CELL = LEGIBLE + 4  # a face enlarged to what can be looked at, and the gutter
RUN_PARTS = ("background", "face", "hair", "glasses")


def write_run(path: Path, seed: int = 0) -> Path:
    """A run of a method whose faces are made of parts, as training would leave it, with networks that learnt nothing.

    Noise counts in its pictures, so that a mistake with it shows.
    """
    registry = get_zoo().registry
    config = validate(registry.methods["semantic-stylegan"], registry, NARROW | {"training": {"seed": seed}})
    facts = Facts(image_size=16, parts=RUN_PARTS, transparent=("glasses",))
    composition = compose(config, facts, registry)
    with torch.no_grad():
        for name, weight in composition.networks["generator"].named_parameters():
            if name.endswith("strength"):
                weight.fill_(0.3)
    run = RunFolder(path)
    run.write_config(config, facts)
    run.write_model(config, facts, composition.networks, composition.game)
    return path


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """The pictures in a folder by name."""
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def pixels(image: torch.Tensor) -> np.ndarray:
    """One face as a file has it."""
    shown = image if image.dtype == torch.uint8 else quantize_image(image)
    return shown[0].permute(1, 2, 0).numpy()


def part_editor() -> SynthesisEditor:
    """Faces made of `PARTS`."""
    networks = {"generator": PartGenerator(), "mapping": ToyMapping(STYLE)}
    return SynthesisEditor(networks, LatentCondition(), torch.zeros(STYLE))
