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
    """A batch of pictures in the making, and where each head's own axes lie on them.

    u and v run from -1 (left, top) to 1 over the picture; x and y are the same seen from the head: origin
    between the eyes, y down along the face, tilted by the roll and scaled.
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

    def whole(self) -> Window:
        """All of every picture."""
        return Window(self, None, 0, self.size, 0, self.size)

    def window_below(self, v: float) -> Window:
        """Every picture from height v down."""
        return Window(self, None, max(0, int((v + 1.0) * self.size / 2.0)), self.size, 0, self.size)

    def window_around(
        self, x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float, faces: Tensor | None = None
    ) -> Window:
        """The smallest window that holds the box x±rx, y±ry (head units) of every one of `faces` (default:
        all).

        It depends on the batch, what is painted does not: outside its shape a part covers exactly nothing.
        """
        t = self.traits if faces is None else self.traits.select(faces)
        du = t.scale * (t.roll_cos * rx + t.roll_sin.abs() * ry)
        dv = t.scale * (t.roll_cos * ry + t.roll_sin.abs() * rx)
        u = t.place_u + t.scale * (x * t.roll_cos - y * t.roll_sin)
        v = t.place_v + t.scale * (x * t.roll_sin + y * t.roll_cos)
        edges = torch.stack([(v - dv).amin(), (v + dv).amax(), (u - du).amin(), (u + du).amax()])
        top, bottom, left, right = ((edges + 1.0) * (self.size / 2.0)).tolist()
        clip = lambda at: min(self.size, max(0, int(at)))  # noqa: E731
        return Window(self, faces, clip(top - 1), clip(bottom + 2), clip(left - 1), clip(right + 2))


class Window:
    """A rectangle of some of the pictures, copied out for painting; written back on leaving the `with`."""

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
        if self._x is None:
            self._x = self.crop(self.canvas.x)
        return self._x

    @property
    def y(self) -> Plane:
        if self._y is None:
            self._y = self.crop(self.canvas.y)
        return self._y

    def crop(self, plane: Tensor, place: bool = True) -> Tensor:
        """This window's part of a plane of the whole batch; place=False for one value a face."""
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
        """Lay colour (m, 3, 1, 1), times `shade` if given, over the picture; where it covers half, it is
        `label`.
        """
        layer = colour - self.image if shade is None else (colour * shade.unsqueeze(1)).sub_(self.image)
        self.image += layer.mul_(coverage.unsqueeze(1))
        if label is not None:
            self.label(coverage, label)

    def label(self, coverage: Plane, label: int) -> None:
        self.segmentation.masked_fill_(coverage >= 0.5, label)
