"""A judge that knows the parts and the pose of drawn faces, without a network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.data import DrawnFaces
from zoogan.data.drawn import CLASSES


class PartOracle:
    """Reads the true parts off drawn faces that it was shown, and of other pictures their colours.

    Args:
        faces: The drawn faces.
        numbers: The faces to know.
        changes: Attributes to set in all of them.
    """

    parts = CLASSES
    digest = "oracle"

    def __init__(self, faces: DrawnFaces, numbers: range = range(0), **changes: float) -> None:
        self.image_size, self.thresholds = faces.image_size, torch.zeros(1)
        self._known: dict[bytes, tuple[Tensor, Tensor]] = {}
        if len(numbers):
            self.learn(faces, numbers, **changes)

    def learn(self, faces: DrawnFaces, numbers: range, **changes: float) -> None:
        """Remember the parts and the pose of faces."""
        drawn = faces.redraw(numbers, **changes)
        for image, parts, pose in zip(drawn.image, drawn.segmentation, drawn.pose, strict=True):
            self._known[image.numpy().tobytes()] = parts, pose

    def _find(self, image: Float[Tensor, "n c h w"]) -> list[tuple[Tensor, Tensor]]:
        keys = ((image + 1.0) * 127.5).round().to(torch.uint8)
        return [self._known[key.numpy().tobytes()] for key in keys]

    def read_part_probabilities(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """Return the true parts, one-hot; on `meta`, and where nothing was learnt, a function of the colours."""
        if not self._known or image.is_meta:
            weight = torch.linspace(-1, 1, len(CLASSES) * 3, device=image.device).view(len(CLASSES), 3, 1, 1)
            return F.conv2d(image, weight).mul(4.0).softmax(1)
        parts = torch.stack([parts for parts, _ in self._find(image)])
        return F.one_hot(parts.long(), len(CLASSES)).permute(0, 3, 1, 2).float()

    def read_parts_and_pose(self, image: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor | None]:
        """Return the parts and the pose."""
        return self.read_part_probabilities(image), self.read_poses(image)

    def read_poses(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3"] | None:
        """Return the true pose; None where nothing was learnt."""
        return None if not self._known else torch.stack([pose for _, pose in self._find(image)])
