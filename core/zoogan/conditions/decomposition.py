"""The condition of latent decomposition: attributes, how much of their offset, how refined, and which template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from zoogan.conditions.latent import LatentCondition
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request

OFFSET_WORDS = ("offset", "refine", "template")
MOST_STEPS = 10_000  # of descent


class DecompositionCondition(LatentCondition):
    """Role `condition`: no targets in training. A request may name how much of the offset it takes, and a template.

    It may also ask for steps of descent, which refine the offset.

    Args:
        config: Unused.
        facts: Unused.

    Attributes:
        templates: Number of templates of each attribute; 0 = an edit has no template.
    """

    def __init__(self, config: object = None, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.templates = 0

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse attributes and parts as `LatentCondition` does, and `offset`, `refine` and `template`.

        Args:
            words: As of `LatentCondition.parse`, and `offset`, a number of 0 or more, and `refine` and `template`,
                whole numbers.

        Raises:
            ValueError: All problems, at once.
        """
        problems: list[str] = []
        offset, refine, template = (words.get(name) for name in OFFSET_WORDS)
        options: dict[str, Any] = {}
        if offset is not None:
            try:
                options["offset"] = float(offset)
            except (TypeError, ValueError):
                options["offset"] = -1.0
            if not (isfinite(options["offset"]) and options["offset"] >= 0):
                problems.append(f"offset: expected a number from 0 (the direction alone) upwards, got {offset!r}")
        if refine is not None:
            if not str(refine).isdecimal() or int(refine) > MOST_STEPS:
                problems.append(f"refine: expected a number of steps from 0 to {MOST_STEPS}, got {refine!r}")
            elif not self.templates and int(refine):
                problems.append("refine: this run has no templates to descend towards: leave it out")
            else:
                options["refine"] = int(refine)
        if template is not None:
            last = self.templates - 1
            if not self.templates:
                problems.append("template: this run has no templates: leave it out")
            elif not str(template).isdecimal() or int(template) > last:
                problems.append(f"template: expected a whole number from 0 to {last}, got {template!r}")
            else:
                options["template"] = int(template)
        try:
            request = super().parse({name: word for name, word in words.items() if name not in OFFSET_WORDS})
        except ValueError as error:
            raise ValueError("\n".join([*problems, str(error)])) from error
        if problems:
            raise ValueError("\n".join(problems))
        return replace(request, **options)
