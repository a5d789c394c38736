"""A latent as the target.

There are no targets in training. Edits of a trained run move along its directions or take parts of other faces.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from zoogan.conditions.attributes import parse_attribute_value
from zoogan.conditions.parts import PART_WORDS, PartRows, parse_parts
from zoogan.facts import Facts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws
from zoogan.names import suggest_name


class LatentCondition(Condition):
    """Role `condition`: no targets.

    Args:
        config: Unused.
        facts: Unused.

    Attributes:
        names: The attributes whose directions are known.
        unusable: The attributes whose direction cannot be used, and why.
        part_rows: The parts that can be named; see `LatentGenerator`.
    """

    parses_parts: ClassVar[bool] = True

    def __init__(self, config: object = None, facts: Facts | None = None) -> None:
        self.names: tuple[str, ...] = ()
        self.unusable: dict[str, str] = {}
        self.part_rows: PartRows = {}

    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Return no targets."""
        return {}

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse the requested attributes and parts.

        Args:
            words: Values by attribute, `{"Eyeglasses": "1", "Smiling": 0.5}`, and a part of another face,
                `{"part": "hair", "only": "texture", "from_seed": 7}`; see `parse_parts`.

        Returns:
            The request.

        Raises:
            ValueError: Attributes have no direction, parts are unknown, or values are out of range; all problems at
                once.
        """
        request: dict[str, float] = {}
        parts, seed, problems = parse_parts(words, self.part_rows)
        for name, word in words.items():
            value = parse_attribute_value(word)
            if name in PART_WORDS:
                continue
            if name not in self.names:
                problems.append(f"{name}: {self._explain_unknown(name)}")
            elif value is None:
                problems.append(f"{name}: expected a value from 0 to 1, or on, off, true, false, yes, no; got {word!r}")
            else:
                request[name] = value
        if problems:
            raise ValueError("\n".join(problems))
        return Request(request, parts=parts, from_seed=seed)

    def _explain_unknown(self, name: str) -> str:
        """Explain why an attribute cannot be requested, and how to fix it."""
        hint, advice = suggest_name(name, self.names), f"`zoo direction RUN --attribute {shlex.quote(name)}` fits one"
        if name in self.unusable:
            return f"{self.unusable[name]}; {advice.replace('fits one', 'fits it anew')}"
        names = f"known: {', '.join(self.names) or 'none yet'}"
        return f"no direction of that name{hint}; {names}" + ("" if hint else f"; {advice}")
