"""Differentiable augmentation of real and fake images before the discriminator."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import Draws
from zoogan.layers.config import DiffAugmentConfig
from zoogan.layers.shapes import Images

Probability = Float[Tensor, ""]


class Augment(ABC):
    """Role `augment`: images in, as many images of the same shape out, differentiable in the images.

    An augmentation may adapt: the game holds a probability p that begins at `start`, passes it to every call, and
    updates it by `adapt_probability`.

    Attributes:
        every: Iterations from one adaptation of p to the next; 0 = it does not adapt.
        start: The first p.
        unsupported_devices: Types of devices on which torch may lack an operator that it needs.
    """

    every: int = 0
    start: float = 0.0
    unsupported_devices: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, image: Images, draw: Draws, name: str, p: Probability | None = None) -> Images:
        """Augment each image by its own random draws.

        Args:
            image: Images (n, c, h, w) in [-1, 1]. Channels behind those of the picture, such as a segmentation, move
                with the pixels but keep their values.
            draw: Random numbers of the update.
            name: Prefix of the names of the draws.
            p: Probability in [0, 1] of an augmentation that adapts; None = its `start`.

        Returns:
            Images of the same shape.
        """

    def adapt_probability(self, p: Probability, trust: Float[Tensor, ""], images: Shaped[Tensor, ""]) -> Probability:
        """Return the next probability.

        Args:
            p: The present probability, in [0, 1].
            trust: Mean sign of the discriminator's scores of augmented real images since the last adaptation, in
                [-1, 1].
            images: How many real images these were, over all processes.

        Returns:
            A probability in [0, 1].
        """
        return p


class NoAugment(Augment):
    """No augmentation.

    Args:
        config: Unused.
        facts: Unused.
    """

    def __init__(self, config: object = None, facts: Facts | None = None) -> None:
        pass

    def __call__(self, image: Images, draw: Draws, name: str, p: Probability | None = None) -> Images:
        """Return `image` itself."""
        return image


class DiffAugment(Augment):
    """DiffAugment: colour, translation and cutout, in this order.

    Values may leave [-1, 1]. Pixels from outside the image and those cut out are 0. No shape depends on data.

    Args:
        config: Its settings; None = the defaults.
        facts: Facts of the data, for the number of channels; None = 3 channels.

    Source: Zhao et al. 2020 (Differentiable Augmentation for Data-Efficient GAN Training).
    """

    def __init__(self, config: DiffAugmentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config or DiffAugmentConfig()
        self.channels = 3 if facts is None else facts.channels

    def __call__(self, image: Images, draw: Draws, name: str, p: Probability | None = None) -> Images:
        """Augment by the draws `<name>.brightness`, `.saturation`, `.contrast`, `.shift` and `.cutout`."""
        if self.config.color:
            kinds = ("brightness", "saturation", "contrast")
            each = [draw.uniform(f"{name}.{kind}", 1, 1, 1, like=image) for kind in kinds]
            colours = jitter_colours(image[:, : self.channels], *each)
            image = torch.cat([colours, image[:, self.channels :]], 1) if image.shape[1] > self.channels else colours
        if self.config.translation > 0:
            image = translate_images(image, draw.uniform(f"{name}.shift", 2, like=image), self.config.translation)
        if self.config.cutout > 0:
            image = apply_cutout(image, draw.uniform(f"{name}.cutout", 2, like=image), self.config.cutout)
        return image


def jitter_colours(
    image: Images,
    brightness: Float[Tensor, "n 1 1 1"],
    saturation: Float[Tensor, "n 1 1 1"],
    contrast: Float[Tensor, "n 1 1 1"],
) -> Images:
    """Change brightness by up to 0.5, saturation by a factor in [0, 2), contrast by a factor in [0.5, 1.5).

    Args:
        image: Images (n, c, h, w).
        brightness: Draws (n, 1, 1, 1) in [0, 1).
        saturation: Draws (n, 1, 1, 1) in [0, 1).
        contrast: Draws (n, 1, 1, 1) in [0, 1).

    Returns:
        Images of the same shape.
    """
    image = image + (brightness - 0.5)
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * (2 * saturation)
    mean = image.mean((1, 2, 3), keepdim=True)
    return mean + (image - mean) * (contrast + 0.5)


def draw_to_integer(draw: Float[Tensor, " n"], count: int) -> Float[Tensor, " n"]:
    """Turn uniform draws into integers.

    Args:
        draw: Draws (n,) in [0, 1).
        count: How many integers there are.

    Returns:
        Whole numbers 0..count-1; rounding never gives `count`.
    """
    return (draw * count).floor().clamp(max=count - 1)


def translate_images(image: Images, draws: Float[Tensor, "n 2"], share: float) -> Images:
    """Shift images by whole pixels; 0 comes in at the border.

    Args:
        image: Images (n, c, h, w).
        draws: Draws (n, 2) in [0, 1), down and across.
        share: Largest shift as a share of the side.

    Returns:
        Images of the same shape.
    """
    for dim, draw in zip((2, 3), draws.unbind(1)):
        side = image.shape[dim]
        maximum = int(side * share + 0.5)
        shift = (draw_to_integer(draw, 2 * maximum + 1) - maximum).long()
        source = torch.arange(side, device=image.device)[None] - shift[:, None]
        inside = (source >= 0) & (source < side)
        shape = (len(image), 1, side, 1) if dim == 2 else (len(image), 1, 1, side)
        index = source.clamp(0, side - 1).view(shape).expand_as(image)
        image = image.gather(dim, index) * inside.view(shape)
    return image


def apply_cutout(image: Images, draws: Float[Tensor, "n 2"], share: float) -> Images:
    """Set a square whose centre lies anywhere in the image to 0.

    Args:
        image: Images (n, c, h, w).
        draws: Draws (n, 2) in [0, 1), down and across.
        share: Side of the square as a share of the side of the image.

    Returns:
        Images of the same shape.
    """
    covered = []
    for dim, draw in zip((2, 3), draws.unbind(1)):
        side = image.shape[dim]
        length = int(side * share + 0.5)
        first = draw_to_integer(draw, side + 1 - length % 2) - length // 2
        position = torch.arange(side, device=image.device, dtype=draw.dtype)[None]
        covered.append((position >= first[:, None]) & (position < first[:, None] + length))
    hole = covered[0][:, None, :, None] & covered[1][:, None, None, :]
    return image * (~hole)
