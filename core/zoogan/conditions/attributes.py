"""The attribute condition: named attributes, each between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.conditions.config import AttributesConfig
from zoogan.facts import Facts
from zoogan.interfaces import Condition, Draws, Request, Targets
from zoogan.registry import nearest

Labels = Float[Tensor, "n a"]
WORDS = {"on": 1.0, "true": 1.0, "yes": 1.0, "off": 0.0, "false": 0.0, "no": 0.0}


class AttributeCondition(Condition):
    """Targets over the attributes of the facts; of an exclusive group at most one is asked for.

    Args:
        config: how training targets are drawn.
        facts: attribute names and exclusive groups.
    """

    def __init__(self, config: AttributesConfig, facts: Facts) -> None:
        self.config, self.attributes = config, facts.attributes
        a = len(self.attributes)
        # rivals[i][j]: asking for i rules j out.
        self.rivals = [
            [any(x in group and y in group for group in facts.exclusive) and x != y for y in self.attributes]
            for x in self.attributes
        ]
        assert len(self.rivals) == a

    def _rivals(self, like: Tensor) -> Float[Tensor, "a a"]:
        return torch.tensor(self.rivals, dtype=like.dtype, device=like.device)

    def targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Targets (n, a) in {0, 1} for faces whose own labels are `sample["attributes"]`."""
        own = sample["attributes"]
        if self.config.draw == "permute":
            return {"attributes": draw.permute("targets", own)}
        if self.config.draw == "uniform":
            coins = draw.uniform("targets", own.shape[1], like=own)
            return {"attributes": self.alone((coins < 0.5).to(own.dtype), draw.uniform("rivals", own.shape[1], like=own))}
        if own.shape[1] == 1:
            return {"attributes": 1 - own}
        chosen = draw.uniform("targets", own.shape[1], like=own).argmax(1, keepdim=True)
        change = torch.zeros_like(own).scatter(1, chosen, 1.0)
        return {"attributes": self.changed(own, change, 1 - own)}

    def changed(self, own: Labels, change: Labels, value: Labels) -> Labels:
        """`own` with `value` where `change` is 1; what a changed attribute rules out becomes 0."""
        ruled_out = ((change * (value > 0)) @ self._rivals(own)).clamp(max=1)
        kept = own * (1 - ruled_out)
        return torch.where(change > 0, value, kept)

    def alone(self, wanted: Labels, priority: Labels) -> Labels:
        """`wanted` with only the one of highest priority left in each exclusive group."""
        rank = wanted * (priority + 1)
        beaten = (rank[:, None, :] * self._rivals(wanted)).amax(2) > rank
        return wanted * (1 - beaten.to(wanted.dtype))

    # ---- a person's words ----

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Names to values in [0, 1], given as numbers or words (`1`, `"0.5"`, `on`, `no`).

        Raises:
            ValueError: every unknown name, bad value and pair of rivals, one a line.
        """
        problems, values = [], {}
        for name, word in words.items():
            if name not in self.attributes:
                known = ", ".join(self.attributes)
                problems.append(f"no attribute is called {name!r}{nearest(name, self.attributes)}; this run knows {known}")
                continue
            try:
                value = WORDS[word.lower()] if isinstance(word, str) and word.lower() in WORDS else float(word)
            except (TypeError, ValueError):
                value = float("nan")
            if not 0 <= value <= 1:
                problems.append(f"{name}={word}: expected a value from 0 (off) to 1 (on)")
            values[name] = value
        asked = [name for name, value in values.items() if value > 0]
        for i, first in enumerate(asked):
            for second in asked[i + 1 :]:
                if self.rivals[self.attributes.index(first)][self.attributes.index(second)]:
                    problems.append(f"{first} and {second} exclude each other: ask for one")
        if problems:
            raise ValueError("\n".join(problems))
        return Request(values)

    def apply_request(self, own: Labels, request: Request) -> Labels:
        """`own` with what is requested, rivals of what is asked for cleared."""
        row = torch.tensor([request.attributes.get(name, 0.0) for name in self.attributes], dtype=own.dtype)
        asked = torch.tensor([float(name in request.attributes) for name in self.attributes], dtype=own.dtype)
        row, asked = row.to(own.device).expand_as(own), asked.to(own.device).expand_as(own)
        return self.changed(own, asked, row)

    def sweep(self, own: Labels) -> list[tuple[str, Labels]]:
        """One edit for each attribute: members of an exclusive group are asked for, others flipped (StarGAN's test mode)."""
        edits = []
        for i, name in enumerate(self.attributes):
            change = torch.zeros_like(own)
            change[:, i] = 1
            value = torch.ones_like(own) if any(self.rivals[i]) else 1 - own
            edits.append((name if any(self.rivals[i]) else f"{name} flipped", self.changed(own, change, value)))
        return edits
