"""What every game of generators against one critic has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoogan.config import GameConfig
from zoogan.facts import Facts
from zoogan.interfaces import AdversarialLoss, Clock, CriticPenalty, Game, Term, Turn


class AdversarialGame(Game):
    """An adversarial loss, a penalty that may be lazy, an augmentation of what the critic sees, and extra terms."""

    def __init__(self, config: GameConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__()
        self.facts = facts
        self.condition = components["condition"]
        self.adversarial: AdversarialLoss = components["adversarial"]
        self.penalty: CriticPenalty = components["penalty"]
        self.augment = components["augment"]
        self.extra: Mapping[str, Mapping[str, Term]] = components["extra_terms"]
        self._figures: dict[str, Tensor] = {}

    def penalised(self, clock: Clock) -> bool:
        """Whether the critic's penalty plays in this iteration."""
        return self.penalty.weight > 0 and clock.iteration % self.penalty.every == 0

    def penalty_weights(self, clock: Clock) -> dict[str, float]:
        """The penalty's weight when it plays: a lazy one weighs `every` times as much."""
        return {"penalty": self.penalty.weight * self.penalty.every} if self.penalised(clock) else {}

    def extra_weights(self, step: str) -> dict[str, float]:
        """Weights of the terms that the config adds to a step."""
        return {name: term.weight for name, term in self.extra.get(step, {}).items()}

    def extra_terms(self, step: str, turn: Turn, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """The terms that the config adds to a step."""
        return {name: term(turn, values) for name, term in self.extra.get(step, {}).items()}

    def observe(self) -> Mapping[str, Tensor]:
        """0-d figures of the last generator step."""
        return self._figures
