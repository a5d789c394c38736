"""A term that is not part of the published method: layouts that change only where they may, and diverse styles.

Example: `--set extra_terms.generator_latent.semantic.weight=1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan import ConfigError
from zoogan.interfaces import Turn
from zoogan.losses import WeightedTerm
from zoogan.plugins import Facts
from zoogan_smile.config import SemanticTermConfig

EPSILON = 1e-8


class SemanticTerm(WeightedTerm):
    """Semantic consistency and diversity of translated layouts, for a step of the generator.

    Consistency: mean |translated - layout| over the pixels whose part no changed attribute may repaint. Diversity:
    KL(N(mean, variance) || N(0, 1)) of the styles, with the moments of each number over the batch.

    Args:
        config: The weights, and the parts that each attribute may repaint.
        facts: Attributes and parts of the data.

    Raises:
        ConfigError: The data has no parts.
    """

    default = SemanticTermConfig

    def __init__(self, config: SemanticTermConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.consistency, self.diversity = config.consistency, config.diversity
        may_repaint = torch.ones(len(facts.attributes), len(facts.parts))
        for k, name in enumerate(facts.attributes):
            if name in config.regions:
                chosen = [facts.parts.index(part) for part in config.regions[name] if part in facts.parts]
                may_repaint[k] = 0.0
                may_repaint[k, chosen] = 1.0
        if not facts.parts:
            raise ConfigError("term 'semantic' compares the parts of faces, and the data has none")
        self._may_repaint = {torch.device("cpu"): may_repaint}

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute consistency times its factor plus diversity times its factor, at least 0."""
        missing = [name for name in ("image", "own", "domain", "translated", "style") if name not in values]
        if missing:
            raise ValueError(f"term {self.name!r} needs the values {', '.join(missing)} of a step of the generator")
        consistency = self.compute_consistency(turn, values)
        return self.consistency * consistency + self.diversity * self.compute_diversity(turn, values["style"])

    def compute_consistency(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute mean |translated - layout| over the pixels that should not change, in [0, 2 / parts]."""
        layout = values["image"]
        fixed = self.find_fixed(layout, values["own"], values["domain"]).to(layout.dtype)
        distance = (values["translated"] - layout).abs().mean(1)
        return (fixed * distance).mean() / turn.world.reduce_mean(fixed.mean()).clamp(min=EPSILON)

    def find_fixed(
        self, layout: Float[Tensor, "n k h w"], own: Float[Tensor, "n two_a"], domain: Float[Tensor, "n two_a"]
    ) -> Bool[Tensor, "n h w"]:
        """Find the pixels whose part no changed attribute may repaint.

        Args:
            layout: One-hot layouts.
            own: The domains that they show.
            domain: The domains that they should show.

        Returns:
            True at pixels that should not change.
        """
        if layout.device not in self._may_repaint:
            self._may_repaint[layout.device] = self._may_repaint[torch.device("cpu")].to(layout.device)
        changed = (own != domain)[:, 1::2].to(layout.dtype)
        free = (changed @ self._may_repaint[layout.device].to(layout.dtype)).clamp(max=1)
        return torch.einsum("nkhw,nk->nhw", layout, free) < 0.5

    def compute_diversity(self, turn: Turn, style: Float[Tensor, "n a s"]) -> Float[Tensor, ""]:
        """Compute 0.5 * mean(mean^2 + variance - ln variance - 1) over the numbers of the styles, at least 0."""
        mean = turn.world.reduce_mean(style.mean(0))
        variance = (turn.world.reduce_mean(style.square().mean(0)) - mean.square()).clamp(min=EPSILON)
        return 0.5 * (mean.square() + variance - variance.log() - 1).mean()
