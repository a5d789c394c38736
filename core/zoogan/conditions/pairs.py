"""Attributes that a face may show together, each a pair of domains: without it and with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.conditions.attributes import SHOWN_THRESHOLD, AttributeCondition
from zoogan.conditions.config import AttributesConfig, PairsConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request
from zoogan.interfaces.style import StyleCondition


class PairsCondition(StyleCondition):
    """Role `condition`: targets are {"domain": (n, 2a)}, rows with one 1 in each pair of columns.

    Column 2k is "without attribute k", column 2k + 1 "with attribute k".

    Args:
        config: Samplers, exclusive groups, and which attributes hide others.
        facts: Attributes and exclusive groups of the data.

    Attributes:
        names: The attributes.
        groups: Groups of attributes of which a face shows at most one.

    Raises:
        ConfigError: The data has no attributes, or a group names attributes that it lacks.

    Source: SMILE (Romero et al. 2021), section 3.1; official `datasets/CelebA_HQ.py`.
    """

    label: ClassVar[str | None] = "attributes"

    def __init__(self, config: PairsConfig, facts: Facts) -> None:
        if not facts.attributes:
            raise ConfigError(
                "data.attributes: condition 'pairs' needs attributes, each a pair of domains; name some, like "
                "data.attributes=Eyeglasses,Wearing_Hat"
            )
        self.attributes = AttributeCondition(AttributesConfig(exclusive=config.exclusive), facts)
        self.names, self.groups = facts.attributes, self.attributes.groups
        self.sampler, self.reference_sampler = config.source_sampler, config.reference_sampler
        self.clears = {
            name: [other for other in others if other in self.names]
            for name, others in config.clears.items()
            if name in self.names
        }
        cleared = self.attributes.get_rivals(torch.device("cpu")).clone()
        for name, others in self.clears.items():
            for other in others:
                cleared[self.names.index(name), self.names.index(other)] = 1.0
        self._cleared = {torch.device("cpu"): cleared}

    def get_domains(self, sample: Mapping[str, Tensor]) -> Float[Tensor, "n two_a"]:
        """Return the labels (n, a) of faces as pairs (n, 2a)."""
        return make_pairs(sample["attributes"])

    def find_changed(self, own: Float[Tensor, "n two_a"], target: Float[Tensor, "n two_a"]) -> Bool[Tensor, "n a"]:
        """Find which attributes of each face change."""
        return own[:, 1::2] != target[:, 1::2]

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse the requested attributes.

        Args:
            words: 0 or 1 by attribute: `{"Eyeglasses": "1", "Wearing_Hat": 0, "Male": "off"}`.

        Returns:
            The request.

        Raises:
            ValueError: Names are unknown, values are not 0 or 1, or attributes that exclude each other are both set;
                all problems at once.
        """
        request = self.attributes.parse(words)
        problems = [
            f"{name}: a face shows it or not: expected 0 or 1, got {words[name]!r}"
            for name, value in request.attributes.items()
            if value not in (0.0, 1.0)
        ]
        for name, others in self.clears.items():
            hidden = [other for other in others if request.attributes.get(other) == 1.0]
            if request.attributes.get(name) == 1.0 and hidden:
                problems.append(f"{name} hides {' and '.join(hidden)}; set one of them")
        if problems:
            raise ValueError("\n".join(problems))
        return request

    def apply_request(self, own: Float[Tensor, "n a"], requested: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Set the requested attributes in the own labels of faces.

        An attribute that is newly set clears its rivals and those that it hides.

        Args:
            own: Own labels (n, a), 0 or 1.
            requested: Requested labels (n, a); NaN = not requested.

        Returns:
            The target labels (n, a).
        """
        target = torch.where(requested.isnan(), own, requested)
        newly_set = (target >= SHOWN_THRESHOLD) & (own < SHOWN_THRESHOLD)
        is_cleared = newly_set.to(own.dtype) @ self.get_cleared(own.device).to(own.dtype) > 0
        return target.masked_fill(is_cleared & ~newly_set, 0.0)

    def get_cleared(self, device: torch.device) -> Float[Tensor, "a a"]:
        """Return which attributes a newly set one clears.

        Args:
            device: Where the matrix is needed; it is cached by device.

        Returns:
            A matrix (a, a): row i has 1 at the rivals of attribute i and at those that it hides, else 0.
        """
        if device not in self._cleared:
            self._cleared[device] = self._cleared[torch.device("cpu")].to(device)
        return self._cleared[device]


def make_pairs(labels: Float[Tensor, "n a"]) -> Float[Tensor, "n two_a"]:
    """Make pairs of labels: (1 - label, label) for each attribute.

    Args:
        labels: Labels (n, a), 0 or 1.

    Returns:
        Rows (n, 2a) with one 1 in each pair.
    """
    return torch.stack([1 - labels, labels], 2).flatten(1)
