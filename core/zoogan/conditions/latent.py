"""A latent as the target: nothing is asked in training; a trained run may be asked to move along its directions, and
for parts of other faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoogan.conditions.attributes import word_value
from zoogan.conditions.config import LatentConfig
from zoogan.conditions.parts import PART_WORDS, PartRows, parse_parts
from zoogan.facts import Facts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws
from zoogan.names import suggest_name


class LatentCondition(Condition):
    """Role `condition`: no targets.

    names: the attributes whose directions are known. unusable: those whose direction cannot be used, and why.
    part_rows: the parts that can be named, see `LatentGenerator`.
    """

    def __init__(self, config: LatentConfig | None = None, facts: Facts | None = None) -> None:
        self.names: tuple[str, ...] = ()
        self.unusable: dict[str, str] = {}
        self.part_rows: PartRows = {}

    def targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """None."""
        return {}

    def parse(self, words: Mapping[str, Any]) -> Request:
        """`{"Eyeglasses": "1", "Smiling": 0.5}` as a request; `{"part": "hair", "only": "texture", "from_seed": 7}`
        asks for a part of another face, see `parse_parts`.

        Raises:
            ValueError: every attribute without a direction and every part that there is not (with the nearest that
                there is), and every value out of range, at once.
        """
        request: dict[str, float] = {}
        parts, seed, problems = parse_parts(words, self.part_rows)
        for name, word in words.items():
            value = word_value(word)
            if name in PART_WORDS:
                continue
            if name not in self.names:
                problems.append(f"{name}: {self._unknown(name)}")
            elif value is None:
                problems.append(f"{name}: expected a value from 0 to 1, or on, off, true, false, yes, no; got {word!r}")
            else:
                request[name] = value
        if problems:
            raise ValueError("\n".join(problems))
        return Request(request, parts=parts, from_seed=seed)

    def _unknown(self, name: str) -> str:
        """Why an attribute cannot be asked for, and what to do about it."""
        close, fit = suggest_name(name, self.names), f"`zoo direction RUN --attribute {name}` fits one"
        if name in self.unusable:
            return f"{self.unusable[name]}; {fit.replace('fits one', 'fits it anew')}"
        known = f"known: {', '.join(self.names) or 'none yet'}"
        return f"no direction of that name{close}; {known}" + ("" if close else f"; {fit}")
