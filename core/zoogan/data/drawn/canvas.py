"""The batch of pictures that painters paint on, and the windows through which they do it.

Painters compute with the functions of `shapes` only, so that a face is the same bit for bit in every batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from zoogan.data.drawn.identity import Traits
from zoogan.data.drawn.shapes import Plane


class Canvas:
    """A batch of images in progress, and the position of each pixel relative to the head.

    u and v run from -1 (left, top) to 1 over the image. x and y are the same seen from the head: the origin is between
    the eyes, y runs down the face, both are tilted by the roll and scaled.

    Args:
        size: Height and width in pixels.
        traits: The traits of the faces.
    """

    def __init__(self, size: int, traits: Traits):
        n = len(traits)
        self.size, self.traits = size, traits
        self.image: Float[Tensor, "n 3 h w"] = torch.empty(n, 3, size, size)
        self.segmentation: UInt8[Tensor, "n h w"] = torch.zeros(n, size, size, dtype=torch.uint8)
        middles = (torch.arange(size, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
        self.u, self.v = middles.view(1, 1, size), middles.view(1, size, 1)
        self.pixel = (2.0 / size) / traits.scale
        u, v = self.u - traits.place_u, self.v - traits.place_v
        cos, sin = traits.roll_cos / traits.scale, traits.roll_sin / traits.scale
        self.x: Plane = u * cos + v * sin
        self.y: Plane = v * cos - u * sin

    def window_below(self, v: float) -> Window:
        """Open a window on every image from height v down."""
        return Window(self, None, max(0, int((v + 1.0) * self.size / 2.0)), self.size, 0, self.size)

    def window_around(
        self, x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float, faces: Tensor | None = None
    ) -> Window:
        """Open the smallest window that holds a box of every face.

        The window depends on the batch, but the painted pixels do not: outside its shape a part covers exactly nothing.

        Args:
            x: Middle of the box, across, in head units.
            y: Middle of the box, down.
            rx: Half width of the box.
            ry: Half height of the box.
            faces: Rows of the faces to paint; None = all.
        """
        t = self.traits if faces is None else self.traits.select(faces)
        du = t.scale * (t.roll_cos * rx + t.roll_sin.abs() * ry)
        dv = t.scale * (t.roll_cos * ry + t.roll_sin.abs() * rx)
        u = t.place_u + t.scale * (x * t.roll_cos - y * t.roll_sin)
        v = t.place_v + t.scale * (x * t.roll_sin + y * t.roll_cos)
        edges = torch.stack([(v - dv).amin(), (v + dv).amax(), (u - du).amin(), (u + du).amax()])
        top, bottom, left, right = ((edges + 1.0) * (self.size / 2.0)).tolist()
        clip = self.clip_edge
        return Window(self, faces, clip(top - 1), clip(bottom + 2), clip(left - 1), clip(right + 2))

    def clip_edge(self, edge: float) -> int:
        """Round a position in pixels down, and keep it inside the image."""
        return min(self.size, max(0, int(edge)))


class Window:
    """A rectangle of some of the images, copied out for painting and written back when the `with` block ends.

    Args:
        canvas: The canvas.
        faces: Rows of the faces to paint; None = all.
        top: First row of pixels.
        bottom: Row after the last.
        left: First column of pixels.
        right: Column after the last.
    """

    def __init__(self, canvas: Canvas, faces: Int64[Tensor, " m"] | None, top: int, bottom: int, left: int, right: int):
        self.canvas, self.faces = canvas, faces
        self.rows, self.columns = slice(top, bottom), slice(left, right)
        self.traits = canvas.traits if faces is None else canvas.traits.select(faces)
        self.pixel = self.crop(canvas.pixel, place=False)
        self.u, self.v = canvas.u[:, :, self.columns], canvas.v[:, self.rows]
        self._x: Tensor | None = None
        self._y: Tensor | None = None

    @property
    def x(self) -> Plane:
        """Position of each pixel across the head."""
        if self._x is None:
            self._x = self.crop(self.canvas.x)
        return self._x

    @property
    def y(self) -> Plane:
        """Position of each pixel down the head."""
        if self._y is None:
            self._y = self.crop(self.canvas.y)
        return self._y

    def crop(self, plane: Tensor, place: bool = True) -> Tensor:
        """Crop a tensor of the whole batch to this window and its faces.

        Args:
            plane: The tensor, a value a pixel or a value a face.
            place: False for a value a face.
        """
        if place:
            plane = plane[..., self.rows, self.columns]
        return plane.contiguous() if self.faces is None else plane.index_select(0, self.faces)

    def __enter__(self) -> Window:
        self.image = self.crop(self.canvas.image)
        self.segmentation = self.crop(self.canvas.segmentation)
        return self

    def __exit__(self, *error: object) -> None:
        for whole, part in ((self.canvas.image, self.image), (self.canvas.segmentation, self.segmentation)):
            target = whole[..., self.rows, self.columns]
            if self.faces is None:
                if target.data_ptr() != part.data_ptr() or target.shape != part.shape:
                    target.copy_(part)
            else:
                target.index_copy_(0, self.faces, part)

    def paint(self, coverage: Plane, colour: Tensor, shade: Plane | None = None, label: int | None = None) -> None:
        """Paint a colour over the images.

        Args:
            coverage: How much of each pixel is painted, in [0, 1].
            colour: The colour of each face (m, 3, 1, 1).
            shade: Factor of the colour at each pixel; None = 1.
            label: Class of the pixels that are covered at least half; None = unchanged.
        """
        layer = colour - self.image if shade is None else (colour * shade.unsqueeze(1)).sub_(self.image)
        self.image += layer.mul_(coverage.unsqueeze(1))
        if label is not None:
            self.label(coverage, label)

    def label(self, coverage: Plane, label: int) -> None:
        """Set the class of the pixels that are covered at least half."""
        self.segmentation.masked_fill_(coverage >= 0.5, label)
