"""The geometry `head`: where heads are, and the depth and normals of heads of that shape; no network is trained."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan import ConfigError
from zoogan.interfaces import FaceGeometry, GeometryReading
from zoogan_sd_gan.placement import PlacedHead, Placement
from zoogan_sd_gan.reader import PlacementReader, describe_faces

CHANNELS = 9  # depth three times, normals, image


class HeadGeometry(FaceGeometry):
    """Reads placements off faces with a judge, and computes maps of the placed heads.

    Args:
        judge: A judge that reads parts.
        reader: Reads the placement off what the judge tells.
        shape: Whether `encode` gives maps; False = only placements are read.

    Raises:
        ConfigError: The reader was fitted on what another judge tells.
    """

    reads_placement = True

    def __init__(self, judge: Any, reader: PlacementReader, *, shape: bool = True) -> None:
        if reader.judge != judge.digest:
            raise ConfigError(
                "stages.geometry: it was fitted on what another judge tells; train it again with this classifier"
            )
        self.judge, self.reader = judge, reader
        self.channels = CHANNELS if shape else 0

    @torch.no_grad()
    def read_placement(self, image: Float[Tensor, "n c h w"]) -> Placement:
        """Read where the heads are, in the order of `zoogan.data.PLACEMENT`, in float32.

        Args:
            image: Faces in [-1, 1].
        """
        return self.reader.read(describe_faces(self.judge, image))

    @torch.no_grad()
    def encode(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 9 h w"]:
        """Compute depth (three times), normals and the image of the placed heads, in [-1, 1].

        Raises:
            ValueError: This geometry gives placements only.
        """
        if not self.channels:
            return super().encode(image)
        return draw_geometry(self.read_placement(image), image)

    @torch.no_grad()
    def read(self, image: Float[Tensor, "n c h w"], *, placement: bool, shape: bool) -> GeometryReading:
        """Read the placement once, for itself and for the shape.

        Raises:
            ValueError: Shape is asked for, and this geometry gives placements only.
        """
        if not self.channels:
            return super().read(image, placement=placement, shape=shape)
        placed = self.read_placement(image)
        return GeometryReading(placed if placement else None, draw_geometry(placed, image) if shape else None)


def draw_geometry(placement: Placement, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 9 h w"]:
    """Draw depth (three times), normals and image of placed heads.

    Args:
        placement: Where the heads are.
        image: Faces in [-1, 1].

    Returns:
        Maps in [-1, 1]. Depth is -1 behind and on the outline and 1 at the middle of the face; normals are across, down
        and towards the viewer; normals and image are 0 outside the head.
    """
    head = PlacedHead(placement.float(), image.shape[-1])
    inside, point, t = head.inside, head.point, head.traits
    depth = (2.0 * point.bulge * inside - 1.0).clamp(-1.0, 1.0)
    across, down, forward = point.nx, point.ny, point.bulge
    # from the head to the picture, which the roll turns
    right, below = across * t.roll_cos - down * t.roll_sin, across * t.roll_sin + down * t.roll_cos
    normal = torch.stack([right, below, forward], 1)
    normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=1e-6) * inside.unsqueeze(1)
    shown = image.float().clamp(-1.0, 1.0) * inside.unsqueeze(1)
    return torch.cat([depth.unsqueeze(1).expand(-1, 3, -1, -1), normal, shown], 1).to(image.dtype)
