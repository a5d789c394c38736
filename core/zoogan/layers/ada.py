"""Adaptive discriminator augmentation (ADA): the probability of changes follows the discriminator's overfitting."""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import Draws
from zoogan.layers.augment import Augment, Probability, draw_to_integer
from zoogan.layers.config import AdaConfig
from zoogan.layers.precision import disable_autocast, matmul_without_tf32
from zoogan.layers.shapes import Images
from zoogan.layers.warp import warp_affine

PerImage = Float[Tensor, " n"]

CHANGE_GROUPS = {
    "flip": ("flip",),
    "turn": ("turn",),
    "shift": ("shift",),
    "geometry": ("scale", "rotation_before", "stretch", "rotation_after", "move"),
    "color": ("brightness", "contrast", "inversion", "hue", "saturation"),
}
"""The changes, in the paper's order, by the switch of `AdaConfig` that turns them off."""
CHANGE_KINDS = tuple(kind for kinds in CHANGE_GROUPS.values() for kind in kinds)
UNIFORM_DRAWS = ("flip", "turn", "shift_across", "shift_down", "rotation_before", "rotation_after", "inversion", "hue")
NORMAL_DRAWS = ("scale", "stretch", "move_across", "move_down", "brightness", "contrast", "saturation")
"""The columns of the uniform and of the normal draw. A switch moves no column, so it affects no other change."""


class Changes(NamedTuple):
    """The changes of each image; those that were not drawn have neutral values.

    Attributes:
        flip: Mirror left to right.
        turn: Quarter turns to the left, 0 to 3.
        shift: Pixels across and down, whole numbers.
        scale: Factor of width and height.
        rotation_before: Radians to the right, before the stretch.
        stretch: Factor of the width; the height is divided by it.
        rotation_after: Radians to the right, after the stretch.
        move: Pixels across and down.
        brightness: Added to all values.
        contrast: Factor of all values.
        inversion: -1 inverts brightness, 1 keeps it.
        hue: Radians.
        saturation: Factor.
    """

    flip: Bool[Tensor, " n"]
    turn: PerImage
    shift: Float[Tensor, "n 2"]
    scale: PerImage
    rotation_before: PerImage
    stretch: PerImage
    rotation_after: PerImage
    move: Float[Tensor, "n 2"]
    brightness: PerImage
    contrast: PerImage
    inversion: PerImage
    hue: PerImage
    saturation: PerImage


