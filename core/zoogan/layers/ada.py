"""Adaptive discriminator augmentation: each change comes with a probability that follows the discriminator's overfitting."""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import Draws
from zoogan.layers.augment import Augment, Chance, Images, whole
from zoogan.layers.config import AdaConfig
from zoogan.layers.precision import product
from zoogan.layers.warp import warped

Each = Float[Tensor, "n"]

GROUPS = {
    "flip": ("flip",),
    "turn": ("turn",),
    "shift": ("shift",),
    "geometry": ("scale", "rotation_before", "stretch", "rotation_after", "move"),
    "color": ("brightness", "contrast", "inversion", "hue", "saturation"),
}
"""The changes, in the paper's order, by the switch of `AdaConfig` that turns them off."""
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
UNIFORM = ("flip", "turn", "shift_across", "shift_down", "rotation_before", "rotation_after", "inversion", "hue")
NORMAL = ("scale", "stretch", "move_across", "move_down", "brightness", "contrast", "saturation")
"""What the columns of the three draws are for. A switch moves no column, so it changes no other change."""


class Changes(NamedTuple):
    """What happens to each image; what was not drawn is neutral.

    flip: left becomes right. turn: quarter turns to the left, 0 to 3. shift: across and down, in whole pixels. scale;
    rotation_before, rotation_after: radians to the right; stretch: of the width, the height by its inverse; move: as
    shift, in pixels. brightness: added. contrast: factor. inversion: -1 inverts brightness, 1 does not. hue: radians.
    saturation: factor.
    """

    flip: Bool[Tensor, "n"]
    turn: Each
    shift: Float[Tensor, "n 2"]
    scale: Each
    rotation_before: Each
    stretch: Each
    rotation_after: Each
    move: Float[Tensor, "n 2"]
    brightness: Each
    contrast: Each
    inversion: Each
    hue: Each
    saturation: Each


