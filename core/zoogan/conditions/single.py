"""One domain that every face shows, so that only styles differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request
from zoogan.interfaces.game import Sampler
from zoogan.interfaces.style import StyleCondition


class SingleCondition(StyleCondition):
    """Role `condition`: targets are {"domain": (n, 1)}, all 1. Faces need no labels.

    Args:
        config: Unused.
        facts: Attributes of the data, of which there must be none.

    Raises:
        ConfigError: The data has attributes.

    Source: SMILE (Romero et al. 2021), the domain `General_Style` of the official `datasets/CelebA_HQ.py`.
    """

    label: ClassVar[str | None] = None
    sampler: Sampler = "epochs"

    def __init__(self, config: ComponentConfig | None, facts: Facts) -> None:
        if facts.attributes:
            raise ConfigError(
                f"data.attributes={','.join(facts.attributes)}: condition 'single' has one domain, which every face "
                "shows, and reads no attributes: set data.attributes=[]"
            )

    def get_domains(self, sample: Mapping[str, Tensor]) -> Float[Tensor, "n 1"]:
        """Return the one domain for each face of a sample, whatever its fields are."""
        field = next(iter(sample.values()))
        return torch.ones(len(field), 1, device=field.device)

    def find_changed(self, own: Float[Tensor, "n 1"], target: Float[Tensor, "n 1"]) -> Bool[Tensor, "n 1"]:
        """Return True for every face: an edit gives it another style of the same domain."""
        return torch.ones_like(target, dtype=torch.bool)

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Return an empty request.

        Raises:
            ValueError: There are words.
        """
        if words:
            raise ValueError(
                f"{', '.join(words)}: this run knows no attributes: leave it out, and give a face or a film whose "
                "expression is taken (drive)"
            )
        return Request()
