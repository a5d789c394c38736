"""Editors of known quality, to test metrics with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import Edit, Editor, Request, Source
from zoogan.interfaces.source import Split
from zoogan.pictures.photo import normalize_image, quantize_image

Change = Callable[[Float[Tensor, "n 3 s s"], Float[Tensor, "n a"]], Float[Tensor, "n 3 s s"]]


class KnownEditor(Editor):
    """An editor without networks: it applies `change` to an image and its target labels.

    Args:
        attributes: Names that a request must set, all of them.
        change: Makes the edited image; None = the identity, which edits nothing.
    """

    def __init__(self, attributes: Sequence[str], change: Change | None = None) -> None:
        self.attributes = tuple(attributes)
        self.networks, self.change = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)}), change

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        """Return the requested values, all of which must be named."""
        return {"attributes": torch.tensor([[request.attributes[name] for name in self.attributes]] * len(image))}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], **options: Any) -> Edit:
        """Apply the change; seed, strength and threshold have no effect."""
        return Edit(image if self.change is None else self.change(image, targets["attributes"]))


class KnownGenerator(Editor):
    """A generator of faces without networks.

    Args:
        make: Makes faces (n, 3, s, s) in [-1, 1] of seeds, each from its own seed alone.
    """

    can_sample = True

    def __init__(self, make: Callable[[Sequence[int]], Float[Tensor, "n 3 s s"]]) -> None:
        self.networks, self.make = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)}), make

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Generate the faces, mixed with grey by a truncation. Cutoff and layout have no effect."""
        return Edit(self.make(seeds) * (1.0 if truncation is None else truncation))

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        """Refuse every request.

        Raises:
            ValueError: Always.
        """
        raise ValueError("this editor makes faces of its own")

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], **options: Any) -> Edit:
        """Refuse to edit.

        Raises:
            ValueError: Always.
        """
        raise ValueError("this editor makes faces of its own")


class TrueRedraw:
    """The perfect `Change`: a source's own redraw of one attribute.

    It recognises the faces of a split, and their redraws once it has made them, by their pixels.

    Args:
        source: A source that can redraw.
        attribute: The source's attribute to change; the others stay as they are.
        split: The split whose faces it recognises.
        batch: Faces read at once.
    """

    def __init__(self, source: Source, attribute: str, split: Split = "test", batch: int = 64) -> None:
        self.source, self.split, self.attribute = source, split, attribute
        self.known: dict[bytes, int] = {}
        for numbers in torch.arange(source.count_faces(split)).split(batch):
            self.remember(source.read(split, numbers.tolist())["image"], numbers.tolist())

    def remember(self, faces: Tensor, numbers: Sequence[int]) -> None:
        """Remember that these images (n, 3, s, s), as bytes, show these faces."""
        self.known |= {face.numpy().tobytes(): number for face, number in zip(faces, numbers)}

    def __call__(self, image: Float[Tensor, "n 3 s s"], target: Float[Tensor, "n a"]) -> Float[Tensor, "n 3 s s"]:
        """Return the redraws.

        Raises:
            KeyError: An image is neither a face of the split nor one of its redraws.
            ValueError: The source cannot redraw its faces.
        """
        numbers = [self.known[face.numpy().tobytes()] for face in quantize_image(image)]
        values = target[:, self.source.attributes.index(self.attribute)].cpu()
        redrawn = self.source.redraw(self.split, numbers, **{self.attribute: values})
        if redrawn is None:
            raise ValueError(f"{type(self.source).__name__} cannot redraw its faces; drawn faces can")
        self.remember(redrawn["image"], numbers)
        return normalize_image(redrawn["image"]).to(image)