class AdaptiveAugment(Augment):
    """ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", appendix B, `bgc`).

    Each image gets each change with probability p, by itself. A change may do nothing when it comes: a flip in half of
    the cases, a turn in a quarter, so that it does not leak into what the generator draws. Geometry in at least
    float32. Twice differentiable in the images. The host reads nothing.
    """

    not_on = ("mps",)  # the derivative of grid_sample

    def __init__(self, config: AdaConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config or AdaConfig()
        fixed = self.config.fixed
        self.start = self.config.start if fixed is None else fixed
        self.every = self.config.every if fixed is None else 0
        self.channels = 3 if facts is None else facts.channels

    def __call__(self, image: Images, draw: Draws, name: str, p: Chance | None = None) -> Images:
        """Augment by the draws `<name>.whether`, `.uniform` and `.normal`.

        p: None = `start`; without effect if the config says `fixed`.

        Raises:
            ValueError: a turn of images that are not square.
        """
        if self.config.turn and image.shape[2] != image.shape[3]:
            h, w = image.shape[2:]
            raise ValueError(f"ada turns images by quarters, so they must be square; got {h} x {w} (turn=false is off)")
        chance = self.start if p is None or self.config.fixed is not None else p
        with torch.autocast("cpu" if image.is_meta else image.device.type, enabled=False):
            pixels = image.to(torch.promote_types(image.dtype, torch.float32))
            changes = self.changes(pixels, draw, name, chance)
            if self.config.flip or self.config.turn:
                pixels = turned(pixels, changes.flip, changes.turn)
            if self.config.shift or self.config.geometry:
                pixels = warped(pixels, *way_back(changes))
            if self.config.color:
                pixels = coloured(pixels, changes, self.channels)
            return pixels.to(image.dtype)

    @torch.no_grad()
    def changes(self, image: Images, draw: Draws, name: str, p: Chance | float) -> Changes:
        """Draw what happens to each image."""
        h, w = image.shape[2:]
        whether = dict(zip(KINDS, draw.uniform(f"{name}.whether", len(KINDS), like=image).unbind(1)))
        even = dict(zip(UNIFORM, draw.uniform(f"{name}.uniform", len(UNIFORM), like=image).unbind(1)))
        normal = dict(zip(NORMAL, draw.normal(f"{name}.normal", len(NORMAL), like=image).unbind(1)))
        off = {kind for group, kinds in GROUPS.items() if not getattr(self.config, group) for kind in kinds}

        def comes(kind: str) -> Bool[Tensor, "n"]:
            """An image is rotated at all with probability p, so each of the two rotations comes less often."""
            chance = 1 - (1 - p) ** 0.5 if kind.startswith("rotation") else p
            return whether[kind] < (0.0 if kind in off else chance)

        def drawn(kind: str, value: Each, neutral: float) -> Each:
            return torch.where(comes(kind), value, neutral)

        def moved(kind: str, across: Each, down: Each) -> Float[Tensor, "n 2"]:
            return torch.where(comes(kind)[:, None], torch.stack([w * across, h * down], 1), 0.0)

        return Changes(
            flip=comes("flip") & (even["flip"] < 0.5),
            turn=drawn("turn", whole(even["turn"], 4), 0.0),
            shift=moved("shift", (even["shift_across"] - 0.5) / 4, (even["shift_down"] - 0.5) / 4).round(),
            scale=drawn("scale", torch.exp2(0.2 * normal["scale"]), 1.0),
            rotation_before=drawn("rotation_before", pi * (2 * even["rotation_before"] - 1), 0.0),
            stretch=drawn("stretch", torch.exp2(0.2 * normal["stretch"]), 1.0),
            rotation_after=drawn("rotation_after", pi * (2 * even["rotation_after"] - 1), 0.0),
            move=moved("move", 0.125 * normal["move_across"], 0.125 * normal["move_down"]),
            brightness=drawn("brightness", 0.2 * normal["brightness"], 0.0),
            contrast=drawn("contrast", torch.exp2(0.5 * normal["contrast"]), 1.0),
            inversion=torch.where(comes("inversion") & (even["inversion"] < 0.5), -1.0, 1.0).to(image.dtype),
            hue=drawn("hue", pi * (2 * even["hue"] - 1), 0.0),
            saturation=drawn("saturation", torch.exp2(normal["saturation"]), 1.0),
        )

    @torch.no_grad()
    def adapted(self, p: Chance, trust: Float[Tensor, ""], images: Shaped[Tensor, ""]) -> Chance:
        """p towards more augmentation if `trust` is above the target, towards less if below; within [0, 1]."""
        if self.every == 0:
            return p
        way = (trust > self.config.target).to(p.dtype) - (trust < self.config.target).to(p.dtype)
        return (p + way * images / self.config.images).clamp(0, 1)


def turned(image: Images, flip: Bool[Tensor, "n"], turn: Each) -> Images:
    """Mirrored left to right, then so many quarter turns as `torch.rot90` makes; exact."""
    flip, half, odd = (mask[:, None, None, None] for mask in (flip, (turn == 1) | (turn == 2), turn % 2 == 1))
    image = torch.where(flip ^ half, image.flip(3), image)
    image = torch.where(half ^ odd, image.flip(2), image)  # turns 2 and 3
    return torch.where(odd, image.mT, image) if image.shape[2] == image.shape[3] else image


def way_back(changes: Changes) -> tuple[Float[Tensor, "n 2 2"], Float[Tensor, "n 2"]]:
    """The matrix L and the offset from a place x in the output to that in the input, in pixels from the middle.

    An input place y comes to x = after stretch before scale (y + shift) + move, so y = L (x - move) - shift with L the
    inverse of the product.
    """
    (c, s), (d, t) = ((r.cos(), r.sin()) for r in (changes.rotation_before, changes.rotation_after))
    a, b = 1 / (changes.scale * changes.stretch), changes.stretch / changes.scale
    rows = (a * c * d - b * s * t, a * c * t + b * s * d, -a * s * d - b * c * t, b * c * d - a * s * t)
    linear = torch.stack(rows, 1).view(-1, 2, 2)
    return linear, -(linear * changes.move[:, None]).sum(2) - changes.shift


def coloured(image: Images, changes: Changes, channels: int = 3) -> Images:
    """Brightness, contrast, inversion, hue and saturation of the first channels, [-1, 1], as one affine map.

    The first three act on a pixel's grey; hue turns what is left around the grey axis and saturation multiplies it.
    A picture of fewer than three channels is all grey. channels: of the picture; what lies behind stays as it is.
    """
    channels = min(channels, image.shape[1])
    one = torch.eye(channels, dtype=image.dtype, device=image.device)
    grey = torch.full_like(one, 1 / 3) if channels == 3 else one
    around = (one.roll(1, 0) - one.roll(-1, 0)) / sqrt(3)  # the cross product with (1, 1, 1) / sqrt(3)
    inversion, hue, saturation = (v[:, None, None] for v in (changes.inversion, changes.hue, changes.saturation))
    chroma = hue.cos() * (one - grey) + hue.sin() * around if channels == 3 else torch.zeros_like(one)
    matrix = changes.contrast[:, None, None] * (inversion * grey + saturation * chroma)
    offset = changes.contrast * changes.inversion * changes.brightness
    flat = product(matrix, image[:, :channels].flatten(2)) + offset[:, None, None]
    colours = flat.view(-1, channels, *image.shape[2:])
    return torch.cat([colours, image[:, channels:]], 1) if image.shape[1] > channels else colours
