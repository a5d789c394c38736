"""The condition of latent decomposition: attributes, how much of their offset, and which template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from zoogan.conditions.latent import LatentCondition
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request

OFFSET_WORDS = ("offset", "template")


class DecompositionCondition(LatentCondition):
    """Role `condition`: no targets in training. A request may name how much of the offset it takes, and a template.

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
        """Parse attributes and parts as `LatentCondition` does, and `offset` and `template`.

        Args:
            words: As of `LatentCondition.parse`, and `offset`, a number of 0 or more, and `template`, a whole number.

        Raises:
            ValueError: All problems, at once.
        """
        problems: list[str] = []
        offset, template = words.get("offset"), words.get("template")
        options: dict[str, Any] = {}
        if offset is not None:
            try:
                options["offset"] = float(offset)
            except (TypeError, ValueError):
                options["offset"] = -1.0
            if not (isfinite(options["offset"]) and options["offset"] >= 0):
                problems.append(f"offset: expected a number from 0 (the direction alone) upwards, got {offset!r}")
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
