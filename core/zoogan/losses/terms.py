"""Extra terms that any step can be given: `--set extra_terms.generator.mask_area.weight=0.1`.

They read the step's values by name: `image` (n, 3, h, w), `edited` and `identity` (each an `Edited`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import Term, Turn
from zoogan.losses.config import MaskAreaConfig, MaskVariationConfig, TermConfig, UnmaskedIdentityConfig
from zoogan.losses.reconstruction import l1


class Configured(Term):
    """Takes its weight from a config; knows its name for messages."""

    default: type[TermConfig] = TermConfig

    def __init__(self, config: TermConfig | None = None, facts: Facts | None = None) -> None:
        config = config or self.default()
        self.weight, self.name = config.weight, str(getattr(config, "use", ""))

    def part(self, values: Mapping[str, Any], value: str, field: str) -> Tensor:
        """A field of an `Edited` among the step's values.

        Raises:
            ValueError: the step did not compute the value, or the generator does not give the field.
        """
        edited = values.get(value)
        if edited is None:
            hint = ": set weights.identity above 0" if value == "identity" else ""
            raise ValueError(f"term {self.name!r} needs the value {value!r}, which this step does not compute{hint}")
        found = getattr(edited, field)
        if found is None:
            raise ValueError(f"term {self.name!r} needs a generator that returns a {field}; this one returns none")
        return found


class MaskArea(Configured):
    """How much of the image the edit may touch."""

    default = MaskAreaConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Mean of the mask, in [0, 1]."""
        return self.part(values, "edited", "mask").mean()


class MaskVariation(Configured):
    """How ragged the mask is."""

    default = MaskVariationConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Anisotropic total variation: mean absolute difference of neighbours, down plus across."""
        mask = self.part(values, "edited", "mask")
        return l1(mask[..., 1:, :], mask[..., :-1, :]) + l1(mask[..., :, 1:], mask[..., :, :-1])


class UnmaskedIdentity(Configured):
    """How much the image changes towards its own labels before the mask is laid over it."""

    default = UnmaskedIdentityConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Mean |raw - image| of the identity pass."""
        return l1(self.part(values, "identity", "raw"), values["image"])