class AdaptiveAugment(Augment):
    """ADA with the changes `bgc` of the paper: blitting, geometry and colour.

    Each image gets each change with probability p, independently. A drawn change may do nothing: a flip in half of the
    cases, a turn in a quarter, so that it does not leak into the generated images. Geometry is computed in float32 or
    wider. Twice differentiable in the images. The host reads nothing from the device.

    Args:
        config: Its settings; None = the defaults.
        facts: Facts of the data, for the number of channels; None = 3 channels.

    Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
    """

    unsupported_devices = ("mps",)  # the derivative of grid_sample

    def __init__(self, config: AdaConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config or AdaConfig()
        fixed = self.config.fixed
        self.start = self.config.start if fixed is None else fixed
        self.every = self.config.every if fixed is None else 0
        self.channels = 3 if facts is None else facts.channels

    def __call__(self, image: Images, draw: Draws, name: str, p: Probability | None = None) -> Images:
        """Augment by the draws `<name>.whether`, `.uniform` and `.normal`.

        Args:
            image: Images (n, c, h, w) in [-1, 1].
            draw: Random numbers of the update.
            name: Prefix of the names of the draws.
            p: Probability in [0, 1] of each change; None = `start`; unused if `fixed` is set.

        Returns:
            Images of the same shape and type.

        Raises:
            ValueError: The images are not square and `turn` is on.
        """
        if self.config.turn and image.shape[2] != image.shape[3]:
            h, w = image.shape[2:]
            raise ValueError(
                f"augment.use=ada makes quarter turns, which need square images, got {h} x {w}. Set augment.turn=false"
            )
        probability = self.start if p is None or self.config.fixed is not None else p
        with disable_autocast(image):
            pixels = image.to(torch.promote_types(image.dtype, torch.float32))
            changes = self.sample_changes(pixels, draw, name, probability)
            if self.config.flip or self.config.turn:
                pixels = flip_and_turn(pixels, changes.flip, changes.turn)
            if self.config.shift or self.config.geometry:
                pixels = warp_affine(pixels, *invert_geometry(changes))
            if self.config.color:
                pixels = transform_colours(pixels, changes, self.channels)
            return pixels.to(image.dtype)

    @torch.no_grad()
    def sample_changes(self, image: Images, draw: Draws, name: str, p: Probability | float) -> Changes:
        """Draw the changes of each image.

        Args:
            image: Images (n, c, h, w).
            draw: Random numbers of the update.
            name: Prefix of the names of the draws.
            p: Probability in [0, 1] of each change.

        Returns:
            The changes.
        """
        h, w = image.shape[2:]
        whether = dict(zip(CHANGE_KINDS, draw.uniform(f"{name}.whether", len(CHANGE_KINDS), like=image).unbind(1)))
        uniform = dict(zip(UNIFORM_DRAWS, draw.uniform(f"{name}.uniform", len(UNIFORM_DRAWS), like=image).unbind(1)))
        normal = dict(zip(NORMAL_DRAWS, draw.normal(f"{name}.normal", len(NORMAL_DRAWS), like=image).unbind(1)))
        off = {kind for group, kinds in CHANGE_GROUPS.items() if not getattr(self.config, group) for kind in kinds}

        def is_drawn(kind: str) -> Bool[Tensor, " n"]:
            """Return which images get a change. Each rotation is rarer, so that a share p gets any."""
            probability = 1 - (1 - p) ** 0.5 if kind.startswith("rotation") else p
            return whether[kind] < (0.0 if kind in off else probability)

        def choose(kind: str, value: PerImage, neutral: float) -> PerImage:
            """Take the value where the change is drawn, and the neutral one elsewhere."""
            return torch.where(is_drawn(kind), value, neutral)

        def choose_move(kind: str, across: PerImage, down: PerImage) -> Float[Tensor, "n 2"]:
            """Take a move in shares of the sides, in pixels, where the change is drawn."""
            return torch.where(is_drawn(kind)[:, None], torch.stack([w * across, h * down], 1), 0.0)

        return Changes(
            flip=is_drawn("flip") & (uniform["flip"] < 0.5),
            turn=choose("turn", draw_to_integer(uniform["turn"], 4), 0.0),
            shift=choose_move("shift", (uniform["shift_across"] - 0.5) / 4, (uniform["shift_down"] - 0.5) / 4).round(),
            scale=choose("scale", torch.exp2(0.2 * normal["scale"]), 1.0),
            rotation_before=choose("rotation_before", pi * (2 * uniform["rotation_before"] - 1), 0.0),
            stretch=choose("stretch", torch.exp2(0.2 * normal["stretch"]), 1.0),
            rotation_after=choose("rotation_after", pi * (2 * uniform["rotation_after"] - 1), 0.0),
            move=choose_move("move", 0.125 * normal["move_across"], 0.125 * normal["move_down"]),
            brightness=choose("brightness", 0.2 * normal["brightness"], 0.0),
            contrast=choose("contrast", torch.exp2(0.5 * normal["contrast"]), 1.0),
            inversion=torch.where(is_drawn("inversion") & (uniform["inversion"] < 0.5), -1.0, 1.0).to(image.dtype),
            hue=choose("hue", pi * (2 * uniform["hue"] - 1), 0.0),
            saturation=choose("saturation", torch.exp2(normal["saturation"]), 1.0),
        )

    @torch.no_grad()
    def adapt_probability(self, p: Probability, trust: Float[Tensor, ""], images: Shaped[Tensor, ""]) -> Probability:
        """Raise p if `trust` is above the target, lower it if below, within [0, 1]; see `Augment`."""
        if self.every == 0:
            return p
        direction = (trust > self.config.target).to(p.dtype) - (trust < self.config.target).to(p.dtype)
        return (p + direction * images / self.config.images).clamp(0, 1)


def flip_and_turn(image: Images, flip: Bool[Tensor, " n"], turn: PerImage) -> Images:
    """Mirror images left to right, then turn them by quarters as `torch.rot90` does; exact.

    Args:
        image: Images (n, c, h, w); square, unless `turn` is even everywhere.
        flip: Which images to mirror.
        turn: Quarter turns to the left, 0 to 3.

    Returns:
        Images of the same shape.
    """
    flip, half, odd = (mask[:, None, None, None] for mask in (flip, (turn == 1) | (turn == 2), turn % 2 == 1))
    image = torch.where(flip ^ half, image.flip(3), image)
    image = torch.where(half ^ odd, image.flip(2), image)  # turns 2 and 3
    return torch.where(odd, image.mT, image) if image.shape[2] == image.shape[3] else image


def invert_geometry(changes: Changes) -> tuple[Float[Tensor, "n 2 2"], Float[Tensor, "n 2"]]:
    """Compute the affine map from positions in the output to positions in the input, in pixels from the middle.

    An input position y goes to x = after * stretch * before * scale * (y + shift) + move, so y = L (x - move) - shift
    with L the inverse of the product.

    Args:
        changes: The changes of each image.

    Returns:
        L (n, 2, 2) and the offset (n, 2); see `warp_affine`.
    """
    (c, s), (d, t) = ((r.cos(), r.sin()) for r in (changes.rotation_before, changes.rotation_after))
    a, b = 1 / (changes.scale * changes.stretch), changes.stretch / changes.scale
    rows = (a * c * d - b * s * t, a * c * t + b * s * d, -a * s * d - b * c * t, b * c * d - a * s * t)
    linear = torch.stack(rows, 1).view(-1, 2, 2)
    return linear, -(linear * changes.move[:, None]).sum(2) - changes.shift


def transform_colours(image: Images, changes: Changes, channels: int = 3) -> Images:
    """Change brightness, contrast, inversion, hue and saturation in one affine map.

    The first three act on a pixel's grey; hue turns the rest around the grey axis and saturation multiplies it.
    A picture of fewer than three channels is all grey.

    Args:
        image: Images (n, c, h, w) in [-1, 1].
        changes: The changes of each image.
        channels: Channels of the picture; those behind them keep their values.

    Returns:
        Images of the same shape.
    """
    channels = min(channels, image.shape[1])
    one = torch.eye(channels, dtype=image.dtype, device=image.device)
    grey = torch.full_like(one, 1 / 3) if channels == 3 else one
    around = (one.roll(1, 0) - one.roll(-1, 0)) / sqrt(3)  # the cross product with (1, 1, 1) / sqrt(3)
    inversion, hue, saturation = (v[:, None, None] for v in (changes.inversion, changes.hue, changes.saturation))
    chroma = hue.cos() * (one - grey) + hue.sin() * around if channels == 3 else torch.zeros_like(one)
    matrix = changes.contrast[:, None, None] * (inversion * grey + saturation * chroma)
    offset = changes.contrast * changes.inversion * changes.brightness
    flat = matmul_without_tf32(matrix, image[:, :channels].flatten(2)) + offset[:, None, None]
    colours = flat.view(-1, channels, *image.shape[2:])
    return torch.cat([colours, image[:, channels:]], 1) if image.shape[1] > channels else colours
