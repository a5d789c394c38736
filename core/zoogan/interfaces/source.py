"""The source role: where faces come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from zoogan.config import DataConfig

Split = Literal["train", "valid", "test"]


class Source(ABC):
    """Role `source`: indexed faces in splits, read in batches.

    attributes: names of the attribute columns, in order, as asked for in the config. exclusive: groups of them of which
    at most one is shown. crop: side of the centre square that is kept of a picture, as a share of its shorter side;
    a person's own photos get the same. groups: every exclusive group that the source knows of, whichever of its
    attributes were asked for.
    """

    fields: ClassVar[tuple[str, ...]] = ("image", "attributes")
    image_size: int
    attributes: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    crop: float = 1.0

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """All attributes that could be asked for, without reading a picture; unless a source says otherwise, those of
        the config."""
        return config.attributes

    @abstractmethod
    def size(self, split: Split) -> int:
        """How many faces the split has; 0 if there is no such split."""

    @abstractmethod
    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1, without reading a picture (for balancing and checks)."""

    @abstractmethod
    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """The faces at `indices`: image uint8 (n, 3, s, s), attributes float (n, a), and what else `fields` names."""

    def visible(self, split: Split) -> Float[Tensor, "n a"] | None:
        """1 where a face can show an attribute, 0 where something hides it (a hat hides hair); None = always 1."""
        return None

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor] | None:
        """The same faces with only these attributes changed, where the source knows the truth; else None.

        A value is one for all faces, or a tensor (n,) with one for each. The fields are those of `read`.
        """
        return None
