"""Requests to a run that paints faces from their layouts: attributes of the layout, and codes of parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from zoogan.conditions.parts import PART_WORDS, parse_parts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws

CODE = "texture"
"""The kind of latent that the code of a part is: its shape is in the layout."""


class RegionCondition(Condition):
    """Parses parts to take from another face, and leaves attributes to the condition of the layouts.

    Args:
        parts: Names of the parts.
        attributes: Parses attributes; None = there are none.
    """

    def __init__(self, parts: Sequence[str], attributes: Condition | None = None) -> None:
        self.part_rows = {part: {CODE: (row,)} for row, part in enumerate(parts)}
        self.attributes = attributes

    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Return no targets."""
        return {}

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse requested attributes and parts.

        Args:
            words: Values by attribute, `{"Eyeglasses": "1"}`, and parts of another face, `{"part": "hair",
                "from_seed": 7}`.

        Returns:
            The request.

        Raises:
            ValueError: Unknown names or values out of range; all problems at once.
        """
        words = {name: word for name, word in words.items() if not (name == "only" and word == CODE)}
        parts, seed, problems = parse_parts(words, self.part_rows)
        named = {name: word for name, word in words.items() if name not in PART_WORDS}
        request = Request()
        if self.attributes is not None:
            try:
                request = self.attributes.parse(named)
            except ValueError as error:
                problems += str(error).splitlines()
        elif named:
            problems.append(f"{', '.join(named)}: this run knows no attributes; it paints layouts as they are")
        if problems:
            raise ValueError("\n".join(problems))
        return replace(request, parts={part: (CODE,) for part in parts}, from_seed=seed)
