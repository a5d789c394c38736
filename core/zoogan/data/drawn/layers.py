"""Things that drawn faces wear, painted as layers of their own: masks, glasses, hats and earrings with exact alpha.

A layer lies over any picture: `picture * (1 - alpha) + colour`. Frontal layers are those of heads that look at the
viewer at a fixed place, so that they can be laid on the head of any other picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.data.drawn.accessories import paint_earrings, paint_glasses, paint_hat, paint_mask
from zoogan.data.drawn.canvas import Canvas
from zoogan.data.drawn.head import Head
from zoogan.data.drawn.identity import Traits
from zoogan.names import suggest_name

PLACEMENT: tuple[str, ...] = (
    "place_u", "place_v", "scale", "yaw_sin", "pitch_sin", "roll_sin",
    "face_width", "chin", "eye_gap", "taper", "square",
)  # fmt: skip
"""The numbers of a placement: where a head is in the picture, how it is turned, and its shape.

`place_u` and `place_v` are the point between the eyes, from -1 (left, top) to 1. `scale` is the length of a head unit,
1 = half the height of the picture. The others are in head units; `face_width` is half the width, `eye_gap` half the
distance of the eyes, `chin` the distance from the eyes to the chin.
"""

FRONTAL_PLACEMENT: dict[str, float] = {
    "place_u": 0.0, "place_v": -0.1, "scale": 1.0, "yaw_sin": 0.0, "pitch_sin": 0.0, "roll_sin": 0.0,
}  # fmt: skip
"""Place and turn of the heads of frontal layers."""

STANDARD_PLACEMENT: dict[str, float] = {
    **FRONTAL_PLACEMENT, "face_width": 0.43, "chin": 0.635, "eye_gap": 0.1875, "taper": 0.2, "square": 0.2,
}  # fmt: skip
"""Placement of a mean head in a frontal layer."""

_PAINTERS: dict[str, Callable[[Canvas, Head, Tensor], None]] = {
    "Face_Mask": paint_mask,
    "Eyeglasses": paint_glasses,
    "Wearing_Hat": paint_hat,
    "Wearing_Earrings": lambda canvas, head, faces: paint_earrings(canvas, faces),
}
LAYER_ATTRIBUTES: tuple[str, ...] = tuple(_PAINTERS)
"""The attributes of which there are layers."""


def read_placement(traits: Traits) -> Float[Tensor, "n p"]:
    """Read the placement of drawn heads, in the order of `PLACEMENT`."""
    return torch.stack([getattr(traits, name).view(-1) for name in PLACEMENT], 1)


def set_placement(traits: Traits, placement: Float[Tensor, "n p"]) -> Traits:
    """Change the placement of drawn heads.

    Args:
        traits: The traits of n faces.
        placement: The new placement, in the order of `PLACEMENT`.
    """
    values = {name: column.view(-1, 1, 1) for name, column in zip(PLACEMENT, placement.unbind(1), strict=True)}
    for angle in ("yaw", "pitch", "roll"):
        values[f"{angle}_cos"] = (1.0 - values[f"{angle}_sin"] * values[f"{angle}_sin"]).clamp(min=0.0).sqrt()
    return traits.replace(values)


def make_frontal(traits: Traits) -> Traits:
    """Turn drawn heads to the viewer, and move them to the place of frontal layers; their shape stays."""
    placement = read_placement(traits).clone()
    for name, value in FRONTAL_PLACEMENT.items():
        placement[:, PLACEMENT.index(name)] = value
    return set_placement(traits, placement)


@torch.no_grad()
def draw_layer(
    attribute: str, traits: Traits, size: int, *, edge_width: float | None = None
) -> Float[Tensor, "n 4 {size} {size}"]:
    """Draw what faces wear when they show an attribute, and nothing else of them.

    Args:
        attribute: One of `LAYER_ATTRIBUTES`.
        traits: The traits of the faces, such as those of `DrawnFaces.draw_traits`.
        size: Height and width in pixels.
        edge_width: Width of the soft edges in head units, for layers that are laid on pictures with other pixels; None
            = one pixel.

    Returns:
        RGBA, the colour multiplied by alpha, which is in [0, 1]. Highlights are brighter than white, as they are while
        the renderer paints.

    Raises:
        ValueError: There is no layer of the attribute.
    """
    if attribute not in _PAINTERS:
        hint = suggest_name(attribute, LAYER_ATTRIBUTES)
        raise ValueError(f"{attribute!r}: no layer of it can be drawn{hint}; there are {', '.join(LAYER_ATTRIBUTES)}")
    rows = torch.arange(len(traits))
    canvas = Canvas(size, traits)
    if edge_width is not None:
        canvas.pixel = torch.full_like(traits.scale, edge_width)
    head = Head(canvas)
    grounds = []
    for ground in (0.0, 1.0):
        canvas.image = torch.full((len(traits), 3, size, size), ground)
        _PAINTERS[attribute](canvas, head, rows)
        grounds.append(canvas.image)
    black, white = grounds
    # every channel is covered alike; what the white ground adds to the black one is what shows through
    alpha = (1.0 - (white - black)).mean(1, keepdim=True).clamp_(0.0, 1.0)
    return torch.cat([black, alpha], 1)
