"""Vectorised painting of soft-edged shapes on a batch of pictures.

Only + - * / sqrt, comparisons and floor touch pixels: those are exactly rounded everywhere, so a face comes
out bit for bit the same alone, in a batch, on one thread or on many. (exp, sin, lerp and addcmul differ
between the vector loop and its tail.) Distances are in head units: 1 is half the picture's height for a head
of scale 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from zoogan.data.drawn.identity import Traits

Plane = Float[Tensor, "#n #h #w"]  # broadcasts


def cover(distance: Plane, pixel: Tensor | float) -> Plane:
    """How much of each pixel lies inside a shape, from the signed distance (negative inside) to its edge."""
    return (0.5 - distance / pixel).clamp_(0.0, 1.0)


def band(distance: Plane, thickness: Tensor | float, pixel: Tensor | float) -> Plane:
    """How much of each pixel lies on a line of `thickness` along distance 0, however thin it is."""
    across = distance / pixel
    half = 0.5 * thickness / pixel
    return (across + (half + 0.5)).clamp_(0.0, 1.0).sub_((across - (half - 0.5)).clamp_(0.0, 1.0))


def span(y: Plane, top: Plane, bottom: Plane, pixel: Tensor | float) -> Plane:
    """How much of each pixel lies between the lines top and bottom; nothing where they have crossed."""
    return cover(y - bottom, pixel).sub_(cover(y - top, pixel)).clamp_(min=0.0)


def glow(squared: Plane) -> Plane:
    """A soft spot: 1 in the middle, 0 where the squared distance is 1 or more."""
    spot = (1.0 - squared).clamp_(min=0.0)
    return spot.mul_(spot)


def wave(phase: Plane) -> Plane:
    """A smooth wave between -1 and 1 with period 1, made of parabolas."""
    part = (phase - phase.floor()).sub_(0.5)
    return part.mul_((1.0 - 2.0 * part.abs()).mul_(8.0))


def ellipse(x: Plane, y: Plane, rx: Tensor | float, ry: Tensor | float) -> Plane:
    """Signed distance to an ellipse at the origin, right to first order at its edge."""
    x, y = x / rx, y / ry
    x2, y2 = x * x, y * y
    radius = (x2 + y2).sqrt_()
    slope = (x2 / (rx * rx) + y2 / (ry * ry)).sqrt_().clamp_(min=1e-6)
    return radius.sub(1.0).mul_(radius).div_(slope)


def rounded(x: Plane, y: Plane, rx: Tensor, ry: Tensor, corner: Tensor) -> Plane:
    """Signed distance to a rectangle of half sizes rx, ry whose corners have radius `corner`."""
    x = x.abs().sub_(rx - corner)
    y = y.abs().sub_(ry - corner)
    inside = torch.maximum(x, y).clamp_(max=0.0)
    x, y = x.clamp_(min=0.0), y.clamp_(min=0.0)
    return (x.mul_(x)).add_(y.mul_(y)).sqrt_().add_(inside).sub_(corner)


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

    def lower(self, v: float) -> Window:
        """Every picture from height v down."""
        return Window(self, None, max(0, int((v + 1.0) * self.size / 2.0)), self.size, 0, self.size)

    def around(
        self, x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float, faces: Tensor | None = None
    ) -> Window:
        """The smallest window that holds the box x±rx, y±ry (head units) of every one of `faces` (default:
        all).

        It depends on the batch, what is painted does not: outside its shape a part covers exactly nothing.
        """
        t = self.traits if faces is None else self.traits.take(faces)
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
        self.traits = canvas.traits if faces is None else canvas.traits.take(faces)
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
