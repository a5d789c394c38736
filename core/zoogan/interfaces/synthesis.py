"""Roles of synthesis: from noise to a latent, from latents to a face, and the discriminator of what comes out.

A latent `z` is noise; `w` is what a mapping makes of it, one row of style_dim numbers; `w+` has a row for each place of
the generator where a latent enters, so that each can be another one (StyleGAN2, section 5; Abdal et al. 2019).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.network import Network

Latent = Float[Tensor, "n s"]
Latents = Float[Tensor, "n rows s"]
Noise = Sequence[Float[Tensor, "#n 1 _ _"]]


NOISE = "noise_"  # and the place of a map, where maps of noise stand among other tensors


def noise_among(tensors: Mapping[str, Tensor]) -> list[Float[Tensor, "_ 1 _ _"]] | None:
    """The maps of noise among named tensors, in order; None if there are none."""
    places = sorted(int(name.removeprefix(NOISE)) for name in tensors if name.startswith(NOISE))
    return [tensors[f"{NOISE}{place}"] for place in places] or None


def named_noise(noise: Noise | None) -> dict[str, Tensor]:
    """Maps of noise as named tensors, {"noise_0": ...}; none for the generator's own."""
    return {f"{NOISE}{place}": level for place, level in enumerate(noise or ())}


class Synthesised(NamedTuple):
    """What a latent generator returns.

    image: unbounded, meant for [-1, 1]. segmentation: scores of the parts, unbounded, meant for -1 or 1; coarse: their
    masks, in [-1, 1], before anything was refined; depth: how near each part is; None for generators without.
    """

    image: Float[Tensor, "n c h w"]
    segmentation: Float[Tensor, "n k h w"] | None = None
    coarse: Float[Tensor, "n k h2 w2"] | None = None
    depth: Float[Tensor, "n k h2 w2"] | None = None


class LatentMapping(Network):
    """Role `latent_mapping`: from noise to a latent. latent_dim: numbers of the noise; style_dim: of the latent."""

    contract: ClassVar[Contract] = Contract(inputs={"latent": "n _"}, outputs={"style": "n _"})
    latent_dim: int
    style_dim: int

    @abstractmethod
    def forward(self, latent: Float[Tensor, "n z"]) -> Latent:
        """N(0, 1) of shape (n, latent_dim) -> (n, style_dim), unbounded."""


class LatentGenerator(Network):
    """Generator role `latent_generator`: latents in, a face out.

    style_dim: numbers of a latent. rows: of w+. noise_sizes: height and width of each map of noise that it takes.
    parts: names of the classes of its segmentation, in their order; none = it has no segmentation. part_rows: name ->
    kind of latent (`shape`, `texture`) -> the rows of w+ that hold it, where parts have latents of their own.
    """

    contract: ClassVar[Contract] = Contract(inputs={"latents": "n _ _"}, outputs={"image": "n c h w"})
    style_dim: int
    rows: int
    noise_sizes: tuple[tuple[int, int], ...] = ()
    parts: tuple[str, ...] = ()
    part_rows: Mapping[str, Mapping[str, tuple[int, ...]]] = MappingProxyType({})

    @abstractmethod
    def forward(self, latents: Latents, noise: Noise | None = None) -> Synthesised:
        """The face of w+ `latents` (n, rows, style_dim), or of what `unrolled` makes of them.

        noise: a map N(0, 1) for each of `noise_sizes`, of n rows or of one for all; None = the network's own, fixed
        ones, so that the same latents give the same face.
        """

    def composed(
        self, latents: Latents, noise: Noise | None = None, *, kept: Float[Tensor, "#n k"] | None = None
    ) -> Synthesised:
        """The face, of some parts only. kept: 1 = the part may show, 0 = it is left out; None = `forward`.

        Raises:
            ValueError: parts are named, and the generator has none.
        """
        if kept is not None:
            raise ValueError("this generator makes faces in one piece: it has no parts to leave out")
        return self(latents, noise)

    def extended(self, latent: Latent) -> Latents:
        """w as w+: the same row everywhere."""
        return latent[:, None].expand(-1, self.rows, -1)

    def unrolled(self, latents: Latents) -> Latents:
        """w+ with a row for each layer that reads one, where several layers share a row of w+; here w+ itself."""
        return latents

    def mixed(self, one: Latents, other: Latents, draw: Draws) -> Latents:
        """w+ with rows of two faces. Here: `one` up to a cut, `other` from there on; the cut, 1 to rows - 1, is drawn
        for each face (StyleGAN, section 3.1)."""
        cut = 1 + (draw.uniform("cut", like=one) * (self.rows - 1)).floor().clamp(max=self.rows - 2)
        row = torch.arange(self.rows, device=one.device)
        return torch.where((row < cut[:, None])[..., None], one, other)


class ImageDiscriminator(Network):
    """Discriminator role `image_discriminator`: is it a real face?

    classes: of the segmentations that it can look at beside the images; 0 = at images only.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"}, outputs={"score": "n 1"})
    classes: int = 0

    @abstractmethod
    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Raw realism scores, unbounded.

        segmentation: -1 or 1 for each class, or a generator's scores of them; None = judge the images alone.
        """
