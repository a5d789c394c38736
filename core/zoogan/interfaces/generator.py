"""The role of generators of attribute editing."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.network import Network


class EditedImage(NamedTuple):
    """The output of an image editor.

    Attributes:
        image: The edited image, in [-1, 1].
        mask: Where it was edited, in [0, 1]; None for whole-image editors.
        raw: The image before it was blended through the mask, in [-1, 1], or None.
    """

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"] | None = None
    raw: Float[Tensor, "n c h w"] | None = None


class ImageEditor(Network):
    """Generator role `image_editor`: edits an image towards attributes.

    Editing has two halves, so that several edits of one image share its encoding: `encode` once, `decode` for each
    target. `forward` does both.

    Attributes:
        makes_masks: Whether its outputs have a mask.
    """

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "attributes": "n a"},
        outputs={"image": "n c h w", "mask": "n 1 h w", "raw": "n c h w"},
    )
    makes_masks: bool = False

    def encode(self, image: Float[Tensor, "n c h w"]) -> Any:
        """Compute the input of `decode` from the image. By default the image itself."""
        return image

    @abstractmethod
    def decode(self, encoded: Any, attributes: Float[Tensor, "n a"]) -> EditedImage:
        """Edit the encoded image towards `attributes`, values in [0, 1]."""

    def forward(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], encoded: Any = None
    ) -> EditedImage:
        """Edit images so that they show attributes.

        Args:
            image: Images in [-1, 1].
            attributes: Target values in [0, 1].
            encoded: What `encode` returned for the images, to save encoding them again.
        """
        return self.decode(self.encode(image) if encoded is None else encoded, attributes)
