"""Heads placed in pictures, and frontal templates laid on them: plain tensor operations, without host waits.

A placement is the numbers of `zoogan.data.PLACEMENT`. A template is an RGBA picture of a worn thing on a frontal head,
at the place of `zoogan.data.FRONTAL_PLACEMENT`, its colour multiplied by alpha. A surface says which point of the
template shows at each pixel of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.data import FRONTAL_PLACEMENT, PLACEMENT, STANDARD_PLACEMENT, HeadPoint, Traits, locate_on_head

CROWN = 0.595  # mean height of drawn heads above the eyes; a placement does not tell it
EAR_OUT = 0.0175  # mean distance of drawn ears from the head
EAR = 0.97  # place of the ears on half the width of the face
EAR_DOWN = 0.02  # how far ears move down as the head turns up
LIFT = 0.07  # height of glasses above the face
BRIDGE = 0.012  # place of glasses below the eyes
FAR = 0.22  # sine of the yaw from which the far ear is behind the cheek

Plane = Float[Tensor, "n h w"]
Placement = Float[Tensor, "n p"]

WEARER: tuple[str, ...] = ("face_width", "chin", "taper", "lens", "rim")
"""What a template tells of the head that wears it: its shape, and the middle and the outer rim of a lens (half the
distance of both, in head units)."""
STANDARD_WEARER: tuple[float, ...] = (
    STANDARD_PLACEMENT["face_width"], STANDARD_PLACEMENT["chin"], STANDARD_PLACEMENT["taper"], 0.195, 0.37,
)  # fmt: skip


class PlacedHead:
    """Heads at a placement, and the point of the head at each pixel.

    Args:
        placement: Where the heads are, in the order of `PLACEMENT`.
        size: Height and width of the pictures in pixels.

    Attributes:
        traits: The numbers of the placement by name, and the cosines of its angles.
        x: Place of each pixel across the head, in head units.
        y: Place of each pixel down the head, in head units.
        point: The point of the head at each pixel.
        pixel: Size of a pixel in head units (n, 1, 1).
        inside: How much of each pixel lies inside the head.
    """

    def __init__(self, placement: Placement, size: int) -> None:
        self.traits = t = make_traits(placement)
        middles = (torch.arange(size, dtype=placement.dtype, device=placement.device) + 0.5) * (2.0 / size) - 1.0
        u, v = middles.view(1, 1, size) - t.place_u, middles.view(1, size, 1) - t.place_v
        cos, sin = t.roll_cos / t.scale, t.roll_sin / t.scale
        self.x: Plane = u * cos + v * sin
        self.y: Plane = v * cos - u * sin
        self.point: HeadPoint = locate_on_head(self.x, self.y, t)
        self.pixel = (2.0 / size) / t.scale
        self.inside: Plane = self.cover((self.point.radius - 1.0) * (t.face_width * 1.05))

    def cover(self, distance: Plane) -> Plane:
        """Compute how much of each pixel lies inside a shape, from the signed distance to its edge in head units."""
        return (0.5 - distance / self.pixel).clamp(0.0, 1.0)


def make_traits(placement: Placement) -> Traits:
    """Name the numbers of a placement, with the cosines of its angles and the height of a mean head."""
    values = {name: column.view(-1, 1, 1) for name, column in zip(PLACEMENT, placement.unbind(1), strict=True)}
    for angle in ("yaw", "pitch", "roll"):
        sine = values[f"{angle}_sin"]
        values[f"{angle}_cos"] = (1.0 - sine * sine).clamp(min=0.0).sqrt()
    values["crown"] = torch.full_like(values["chin"], CROWN)
    return Traits(values)


class TemplatePoint(NamedTuple):
    """The point of the template that shows at each pixel.

    Attributes:
        x: Across the frontal head, in head units.
        y: Down the frontal head, in head units.
        cover: How much of the pixel the template may cover at most, in [0, 1].
    """

    x: Plane
    y: Plane
    cover: Plane


def map_to_cylinder(head: PlacedHead, wearer: Traits) -> TemplatePoint:
    """Map pixels to a template that clings to the face, such as a mask: undo the turn on the cylinder of the head."""
    t, point = head.traits, head.point
    # a longer face stretches the template at the chin, and leaves it below the eyes
    below = (point.down / t.chin).clamp(0.0, 1.2)
    down = point.down + (wearer.chin - t.chin) * below * below
    below = (down / wearer.chin).clamp(0.0, 1.0)
    x = point.across * wearer.face_width * (1.0 - wearer.taper * below * below * below)
    outline = (point.radius - 1.035) * t.face_width
    back = (point.across.abs() - 1.02) * t.face_width
    return TemplatePoint(x, down, head.cover(torch.maximum(outline, back)))


def map_to_lenses(head: PlacedHead, wearer: Traits) -> TemplatePoint:
    """Map pixels to glasses: two flat lenses in front of the face, and temples that run straight to the ears."""
    t = head.traits
    wide = t.face_width
    part = (wearer.lens / wide).clamp(max=0.95)
    out = (1.0 - part * part).sqrt()
    # the planes of both lenses meet above the nose
    ridge = (wide / out + LIFT) * t.yaw_sin
    side = torch.where(head.x < ridge, -1.0, 1.0)
    narrow = (t.yaw_cos - side * (part / out) * t.yaw_sin).clamp(0.42, 1.25)
    lens_x = side * (head.x - ridge) / narrow
    shift = BRIDGE * (t.pitch_cos - 1.0) - (0.40 * out + LIFT) * t.pitch_sin
    # a temple starts at the outer rim
    rim = ridge + side * narrow * wearer.rim
    ear = side * (wide * EAR * t.yaw_cos + EAR_OUT) - 0.05 * t.yaw_sin
    length = (ear - rim) * side
    run = ((head.x - rim) * side / length.clamp(min=0.01)).clamp(0.0, 2.0)
    ear_x = wearer.face_width * EAR + EAR_OUT
    is_temple = lens_x > wearer.rim
    x = torch.where(is_temple, wearer.rim + run * (ear_x - wearer.rim), lens_x) * side
    y = head.y - torch.where(is_temple, shift + run * (EAR_DOWN * t.pitch_sin - shift), shift)
    hidden = is_temple & (length <= 0.01)
    return TemplatePoint(x, y, torch.where(hidden, 0.0, 1.0))


def map_to_cap(head: PlacedHead, wearer: Traits) -> TemplatePoint:
    """Map pixels to a hat, which is round: it moves and tilts with the head, and looks the same from all sides."""
    x = head.x * (wearer.face_width / head.traits.face_width)
    return TemplatePoint(x, head.y, torch.ones_like(x))


def map_to_ears(head: PlacedHead, wearer: Traits) -> TemplatePoint:
    """Map pixels to earrings, which hang at both ears; the far one of a turned head is hidden."""
    t = head.traits
    side = torch.where(head.x < -0.05 * t.yaw_sin, -1.0, 1.0)
    ear = side * (t.face_width * EAR * t.yaw_cos + EAR_OUT) - 0.05 * t.yaw_sin
    x = side * (wearer.face_width * EAR + EAR_OUT) + (head.x - ear)
    hidden = side * t.yaw_sin >= FAR
    return TemplatePoint(x, head.y - EAR_DOWN * t.pitch_sin, torch.where(hidden, 0.0, torch.ones_like(x)))


SURFACES: Mapping[str, Callable[[PlacedHead, Traits], TemplatePoint]] = {
    "cylinder": map_to_cylinder,
    "lenses": map_to_lenses,
    "cap": map_to_cap,
    "ears": map_to_ears,
}
"""How templates lie on heads, by name."""


def sample_template(template: Float[Tensor, "n 4 s s"], point: TemplatePoint) -> Float[Tensor, "n 4 h w"]:
    """Sample frontal templates at points; alpha is cut where the surface lets it cover less.

    Args:
        template: RGBA in [0, 1], the colour multiplied by alpha.
        point: The point of each template at each pixel.

    Returns:
        RGBA in [0, 1], the colour multiplied by alpha.
    """
    scale = FRONTAL_PLACEMENT["scale"]
    u = point.x * scale + FRONTAL_PLACEMENT["place_u"]
    v = point.y * scale + FRONTAL_PLACEMENT["place_v"]
    layer = F.grid_sample(template, torch.stack([u, v], -1), mode="bilinear", align_corners=False)
    alpha = layer[:, 3:]
    kept = torch.minimum(alpha, point.cover.unsqueeze(1)) / alpha.clamp(min=1e-6)
    return layer * kept
