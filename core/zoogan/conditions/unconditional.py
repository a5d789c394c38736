"""No condition: a run that knows no attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws


class NoAttributes(Condition):
    """Parses requests to a run that knows no attributes: every word is a mistake."""

    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Return no targets."""
        return {}

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Return an empty request.

        Raises:
            ValueError: There are words.
        """
        if words:
            raise ValueError(f"{', '.join(words)}: this run knows no attributes; it paints layouts as they are")
        return Request()
