"""The roles of style translation: generator, style mapping, style encoder, discriminator, heat maps.

A domain is given as an index (n,) int64, one domain an image, or as rows (n, k) of 0 and 1, the same number of ones in
each (SMILE's attribute pairs). Networks with a head for each domain return the outputs of these heads only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from zoogan.interfaces.condition import Condition, Targets
from zoogan.interfaces.contract import Contract
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.game import Sampler
from zoogan.interfaces.network import Network
from zoogan.interfaces.synthesis import Noise

Domain = Shaped[Tensor, " n *k"]
"""The domain of each image, an index (n,) or rows (n, k) of 0 and 1."""
Style = Float[Tensor, "n *heads s"]
"""Style vectors, one image a row."""
Masks = tuple[Float[Tensor, "n 1 i j"], Float[Tensor, "n 1 i j"]]
"""How much of the image's detail to keep, in [0, 1]: a coarse and a fine mask."""


class StyleCondition(Condition):
    """A condition of style translation: which domains a face shows and which it should show.

    Attributes:
        label: Field of a source that holds the domains; None = no field does, see `get_domains`.
        sampler: How source faces are drawn, see `Need`.
        reference_sampler: How references are drawn; None = as sources. Only with `domains` there are second references
            of the same domain.
    """

    label: ClassVar[str | None] = "domain"
    sampler: Sampler = "domains"
    reference_sampler: Sampler | None = None

    def get_domains(self, sample: Mapping[str, Tensor]) -> Domain:
        """Return the domains that faces show, as the networks take them. By default the field `label`."""
        if self.label is None:
            raise NotImplementedError(f"{type(self).__name__} has no label, so it must override get_domains")
        return sample[self.label]

    def find_changed(self, own: Domain, target: Domain) -> Bool[Tensor, " n *heads"]:
        """Find which domains of each face change.

        Args:
            own: The domains that faces show.
            target: The domains that they should show.

        Returns:
            A truth value for each style of a face: (n,) where each shows one domain.
        """
        return own != target

    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Return the domains of the reference faces, so that combinations occur as in the data.

        The tensor may be the source's own.
        """
        return {"domain": self.get_domains(sample)}


class StyleTranslator(Network):
    """Generator role `style_translator`: translates an image into a style.

    Split in two like an `ImageEditor`, so that several styles share the encoding of the image.

    Attributes:
        style_dim: Length of a domain's style vector.
        takes_masks: Whether `masks` may be given.
        noise_sizes: Height and width of each noise map that it takes.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"}, outputs={"image": "n c h w"})
    style_dim: int
    takes_masks: bool = False
    noise_sizes: tuple[tuple[int, int], ...] = ()

    def encode(self, image: Float[Tensor, "n c h w"]) -> Any:
        """Compute the input of `decode` from the image. By default the image itself."""
        return image

    @abstractmethod
    def decode(
        self, encoded: Any, style: Style, masks: Masks | None = None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Generate the encoded image in a style.

        Args:
            encoded: What `encode` returned.
            style: Style vectors.
            masks: How much of the image's detail to keep, in [0, 1], coarse and fine; None = no masks.
            noise: One map N(0, 1) of n rows for each of `noise_sizes`; None = no noise, so that the result depends on
                nothing else.
        """

    def forward(
        self,
        image: Float[Tensor, "n c h w"],
        style: Style,
        masks: Masks | None = None,
        encoded: Any = None,
        noise: Noise | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """Translate images.

        Args:
            image: Images in [-1, 1].
            style: Style vectors.
            masks: See `decode`.
            encoded: What `encode` returned for the images, to save encoding them again.
            noise: See `decode`.
        """
        encoded = self.encode(image) if encoded is None else encoded
        if noise is None:  # a generator without noise may leave the argument out
            return self.decode(encoded, style, masks)
        return self.decode(encoded, style, masks, noise)


class StyleMapping(Network):
    """Role `style_mapping`: a style from noise.

    Attributes:
        latent_dim: Length of a latent.
        style_dim: Length of a style vector.
    """

    contract: ClassVar[Contract] = Contract(inputs={"latent": "n _"})
    latent_dim: int
    style_dim: int

    @abstractmethod
    def forward(self, latent: Float[Tensor, "n z"], domain: Domain) -> Style:
        """Compute the style of each latent, drawn from N(0, 1), in its domain."""


class StyleEncoder(Network):
    """Role `style_encoder`: the style of an image in a domain that it shows.

    Attributes:
        style_dim: Length of a style vector.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"})
    style_dim: int

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Style:
        """Compute the style of each image in its domain."""


class StyleDiscriminator(Network):
    """Role `style_discriminator`: scores how real an image of a domain is."""

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"})

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Float[Tensor, " n *heads"]:
        """Return raw realism scores, unbounded, one for each domain in `domain`."""


class HeatMaps(ABC):
    """Role `heat_maps`: where a translation must keep a face's own detail. An auxiliary network, never trained.

    Attributes:
        field: Field of the source that holds precomputed masks of its faces, (n, 2, i, j) coarse and fine; None = masks
            are computed.
        reads: Field of the source that masks are computed from, `image` or `layout`; None = none are computed.
        is_empty: Whether no face ever has masks.
    """

    field: ClassVar[str | None] = None
    reads: ClassVar[Literal["image", "layout"] | None] = "image"
    is_empty: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, picture: Float[Tensor, "n _ h w"]) -> Masks | None:
        """Compute the masks, in [0, 1], that `StyleTranslator.decode` takes; None = no masks. They carry no graph."""
