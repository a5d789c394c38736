"""Parts of faces: faces with parts of others, and how a face adds up from its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.conditions.parts import NO_PARTS
from zoogan.interfaces.synthesis import LatentGenerator, Latents, Noise


class Addition(NamedTuple):
    """A face once a part has been added to those before it.

    image: in [-1, 1]. segmentation: the class of each pixel. mask: of the part, in [-1, 1], and depth, how near it is,
    unbounded, both at the side of the parts' features; None for generators without.
    """

    part: str
    image: Float[Tensor, "n c h w"]
    segmentation: Int64[Tensor, "n h w"] | None
    mask: Float[Tensor, "n h2 w2"] | None
    depth: Float[Tensor, "n h2 w2"] | None


def with_rows(latents: Latents, other: Float[Tensor, "#n rows s"], rows: Sequence[int]) -> Latents:
    """w+ with some rows of other faces."""
    changed = latents.clone()
    changed[:, list(rows)] = other.to(latents)[:, list(rows)]
    return changed


@torch.no_grad()
def additions(generator: LatentGenerator, latents: Latents, noise: Noise | None = None) -> Iterator[Addition]:
    """Faces part by part, in the order of the classes: the first alone, then with the second... The last is whole.

    noise: None = the generator's own, fixed one.

    Raises:
        ValueError: a generator that makes faces in one piece.
    """
    if not generator.parts:
        raise ValueError(NO_PARTS)
    return (addition(generator, latents, noise, k) for k in range(len(generator.parts)))


@torch.no_grad()
def addition(generator: LatentGenerator, latents: Latents, noise: Noise | None, last: int) -> Addition:
    """Faces of the parts up to this one."""
    kept = (torch.arange(len(generator.parts), device=latents.device) <= last).to(latents)[None]
    whole = last == len(generator.parts) - 1
    made = generator(latents, noise) if whole else generator.composed(latents, noise, kept=kept)
    return Addition(
        generator.parts[last],
        made.image.clamp(-1, 1),
        None if made.segmentation is None else made.segmentation.argmax(1),
        None if made.coarse is None else made.coarse[:, last],
        None if made.depth is None else made.depth[:, last],
    )
