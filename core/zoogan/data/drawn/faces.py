"""Drawing of faces by number, and redrawing with changed attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from zoogan.data.drawn import accessories, features, hair, head, identity
from zoogan.data.drawn.attributes import find_column, find_rivals, hide_attributes
from zoogan.data.drawn.canvas import Canvas
from zoogan.data.drawn.distribution import AttributeDistribution

_PIXELS_AT_ONCE = 128 * 64 * 64  # bounds the memory of one call


@dataclass(frozen=True)
class FaceBatch:
    """A batch of drawn faces.

    Attributes:
        image: The images.
        attributes: The attributes that the faces show, in the order of ATTRIBUTES; False where something hides them
            (see HIDDEN_BY).
        visible: False where something hides the attribute.
        segmentation: The topmost class that covers at least half of a pixel, an index into CLASSES: whole lenses are
            eye_g (3), a face mask is cloth (18), beards are skin (1).
        pose: Yaw (positive: looks to the right of the image), pitch (positive: up) and roll (positive: clockwise) in
            degrees.
        identity: Numbers of the faces.
    """

    image: UInt8[Tensor, "n 3 h w"]
    attributes: Bool[Tensor, "n 13"]
    visible: Bool[Tensor, "n 13"]
    segmentation: UInt8[Tensor, "n h w"]
    pose: Float[Tensor, "n 3"]
    identity: Int64[Tensor, " n"]


class DrawnFaces:
    """Faces 0, 1, 2, ... without end. A face is a pure function of (seed, index, image size, attributes).

    Args:
        image_size: Height and width in pixels, 16 or more; the same face at another size is the same drawing.
        seed: Seed of the renderer.
        probabilities: See `AttributeDistribution`.
        cooccurrence: See `AttributeDistribution`.

    Raises:
        ValueError: The image size is too small, or the probabilities are wrong.
    """

    def __init__(
        self,
        image_size: int = 64,
        *,
        seed: int = 0,
        probabilities: Mapping[str, float] | None = None,
        cooccurrence: Mapping[Any, Any] | None = None,
    ):
        if image_size < 16:
            raise ValueError(f"image_size is {image_size}; a drawn face needs 16 pixels or more.")
        self.image_size, self.seed = int(image_size), int(seed)
        self.distribution = AttributeDistribution(probabilities, cooccurrence)

    def draw(self, indices: Sequence[int] | Tensor) -> FaceBatch:
        """Draw the faces with these indices (0 and up)."""
        numbers = _check_indices(indices)
        born = self._draw_attributes(numbers)
        return self._paint(numbers, born, born)

    def redraw(self, indices: Sequence[int] | Tensor, **attributes: float | bool | int | Tensor) -> FaceBatch:
        """Redraw faces with only these attributes changed.

        Setting an attribute clears those that it excludes. Changing a hidden attribute changes nothing.

        Args:
            indices: Numbers of the faces.
            attributes: Value by attribute, in [0, 1] (0.5 and up is 1), for all faces or one a face (n,).

        Raises:
            ValueError: A name is unknown, a value is outside [0, 1], or two attributes that exclude each other are set.
        """
        return self._paint(*self._change_attributes(indices, attributes))

    def draw_traits(
        self, indices: Sequence[int] | Tensor, **attributes: float | bool | int | Tensor
    ) -> identity.Traits:
        """Draw the traits of `redraw(indices, **attributes)`, without painting.

        Raises:
            ValueError: See `redraw`.
        """
        numbers, has, born = self._change_attributes(indices, attributes)
        return identity.make_traits(self.seed, numbers, has, hide_attributes(has)[0], born)

    def _change_attributes(
        self, indices: Sequence[int] | Tensor, attributes: Mapping[str, float | bool | int | Tensor]
    ) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the numbers of faces, the attributes that they have after a change, and those they had before."""
        numbers = _check_indices(indices)
        born = self._draw_attributes(numbers)
        has = born.clone()
        values = {name: _check_values(name, value, len(numbers)) for name, value in attributes.items()}
        for name, value in values.items():
            for rival in find_rivals(name):
                if rival in values and bool((value & values[rival]).any()):
                    raise ValueError(f"{name} and {rival} exclude each other; set one of them.")
                has[:, find_column(rival)] &= ~value
        for name, value in values.items():
            has[:, find_column(name)] = value
        return numbers, has, born

    def draw_attributes(self, indices: Sequence[int] | Tensor) -> tuple[Bool[Tensor, "n 13"], Bool[Tensor, "n 13"]]:
        """Draw (attributes, visible) of `draw(indices)`, without painting."""
        return hide_attributes(self._draw_attributes(_check_indices(indices)))

    def draw_pose(self, indices: Sequence[int] | Tensor) -> Float[Tensor, "n 3"]:
        """Draw the pose of `draw(indices)`, without painting."""
        return identity.draw_angles(self.seed, _check_indices(indices))

    def _draw_attributes(self, numbers: np.ndarray) -> Bool[Tensor, "n 13"]:
        """Draw the attributes that faces have, hidden ones too."""
        return self.distribution.draw(
            identity.hash_uniform(self.seed, numbers, AttributeDistribution.list_draw_names())
        )

    def _paint(self, numbers: np.ndarray, has: Tensor, born: Tensor) -> FaceBatch:
        """Paint faces that have the attributes `has`, and had `born` before redrawing."""
        labels, visible = hide_attributes(has)
        n, size = len(numbers), self.image_size
        image = torch.empty(n, 3, size, size, dtype=torch.uint8)
        segmentation = torch.empty(n, size, size, dtype=torch.uint8)
        step = max(1, _PIXELS_AT_ONCE // (size * size))
        with torch.no_grad():
            for start in range(0, n, step):
                part = slice(start, start + step)
                canvas = Canvas(
                    size, identity.make_traits(self.seed, numbers[part], has[part], labels[part], born[part])
                )
                paint_portrait(canvas, labels[part])
                image[part] = canvas.image.mul_(255.0).add_(0.5).clamp_(0.0, 255.0)
                segmentation[part] = canvas.segmentation
        return FaceBatch(
            image,
            labels,
            visible,
            segmentation,
            identity.draw_angles(self.seed, numbers),
            torch.from_numpy(numbers),
        )


def paint_portrait(canvas: Canvas, shows: Bool[Tensor, "n 13"]) -> None:
    """Paint everything on a canvas, from back to front.

    Args:
        canvas: The canvas, with the traits of the faces.
        shows: The attributes that the faces show.
    """
    hatless = ~shows[:, find_column("Wearing_Hat")]
    haired = (hatless & ~shows[:, find_column("Bald")]).nonzero().view(-1)
    unmasked = ~shows[:, find_column("Face_Mask")]
    bearded = (
        (unmasked & (~shows[:, find_column("No_Beard")] | (canvas.traits.stubble.view(-1) > 0))).nonzero().view(-1)
    )

    solid = head.Head(canvas)
    head.paint_background(canvas)
    head.paint_neck_and_clothes(canvas)
    if len(haired):
        hair.paint_hair_behind(canvas, solid, haired)
    head.paint_far_ears(canvas)
    head.paint_skin(canvas, solid)
    head.paint_near_ears(canvas)
    if len(bearded):
        hair.paint_beard(canvas, solid, bearded)
    features.paint_mouth(canvas)
    features.paint_nose(canvas, solid)
    features.paint_eyes(canvas)
    features.paint_brows(canvas)
    if len(faces := _find_faces(shows, "Face_Mask")):
        accessories.paint_mask(canvas, solid, faces)
    if len(haired):
        hair.paint_hair_around(canvas, solid, haired)
    if len(faces := _find_faces(shows, "Wearing_Hat")):
        accessories.paint_hat(canvas, solid, faces)
    if len(faces := _find_faces(shows, "Wearing_Earrings")):
        accessories.paint_earrings(canvas, faces)
    if len(faces := _find_faces(shows, "Eyeglasses")):
        accessories.paint_glasses(canvas, solid, faces)


def _find_faces(shows: Bool[Tensor, "n 13"], name: str) -> Int64[Tensor, " m"]:
    """Find the rows of the faces that show an attribute."""
    return shows[:, find_column(name)].nonzero().view(-1)


def _check_indices(indices: Sequence[int] | Tensor) -> np.ndarray:
    """Convert indices to an array (n,), and check that none is negative."""
    numbers = np.asarray(torch.as_tensor(indices).cpu().numpy()).astype(np.int64).reshape(-1).copy()
    if (numbers < 0).any():
        raise ValueError(f"index {numbers.min()} is negative; drawn faces are numbered from 0.")
    return numbers


def _check_values(name: str, value: float | bool | int | Tensor, n: int) -> Bool[Tensor, " n"]:
    """Check a value of an attribute, and return it for each of n faces."""
    find_column(name)
    values = torch.as_tensor(value).float().reshape(-1)
    if len(values) not in (1, n) or not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(f"{name} is {value!r}; it takes a value between 0 and 1, or {n} of them.")
    return (values >= 0.5).expand(n).clone()
