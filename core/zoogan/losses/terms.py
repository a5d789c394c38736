"""Extra terms that any step can be given: `--set extra_terms.generator.mask_area.weight=0.1`.

The terms of this file read values of attribute editing: `image` (n, 3, h, w), `edited` and `identity` (each an
`EditedImage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import Term, Turn
from zoogan.losses.config import MaskAreaConfig, MaskVariationConfig, TermConfig, UnmaskedIdentityConfig
from zoogan.losses.reconstruction import l1_loss


class WeightedTerm(Term):
    """Base of terms that take their weight from a config.

    Args:
        config: The weight; None = the default of the term.
        facts: Unused.

    Attributes:
        name: The name under which the term is registered, for messages.
    """

    default: type[TermConfig] = TermConfig

    def __init__(self, config: TermConfig | None = None, facts: Facts | None = None) -> None:
        config = config or self.default()
        self.weight, self.name = config.weight, str(getattr(config, "use", ""))

    def get_field(self, values: Mapping[str, Any], value: str, field: str) -> Tensor:
        """Return a field of an `EditedImage` among the step's values.

        Args:
            values: The step's values by name.
            value: Name of the `EditedImage`.
            field: Name of its field.

        Returns:
            The field.

        Raises:
            ValueError: The step did not compute the value, or the generator does not return the field.
        """
        edited = values.get(value)
        if edited is None:
            hint = ": set weights.identity above 0" if value == "identity" else ""
            raise ValueError(f"term {self.name!r} needs the value {value!r}, which this step does not compute{hint}")
        tensor = getattr(edited, field)
        if tensor is None:
            raise ValueError(f"term {self.name!r} needs a generator that returns a {field}; this one returns none")
        return tensor


class MaskArea(WeightedTerm):
    """The mean of the mask: how much of the image the edit may change."""

    default = MaskAreaConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute the mean of the mask, in [0, 1]."""
        return self.get_field(values, "edited", "mask").mean()


class MaskVariation(WeightedTerm):
    """The total variation of the mask."""

    default = MaskVariationConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute the anisotropic total variation: mean absolute difference of neighbours, down plus across."""
        mask = self.get_field(values, "edited", "mask")
        return l1_loss(mask[..., 1:, :], mask[..., :-1, :]) + l1_loss(mask[..., :, 1:], mask[..., :, :-1])


class UnmaskedIdentity(WeightedTerm):
    """How much an edit towards the image's own labels changes it before the mask is applied."""

    default = UnmaskedIdentityConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute mean |raw - image| of the identity pass, at least 0."""
        return l1_loss(self.get_field(values, "identity", "raw"), values["image"])
