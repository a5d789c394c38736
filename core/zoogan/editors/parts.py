"""Faces made of parts: replacing parts by those of other faces, and generating a face part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.conditions.parts import NO_PARTS
from zoogan.interfaces import Request
from zoogan.interfaces.synthesis import LatentGenerator, Latents, Noise


class PartialFace(NamedTuple):
    """A face made of its first parts.

    Attributes:
        part: The part that was added last.
        image: The face in [-1, 1].
        segmentation: The class of each pixel.
        mask: The mask of the last part in [-1, 1], at the side of the parts' features; None for generators without.
        depth: How near the last part is, unbounded, likewise.
    """

    part: str
    image: Float[Tensor, "n c h w"]
    segmentation: Int64[Tensor, "n h w"] | None
    mask: Float[Tensor, "n h2 w2"] | None
    depth: Float[Tensor, "n h2 w2"] | None


def replace_rows(latents: Latents, other: Float[Tensor, "#n rows s"], rows: Sequence[int]) -> Latents:
    """Return w+ with some rows of other faces; `other` has a face for each, or one for all."""
    changed = latents.clone()
    changed[:, list(rows)] = other.to(latents)[:, list(rows)]
    return changed


def check_donor(request: Request, has_donor: bool, parts: Iterable[str]) -> None:
    """Check that requested parts come from one face, named once.

    Args:
        request: The request.
        has_donor: Whether a face was given.
        parts: Names of the parts that can be taken.

    Raises:
        ValueError: No face or two faces for the parts, or a face without parts.
    """
    if has_donor and not request.parts:
        names = ", ".join(parts)
        raise ValueError(f"donor: name the part to take from it: {names}" if names else NO_PARTS)
    if request.parts and has_donor == (request.from_seed is not None):
        problem = (
            "from_seed and donor both name the face to take from: leave one of them out"
            if has_donor
            else "name the face to take from with from_seed, or give it as donor"
        )
        raise ValueError(f"{', '.join(request.parts)}: {problem}")


@torch.no_grad()
def iterate_partial_faces(
    generator: LatentGenerator, latents: Latents, noise: Noise | None = None
) -> Iterator[PartialFace]:
    """Generate faces part by part, in the order of the classes: the first alone, then with the second, to all parts.

    Args:
        generator: A generator of faces made of parts.
        latents: w+ of the faces.
        noise: Noise maps; None = the generator's own, fixed ones.

    Raises:
        ValueError: A generator that makes faces in one piece.
    """
    if not generator.parts:
        raise ValueError(NO_PARTS)
    return (make_partial_face(generator, latents, noise, k) for k in range(len(generator.parts)))


@torch.no_grad()
def make_partial_face(generator: LatentGenerator, latents: Latents, noise: Noise | None, last: int) -> PartialFace:
    """Generate faces of the parts up to the one with index `last`."""
    visible = (torch.arange(len(generator.parts), device=latents.device) <= last).to(latents)[None]
    is_whole = last == len(generator.parts) - 1
    output = generator(latents, noise) if is_whole else generator.generate_parts(latents, noise, visible=visible)
    return PartialFace(
        generator.parts[last],
        output.image.clamp(-1, 1),
        None if output.segmentation is None else output.segmentation.argmax(1),
        None if output.coarse is None else output.coarse[:, last],
        None if output.depth is None else output.depth[:, last],
    )
