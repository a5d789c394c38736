"""The editor: a trained run ready for use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from zoogan.interfaces.condition import Condition, Request, Targets

Seed = int | Sequence[int]


@dataclass(frozen=True)
class Column:
    """A column of a sample grid: its caption, its pictures (n, c, h, w) in [-1, 1], and perhaps a picture (c, h, w)
    above them, the face whose style they take. classes: the pictures are segmentations (n, h, w) with so many classes,
    to be shown in colours."""

    caption: str
    images: Float[Tensor, "n c h w"] | Integer[Tensor, "n h w"]
    head: Float[Tensor, "c h w"] | None = None
    classes: int = 0


@dataclass(frozen=True)
class Edit:
    """The outcome of an edit, on the device and in the range of its input.

    image (n, 3, h, w) in [-1, 1]; mask (n, 1, h, w) in [0, 1] or None; segmentation (n, h, w) or None; `extras`.
    generator: the network that made it, where it is not the editor's own but one tuned to a photo.
    """

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"] | None = None
    segmentation: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    generator: nn.Module | None = field(default=None, repr=False)


class Editor(ABC):
    """What every verb after training sees: never networks, always an editor.

    networks: the networks by name, in eval mode, none of which needs a gradient. attributes: the names that a request
    may use, in the order of label columns. exclusive: groups of them of which at most one is shown, as far as the
    editor was taught so; a source may know of others. takes_reference: whether a request may carry faces whose style to
    take. makes_faces: whether it makes faces of its own (`sample`). draws: whether an edit depends on its seed. wants:
    masks that a source may have of its faces, and that `apply` takes among its targets where they are known.
    """

    networks: nn.ModuleDict
    attributes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    condition: Condition
    takes_reference: bool = False
    makes_faces: bool = False
    draws: bool = True
    wants: tuple[str, ...] = ()

    def known(self, sample: Mapping[str, Tensor], image: Float[Tensor, "n c h w"]) -> Targets:
        """What it wants of faces besides their image, as far as their source told: bytes as numbers in [0, 1].

        sample: what `Source.read` gave. image: tells device and type.
        """
        return {name: sample[name].to(image) / 255 for name in self.wants if name in sample}

    def sample(self, seeds: Sequence[int], *, truncation: float | None = None, cutoff: int | None = None) -> Edit:
        """Faces of the editor's own, one for each seed: the same seed gives the same face in whatever batch it comes.

        truncation: how far from the mean face they may be, 0 to 1; None = 1. cutoff: only so many rows of a face's
        latents are truncated, the coarse ones; None = all.

        Raises:
            ValueError: it makes none, or a truncation or a cutoff out of range.
        """
        raise ValueError("this editor makes no faces of its own: it edits those that it is given")

    @abstractmethod
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """A request as targets for these images; may run networks (labels that nobody gave, masks, mean codes).

        own: the images' labels, where they are known; otherwise they are read off the images.
        """

    @abstractmethod
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Edit images in [-1, 1].

        seed: of what is drawn, one draw for all images, or a seed for each. strength: 0 gives the input back, 1 the
        edit. threshold: make the mask hard (1 where it exceeds this). truncation: how far from the mean drawn styles
        may be, 0 is the mean style and 1 (or None) what was drawn.

        Raises:
            ValueError: an option that this editor cannot follow.
        """

    def serves(self, own: Float[Tensor, "n a"]) -> Bool[Tensor, " n"]:
        """Which faces, by their labels, the editor was made for; by default all."""
        return torch.ones(len(own), dtype=torch.bool, device=own.device)

    def guided(self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"]) -> Editor:
        """This editor with styles taken from these faces instead of drawn: a seed chooses one that shows the target.

        Raises:
            ValueError: it takes no references, or there is none for a domain.
        """
        raise ValueError("this editor takes no style from other faces")

    def own(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a"]:
        """The labels, 0 or 1, that the editor reads off faces of which nobody knows them.

        Raises:
            ValueError: it reads none.
        """
        raise ValueError("this editor reads no labels off faces")

    def sheet(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], known: Targets | None = None
    ) -> list[Column]:
        """The columns of a sample grid for faces whose labels are known, without the input. known: see there."""
        return []
