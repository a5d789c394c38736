"""Editors of layouts of known quality, to test what measures them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.interfaces import Edit, Editor, Request, Source
from zoogan.layers.layout import make_layout

WORN = {
    "attributes": ["Eyeglasses", "Wearing_Hat", "Bangs"],
    "probabilities": {"Eyeglasses": 0.5, "Wearing_Hat": 0.4, "Bangs": 0.5},
}
"""Data settings of drawn faces that often wear glasses or a hat, or have bangs."""

ChangeMap = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From segmentations (n, s, s), images and target labels (n, a) to edited segmentations."""


class KnownLayoutEditor(Editor):
    """An editor of layouts without networks.

    Args:
        source: Its attributes and parts.
        change: Makes the edited maps; None = a copy.
    """

    makes_images = False
    takes_layout = True
    needs_layout = True
    reads_photos = False
    mask_fields = ("segmentation",)

    def __init__(self, source: Source, change: ChangeMap | None = None) -> None:
        self.attributes, self._parts, self.change = source.attributes, source.parts, change
        self.networks = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)})

    @property
    def parts(self) -> tuple[str, ...]:
        return self._parts

    def read_masks(self, sample: Mapping[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        return {"layout": make_layout(sample["segmentation"], len(self.parts))}

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        return {"attributes": torch.tensor([[request.attributes[name] for name in self.attributes]] * len(image))}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], **options: Any) -> Edit:
        before = targets["layout"].argmax(1)
        return Edit(
            None, segmentation=before if self.change is None else self.change(before, image, targets["attributes"])
        )


class TrueMap:
    """The perfect `ChangeMap`: the source's own redraw of all labels that differ from those of the face."""

    def __init__(self, source: Source, attribute: str, cleared: tuple[str, ...] = ()) -> None:
        self.source, self.names = source, (attribute, *cleared)
        faces = source.read("test", list(range(source.count_faces("test"))))
        self.number = {face.numpy().tobytes(): k for k, face in enumerate(faces["image"])}

    def __call__(self, before: Tensor, image: Tensor, target: Tensor) -> Tensor:
        bytes_ = image.add(1).mul(127.5).round().to(torch.uint8)
        numbers = [self.number[face.numpy().tobytes()] for face in bytes_]
        labels = {name: target[:, self.source.attributes.index(name)] for name in self.names}
        redrawn = self.source.redraw("test", numbers, **labels)
        assert redrawn is not None
        return redrawn["segmentation"].long()
