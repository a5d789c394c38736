"""Generator roles."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.network import Network


class Edited(NamedTuple):
    """What an image editor returns.

    image: the edit, in [-1, 1]. mask: where it was made, in [0, 1], or None for whole-image editors. raw: the image
    before it was laid through the mask, in [-1, 1], or None.
    """

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"] | None = None
    raw: Float[Tensor, "n c h w"] | None = None


class ImageEditor(Network):
    """Generator role `image_editor`: an image and the attributes wanted of it in, the edited image out.

    Editing is split in two, so that several edits of one image share what depends on the image alone: `encode` once,
    `decode` for each target. `forward` is the two together.
    """

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "attributes": "n a"},
        outputs={"image": "n c h w", "mask": "n 1 h w", "raw": "n c h w"},
    )

    def encode(self, image: Float[Tensor, "n c h w"]) -> Any:
        """What `decode` needs of the image. By default the image itself."""
        return image

    @abstractmethod
    def decode(self, encoded: Any, attributes: Float[Tensor, "n a"]) -> Edited:
        """The edit of the encoded image towards `attributes`, values in [0, 1]."""

    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], encoded: Any = None) -> Edited:
        """Edit `image` (in [-1, 1]) so that it shows `attributes` (in [0, 1]); `encoded` saves encoding it again."""
        return self.decode(self.encode(image) if encoded is None else encoded, attributes)
