"""Runs and editors of faces made of parts, simple enough to compute by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from support.toy_faces import ToyMapping
from zoogan.composition.build import compose
from zoogan.conditions.latent import LatentCondition
from zoogan.config import validate
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.facts import Facts
from zoogan.interfaces import LatentGenerator, SynthesisedFace
from zoogan.pictures.sheet import LEGIBLE
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import RunFolder

PARTS = ("background", "face", "hair")
SIDE, COARSE_SIDE, STYLE = 8, 4, 5
ROWS = 1 + 2 * len(PARTS)
COLOURS = torch.linspace(-1, 1, 3 * STYLE).view(3, STYLE)
HEIGHTS = torch.linspace(-1, 1, COARSE_SIDE * COARSE_SIDE * STYLE).view(COARSE_SIDE * COARSE_SIDE, STYLE)


class PartGenerator(LatentGenerator):
    """A generator whose parts have a depth, linear in shape and coarse row, and one colour, linear in texture."""

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
        """Generate all parts."""
        return self.generate_parts(latents, noise)

    def generate_parts(
        self, latents: Tensor, noise: object = None, *, visible: Float[Tensor, "#n k"] | None = None
    ) -> SynthesisedFace:
        """Compute masks as the softmax of depths, and the image as the masked sum of colours plus a little noise."""
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


TINY_CONFIG = {
    "data": {"source": "drawn", "image_size": 16, "attributes": [], "batch": 4, "faces": 16, "held_out": 8},
    "generator": {
        "use": "semantic-stylegan", "style_dim": 8, "part_layers": 4, "part_width": 8, "shared_layers": 1,
        "shape_layers": 2, "coarse_size": 8, "feature_width": 8, "render_from": 4, "max_width": 8,
    },
    "mapping": {"use": "semantic-stylegan", "style_dim": 8, "layers": 2},
    "discriminator": {"use": "semantic-stylegan", "max_width": 8},
    "inversion": {"iterations": 5, "mean_of": 50},
}  # fmt: skip
ErrorReader = Callable[..., str]  # runs a verb that must fail, and returns its error message
CELL_SIZE = LEGIBLE + 4  # an enlarged face and the gutter, in pixels
RUN_PARTS = ("background", "face", "hair", "glasses")


def write_part_run(path: Path, seed: int = 0) -> Path:
    """Write a run folder of SemanticStyleGAN with untrained networks.

    Noise strengths are not 0, so that mistakes with noise become visible.
    """
    registry = get_zoo().registry
    config = validate(registry.methods["semantic-stylegan"], registry, TINY_CONFIG | {"training": {"seed": seed}})
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


def make_part_editor() -> SynthesisEditor:
    """Make an editor of faces made of `PARTS`."""
    networks = {"generator": PartGenerator(), "mapping": ToyMapping(STYLE)}
    return SynthesisEditor(networks, LatentCondition(), torch.zeros(STYLE))
