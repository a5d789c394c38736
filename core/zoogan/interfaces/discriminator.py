"""Discriminator roles."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.network import Network


class Verdict(NamedTuple):
    """What an attribute discriminator says of images.

    score: raw realism scores, one map of patches per head, unbounded. attributes: logits of the attributes seen.
    """

    score: Float[Tensor, "n k i j"]
    attributes: Float[Tensor, "n a"]


class AttributeDiscriminator(Network):
    """Discriminator role `attribute_discriminator`: is it real, and which attributes does it show?"""

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "attributes": "n a"}, outputs={"score": "n _ _ _", "attributes": "n a"}
    )

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Verdict:
        """Judge `image` in [-1, 1].

        `attributes` is what the image claims to show (its own labels if real, the targets if edited). Discriminators that
        score realism given the label use it; the others ignore it. The returned logits must not depend on it.
        """
