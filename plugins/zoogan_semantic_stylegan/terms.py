"""Two terms that are no part of the published method: parts that share latents agree, textures of parts differ.

`--set extra_terms.generator.semantic_consistency.weight=1`, likewise `semantic_diversity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.facts import Facts
from zoogan.interfaces import Turn
from zoogan.interfaces.synthesis import Latents
from zoogan.losses.terms import Configured
from zoogan_semantic_stylegan.config import NAME, ConsistencyConfig, DiversityConfig
from zoogan_semantic_stylegan.networks import Generator

EPSILON = 1e-8
PRESENT = 1e-3  # of the places: what covers less is not there


def part_means(generator: Generator, latents: Latents) -> tuple[Float[Tensor, "n k o"], Float[Tensor, "n k"]]:
    """(mean features of each part over its mask, share of the places that the mask covers)."""
    made = generator.features(latents)
    masks = generator.composition.masks(made.depth)
    covered = masks.mean((2, 3))
    hidden = (made.hidden * masks[:, :, None]).mean((3, 4))
    composition = generator.composition
    wide = torch.einsum("koc,nkc->nko", composition.widening(), hidden) + composition.bias * covered[..., None]
    return wide / (covered[..., None] + EPSILON), covered


class Consistency(Configured):
    """Pairs of faces that share the latents of one part, and nothing else."""

    default = ConsistencyConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """(1 - cosine)^2 of a part's mean features in both faces, averaged over the faces where both show it.

        Each face is paired with one of another latent that takes over a part, drawn for each face. In [0, 4].
        """
        generator = own_generator(turn, self.name)
        latents, parts = latents_of(values, self.name), len(generator.parts)
        drawn = turn.draw.normal("semantic_consistency", latents.shape[2], like=latents)
        other = generator.extended(turn.networks["mapping"](drawn))
        part = (turn.draw.uniform("semantic_consistency.part", like=latents) * parts).long().clamp(max=parts - 1)
        rows = generator.config.shared_layers + 2 * part
        row = torch.arange(generator.rows, device=latents.device)
        shared = (row == rows[:, None]) | (row == rows[:, None] + 1)
        means, covered = part_means(generator, latents)
        others, covered_there = part_means(generator, torch.where(shared[..., None], latents, other))
        each = torch.arange(len(latents), device=latents.device)
        both = ((covered[each, part] > PRESENT) & (covered_there[each, part] > PRESENT)).to(means.dtype)
        apart = (1 - F.cosine_similarity(means[each, part], others[each, part])).square()
        return turn.world.mean((apart * both).mean()) / turn.world.mean(both.mean()).clamp(min=EPSILON)


class Diversity(Configured):
    """Pairs of parts of one face."""

    default = DiversityConfig

    def __init__(self, config: DiversityConfig | None = None, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.target = (config or DiversityConfig()).target

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Mean over faces and pairs of different parts of max(0, cosine)^2 of their texture latents, in [0, 1]; with
        target -1 of (cosine + 1)^2, in [0, 4], which more than two parts cannot bring to 0."""
        generator = own_generator(turn, self.name)
        rows = [generator.part_rows[part]["texture"][0] for part in generator.parts]
        textures = F.normalize(latents_of(values, self.name)[:, rows], dim=2)
        cosines = textures @ textures.transpose(1, 2)
        cost = (cosines + 1).square() if self.target == -1 else cosines.clamp(min=0).square()
        n, k = len(cosines), len(rows)
        off = ~torch.eye(k, dtype=torch.bool, device=cosines.device)
        return (cost * off).sum() / (n * k * (k - 1))


def own_generator(turn: Turn, term: str) -> Generator:
    """The generator, if it has parts as this method's has.

    Raises:
        ValueError: another generator.
    """
    generator = turn.networks["generator"]
    if not isinstance(generator, Generator):
        raise ValueError(f"term {term!r} needs generator {NAME!r}, whose parts have latents of their own")
    return generator


def latents_of(values: Mapping[str, Any], term: str) -> Latents:
    """w+ of the made faces.

    Raises:
        ValueError: the step has none.
    """
    if "latents" not in values:
        raise ValueError(f"term {term!r} needs the value 'latents', which only the generator's step computes")
    return values["latents"]
