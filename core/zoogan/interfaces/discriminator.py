"""The role of discriminators of attribute editing."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.network import Network


class DiscriminatorOutput(NamedTuple):
    """The output of an attribute discriminator.

    Attributes:
        score: Raw realism scores, one map of patches a head, unbounded.
        attributes: Logits of the attributes of the image.
    """

    score: Float[Tensor, "n k i j"]
    attributes: Float[Tensor, "n a"]


class AttributeDiscriminator(Network):
    """Role `attribute_discriminator`: scores how real an image is and which attributes it shows."""

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "attributes": "n a"}, outputs={"score": "n _ _ _", "attributes": "n a"}
    )

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> DiscriminatorOutput:
        """Judge images.

        Args:
            image: Images in [-1, 1].
            attributes: Labels of real images, targets of edited images. Only conditional discriminators use them.

        Returns:
            Scores and logits. The logits must not depend on `attributes`.
        """
