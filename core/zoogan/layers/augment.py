"""Differentiable augmentation of what the discriminator sees, real and fake alike."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.facts import Facts
from zoogan.interfaces import Draws
from zoogan.layers.config import DiffAugmentConfig

Images = Float[Tensor, "n c h w"]
Chance = Float[Tensor, ""]


class Augment(ABC):
    """Role `augment`: images in, as many images of the same shape out, differentiable in the images.

    An augmentation may adapt: the game holds a probability p that begins at `start`, passes it to every call and lets
    `adapted` move it.

    every: iterations from one adaptation of p to the next; 0: it does not adapt. not_on: types of devices whose torch
    may lack what it computes with.
    """

    every: int = 0
    start: float = 0.0
    not_on: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, image: Images, draw: Draws, name: str, p: Chance | None = None) -> Images:
        """Augment each image by its own random draws, whose names begin with `name`.

        `image` may have more channels than a picture, such as a segmentation laid behind it: what moves pixels moves
        all of them, what changes colours only the picture's. `p` in [0, 1] is for those that adapt.
        """

    def adapted(self, p: Chance, trust: Float[Tensor, ""], images: Shaped[Tensor, ""]) -> Chance:
        """The next p.

        Args:
            p: the present one.
            trust: mean sign of the discriminator's scores of augmented real images since the last adaptation, in [-1, 1].
            images: how many real images these were, over all processes.
        """
        return p


class NoAugment(Augment):
    """The images as they are."""

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, image: Images, draw: Draws, name: str, p: Chance | None = None) -> Images:
        """`image` itself."""
        return image


class DiffAugment(Augment):
    """DiffAugment (Zhao et al. 2020): colour, translation and cutout, in this order.

    Values may leave [-1, 1]. Pixels from outside, and those cut out, are 0. Needs no data-dependent shapes.
    """

    def __init__(self, config: DiffAugmentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config or DiffAugmentConfig()
        self.channels = 3 if facts is None else facts.channels

    def __call__(self, image: Images, draw: Draws, name: str, p: Chance | None = None) -> Images:
        """Augment by the draws `<name>.brightness`, `.saturation`, `.contrast`, `.shift` and `.cutout`."""
        if self.config.color:
            kinds = ("brightness", "saturation", "contrast")
            each = [draw.uniform(f"{name}.{kind}", 1, 1, 1, like=image) for kind in kinds]
            colours = recoloured(image[:, : self.channels], *each)
            image = torch.cat([colours, image[:, self.channels :]], 1) if image.shape[1] > self.channels else colours
        if self.config.translation > 0:
            image = translated(image, draw.uniform(f"{name}.shift", 2, like=image), self.config.translation)
        if self.config.cutout > 0:
            image = cut_out(image, draw.uniform(f"{name}.cutout", 2, like=image), self.config.cutout)
        return image


Each = Float[Tensor, "n 1 1 1"]


def recoloured(image: Images, brightness: Each, saturation: Each, contrast: Each) -> Images:
    """Draws in [0, 1) as brightness of up to +-0.5, saturation times [0, 2), contrast times [0.5, 1.5)."""
    image = image + (brightness - 0.5)
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * (2 * saturation)
    mean = image.mean((1, 2, 3), keepdim=True)
    return mean + (image - mean) * (contrast + 0.5)


def whole(draw: Float[Tensor, "n"], count: int) -> Float[Tensor, "n"]:
    """Integers 0..count-1 from draws in [0, 1); rounding never gives `count`."""
    return (draw * count).floor().clamp(max=count - 1)


def translated(image: Images, draws: Float[Tensor, "n 2"], share: float) -> Images:
    """Shift down and across by whole pixels, each up to `share` of the side; 0 comes in at the border."""
    for dim, draw in zip((2, 3), draws.unbind(1)):
        side = image.shape[dim]
        most = int(side * share + 0.5)
        shift = (whole(draw, 2 * most + 1) - most).long()
        source = torch.arange(side, device=image.device)[None] - shift[:, None]
        inside = (source >= 0) & (source < side)
        shape = (len(image), 1, side, 1) if dim == 2 else (len(image), 1, 1, side)
        index = source.clamp(0, side - 1).view(shape).expand_as(image)
        image = image.gather(dim, index) * inside.view(shape)
    return image


def cut_out(image: Images, draws: Float[Tensor, "n 2"], share: float) -> Images:
    """Blank a square of `share` of the side, its centre anywhere in the image."""
    covered = []
    for dim, draw in zip((2, 3), draws.unbind(1)):
        side = image.shape[dim]
        length = int(side * share + 0.5)
        first = whole(draw, side + 1 - length % 2) - length // 2
        place = torch.arange(side, device=image.device, dtype=draw.dtype)[None]
        covered.append((place >= first[:, None]) & (place < first[:, None] + length))
    hole = covered[0][:, None, :, None] & covered[1][:, None, None, :]
    return image * (~hole)
