"""The base of all games that take extra terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoogan.interfaces import Game, Term, Turn


class ExtensibleGame(Game):
    """A game whose steps a config may extend by terms, `extra_terms.<step>.<name>`.

    Args:
        components: The built component of each slot, by name of the slot; `extra_terms` has the terms by step and name.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        super().__init__()
        self.extra: Mapping[str, Mapping[str, Term]] = components["extra_terms"]

    def get_extra_weights(self, step: str) -> dict[str, float]:
        """Return the weights of the terms that the config adds to a step."""
        return {name: term.weight for name, term in self.extra.get(step, {}).items()}

    def compute_extra_terms(self, step: str, turn: Turn, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms that the config adds to a step.

        Args:
            step: Name of the step.
            turn: Everything that terms may read.
            values: What the step has computed, by the names in the game's docstring.

        Returns:
            0-d terms by name.
        """
        return {name: term(turn, values) for name, term in self.extra.get(step, {}).items()}
