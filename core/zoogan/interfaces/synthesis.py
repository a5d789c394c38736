"""The roles of synthesis: noise to latent, latents to face, and the discriminator of faces.

A latent `z` is noise. The mapping turns it into `w`, one row of style_dim numbers. `w+` has one row for each place
where a latent enters the generator, so that rows can differ.

Source: StyleGAN2, section 5; Abdal et al. 2019.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.network import Network

Latent = Float[Tensor, "n s"]
"""Latents w, one image a row."""
Latents = Float[Tensor, "n rows s"]
"""Latents w+, with a row for each place where a latent enters the generator."""
Noise = Sequence[Float[Tensor, "#n 1 _ _"]]
"""Noise maps of a generator, each with n rows or one for all."""


NOISE_PREFIX = "noise_"  # name of a noise map among other tensors, followed by its number


def collect_noise(tensors: Mapping[str, Tensor]) -> list[Float[Tensor, "_ 1 _ _"]] | None:
    """Return the noise maps among named tensors, in order; None if there are none."""
    places = sorted(int(name.removeprefix(NOISE_PREFIX)) for name in tensors if name.startswith(NOISE_PREFIX))
    return [tensors[f"{NOISE_PREFIX}{place}"] for place in places] or None


def name_noise(noise: Noise | None) -> dict[str, Tensor]:
    """Return noise maps as named tensors, {"noise_0": ...}; empty for the generator's own noise."""
    return {f"{NOISE_PREFIX}{place}": level for place, level in enumerate(noise or ())}


class SynthesisedFace(NamedTuple):
    """The output of a latent generator. All but `image` are None for generators without parts.

    Attributes:
        image: The face, unbounded, meant for [-1, 1].
        segmentation: Scores of the parts, unbounded, meant for -1 or 1.
        coarse: Masks of the parts before refinement, in [-1, 1].
        depth: How near each part is.
    """

    image: Float[Tensor, "n c h w"]
    segmentation: Float[Tensor, "n k h w"] | None = None
    coarse: Float[Tensor, "n k h2 w2"] | None = None
    depth: Float[Tensor, "n k h2 w2"] | None = None


class LatentMapping(Network):
    """Role `latent_mapping`: from noise to a latent.

    Attributes:
        latent_dim: Length of a noise vector.
        style_dim: Length of a latent.
    """

    contract: ClassVar[Contract] = Contract(inputs={"latent": "n _"}, outputs={"style": "n _"})
    latent_dim: int
    style_dim: int

    @abstractmethod
    def forward(self, latent: Float[Tensor, "n z"]) -> Latent:
        """Map N(0, 1) of shape (n, latent_dim) to (n, style_dim), unbounded."""


class LatentGenerator(Network):
    """Generator role `latent_generator`: generates a face from latents.

    Attributes:
        style_dim: Length of a latent.
        rows: Number of rows of w+.
        noise_sizes: Height and width of each noise map that it takes.
        parts: Names of the classes of its segmentation, in order; empty = it has no segmentation.
        part_rows: Rows of w+ by part and kind of latent (`shape`, `texture`), where parts have latents of their own.
        takes_layout: Whether it paints given layouts, see `LayoutGenerator`.
    """

    contract: ClassVar[Contract] = Contract(inputs={"latents": "n _ _"}, outputs={"image": "n c h w"})
    takes_layout: ClassVar[bool] = False
    style_dim: int
    rows: int
    noise_sizes: tuple[tuple[int, int], ...] = ()
    parts: tuple[str, ...] = ()
    part_rows: Mapping[str, Mapping[str, tuple[int, ...]]] = MappingProxyType({})

    @abstractmethod
    def forward(self, latents: Latents, noise: Noise | None = None) -> SynthesisedFace:
        """Generate the face of w+, or of the result of `expand_rows`.

        Args:
            latents: w+ of shape (n, rows, style_dim).
            noise: One map of N(0, 1) for each of `noise_sizes`, with n rows or one for all. None = the network's own,
                fixed maps, so that the same latents give the same face.
        """

    def generate_parts(
        self, latents: Latents, noise: Noise | None = None, *, visible: Float[Tensor, "#n k"] | None = None
    ) -> SynthesisedFace:
        """Generate a face of some parts only.

        Args:
            latents: See `forward`.
            noise: See `forward`.
            visible: 1 = the part may show, 0 = it is left out; None = all parts, as `forward`.

        Raises:
            ValueError: Parts are selected, and the generator has none.
        """
        if visible is not None:
            raise ValueError("this generator makes faces in one piece: no part can be left out")
        return self(latents, noise)

    def add_fixed_noise(self) -> None:
        """Draw the network's own noise maps, of the sizes in `noise_sizes`, and keep them as buffers `noise_0`..."""
        for place, size in enumerate(self.noise_sizes):
            self.register_buffer(f"{NOISE_PREFIX}{place}", torch.randn(1, 1, *size))

    def get_fixed_noise(self) -> list[Float[Tensor, "1 1 _ _"]]:
        """Return the network's own noise maps, one row for all faces; see `add_fixed_noise`."""
        return [self.get_buffer(f"{NOISE_PREFIX}{place}") for place in range(len(self.noise_sizes))]

    def repeat_latent(self, latent: Latent) -> Latents:
        """Return w as w+, the same row everywhere."""
        return latent[:, None].expand(-1, self.rows, -1)

    def expand_rows(self, latents: Latents) -> Latents:
        """Return w+ with a row for each layer, where several layers share a row of w+. By default w+ itself."""
        return latents

    def mix_latents(self, one: Latents, other: Latents, draw: Draws) -> Latents:
        """Mix rows of two faces: `one` up to a cut, `other` from there on.

        The cut, 1 to rows - 1, is drawn for each face.

        Source: StyleGAN, section 3.1.
        """
        cut = 1 + (draw.uniform("cut", like=one) * (self.rows - 1)).floor().clamp(max=self.rows - 2)
        row = torch.arange(self.rows, device=one.device)
        return torch.where((row < cut[:, None])[..., None], one, other)


