"""Two terms that are not part of the published method: parts that share latents agree, textures of parts differ.

Example: `--set extra_terms.generator.semantic_consistency.weight=1`, likewise `semantic_diversity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.interfaces import Latents, Turn
from zoogan.losses import WeightedTerm
from zoogan.plugins import Facts
from zoogan_semantic_stylegan.config import NAME, SemanticConsistencyConfig, SemanticDiversityConfig
from zoogan_semantic_stylegan.networks import SemanticStyleGANGenerator

EPSILON = 1e-8
MIN_COVER = 1e-3  # share of the places; a part that covers less is not visible


def compute_part_means(
    generator: SemanticStyleGANGenerator, latents: Latents
) -> tuple[Float[Tensor, "n k o"], Float[Tensor, "n k"]]:
    """Compute the mean features of each part over its mask, and the share of the places that the mask covers.

    Args:
        generator: The generator.
        latents: w+.
    """
    features = generator.compute_part_features(latents)
    masks = generator.composition.compute_masks(features.depth)
    covered = masks.mean((2, 3))
    hidden = (features.hidden * masks[:, :, None]).mean((3, 4))
    composition = generator.composition
    wide = (
        torch.einsum("koc,nkc->nko", composition.get_linear_weights(), hidden) + composition.bias * covered[..., None]
    )
    return wide / (covered[..., None] + EPSILON), covered


class SemanticConsistency(WeightedTerm):
    """Makes the features of a part agree in two faces that share its latents and nothing else.

    Args:
        config: The weight; None = the default.
        facts: Unused.
    """

    default = SemanticConsistencyConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Return the mean of (1 - cosine)^2 of a part's mean features in two faces, where both show it; in [0, 4].

        Each face is paired with a face of other latents that takes over one part, drawn for each face.
        """
        generator = get_part_generator(turn, self.name)
        latents, parts = get_latents(values, self.name), len(generator.parts)
        drawn = turn.draw.normal("semantic_consistency", latents.shape[2], like=latents)
        other = generator.repeat_latent(turn.networks["mapping"](drawn))
        part = (turn.draw.uniform("semantic_consistency.part", like=latents) * parts).long().clamp(max=parts - 1)
        rows = generator.config.shared_layers + 2 * part
        row = torch.arange(generator.rows, device=latents.device)
        shared = (row == rows[:, None]) | (row == rows[:, None] + 1)
        means, covered = compute_part_means(generator, latents)
        others, others_covered = compute_part_means(generator, torch.where(shared[..., None], latents, other))
        each = torch.arange(len(latents), device=latents.device)
        both = ((covered[each, part] > MIN_COVER) & (others_covered[each, part] > MIN_COVER)).to(means.dtype)
        apart = (1 - F.cosine_similarity(means[each, part], others[each, part])).square()
        return turn.world.reduce_mean((apart * both).mean()) / turn.world.reduce_mean(both.mean()).clamp(min=EPSILON)


class SemanticDiversity(WeightedTerm):
    """Makes the texture latents of a face's parts differ.

    Args:
        config: The weight and the target cosine; None = the defaults.
        facts: Unused.
    """

    default = SemanticDiversityConfig

    def __init__(self, config: SemanticDiversityConfig | None = None, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.target = (config or SemanticDiversityConfig()).target

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Return the mean of max(0, cosine)^2 over all pairs of a face's texture latents, in [0, 1].

        With target -1 it is the mean of (cosine + 1)^2, in [0, 4], which is above 0 for more than two parts.
        """
        generator = get_part_generator(turn, self.name)
        rows = [generator.part_rows[part]["texture"][0] for part in generator.parts]
        textures = F.normalize(get_latents(values, self.name)[:, rows], dim=2)
        cosines = textures @ textures.transpose(1, 2)
        cost = (cosines + 1).square() if self.target == -1 else cosines.clamp(min=0).square()
        n, k = len(cosines), len(rows)
        off = ~torch.eye(k, dtype=torch.bool, device=cosines.device)
        return (cost * off).sum() / (n * k * (k - 1))


def get_part_generator(turn: Turn, term: str) -> SemanticStyleGANGenerator:
    """Return the generator, which must be this method's.

    Args:
        turn: The update.
        term: Name of the term, for messages.

    Raises:
        ValueError: It is another generator.
    """
    generator = turn.networks["generator"]
    if not isinstance(generator, SemanticStyleGANGenerator):
        raise ValueError(f"term {term!r} needs generator {NAME!r}, whose parts have latents of their own")
    return generator


def get_latents(values: Mapping[str, Any], term: str) -> Latents:
    """Return w+ of the generated faces.

    Args:
        values: The step's values by name.
        term: Name of the term, for messages.

    Raises:
        ValueError: The step has no latents.
    """
    if "latents" not in values:
        raise ValueError(f"term {term!r} needs the value 'latents', which only the generator's step computes")
    return values["latents"]