class LayoutGenerator(LatentGenerator):
    """A latent generator that paints given layouts. A latent is the codes of all parts, one after the other.

    Attributes:
        code_dim: Numbers in the code of a part; style_dim = parts times code_dim.
    """

    takes_layout: ClassVar[bool] = True
    code_dim: int

    @abstractmethod
    def forward(
        self, latents: Latents, noise: Noise | None = None, layout: Float[Tensor, "n k h w"] | None = None
    ) -> SynthesisedFace:
        """Paint layouts.

        Args:
            latents: w+ of shape (n, rows, style_dim).
            noise: See `LatentGenerator.forward`.
            layout: One-hot layouts, of the parts in `parts`.

        Returns:
            The faces; their segmentation is the layout as -1 and 1.

        Raises:
            ValueError: There is no layout.
        """


class RegionCodes(NamedTuple):
    """The codes of the parts of faces.

    Attributes:
        codes: A code of each part; 0 for parts that a face does not show.
        present: Which parts a face shows, as far as the encoder can see them.
    """

    codes: Float[Tensor, "n k s"]
    present: Bool[Tensor, "n k"]


class RegionEncoder(Network):
    """Role `region_encoder`: reads the codes of the parts of a face, with which a layout generator paints it again.

    Attributes:
        code_dim: Numbers in a code.
        is_empty: Whether it reads nothing, so that no code can be read off a photo.
    """

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "layout": "n k h w"}, outputs={"codes": "n k _"}
    )
    code_dim: int
    is_empty: ClassVar[bool] = False

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], layout: Float[Tensor, "n k h w"]) -> RegionCodes:
        """Read the code of each part of faces in [-1, 1] with one-hot layouts."""


class ImageDiscriminator(Network):
    """Discriminator role `image_discriminator`: scores how real a face is.

    Attributes:
        classes: Number of classes of the segmentations that it can judge beside the images; 0 = images only.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"}, outputs={"score": "n 1"})
    classes: int = 0

    @abstractmethod
    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Return raw realism scores, unbounded.

        Args:
            image: Images in [-1, 1].
            segmentation: -1 or 1 for each class, or a generator's scores of them; None = judge the images alone.
        """

    def compute_features(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> list[Float[Tensor, "n _ _ _"]]:
        """Compute the features of several layers, for terms that compare images by them.

        The features of an image do not depend on the other images of the batch.

        Args:
            image: See `forward`.
            segmentation: See `forward`.

        Returns:
            A tensor for each layer, the first layer first.

        Raises:
            ValueError: The discriminator gives no features, as by default.
        """
        raise ValueError(
            "this discriminator gives no features to compare: remove the term that compares them, or use a "
            "discriminator that has `compute_features`"
        )
