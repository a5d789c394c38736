"""Roles of style translation: a generator that takes a style, where styles come from, and the discriminator of domains.

A domain is given as an index (n,) int64, one domain an image, or as rows (n, k) of 0 and 1, the same number of ones in
each (SMILE's attribute pairs). Networks with a head for each domain answer for those heads alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from jaxtyping import Float, Shaped
from torch import Tensor

from zoogan.interfaces.condition import Condition, Targets
from zoogan.interfaces.contract import Contract
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.network import Network

Domain = Shaped[Tensor, "n *k"]
Style = Float[Tensor, "n *heads s"]
Masks = tuple[Float[Tensor, "n 1 i j"], Float[Tensor, "n 1 i j"]]


class StyleCondition(Condition):
    """A condition of style translation: which domains a face shows, and which it is asked to show.

    label: the field of a source that tells them. sampler: how faces are drawn, see `Need`; without `domains` there are
    no second references, so only latents give styles in training.
    """

    label: ClassVar[str] = "domain"
    sampler: ClassVar[Literal["epochs", "domains"]] = "domains"

    def domain(self, sample: Mapping[str, Tensor]) -> Domain:
        """The domains that faces show, as the networks take them; by default what lies in `label`."""
        return sample[self.label]

    def targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """{"domain": those of the reference faces}, so that combinations occur as in the data; may be the source's."""
        return {"domain": self.domain(sample)}


class StyleTranslator(Network):
    """Generator role `style_translator`: an image and a style in, the translated image out.

    Split in two like an `ImageEditor`, so that several styles share what depends on the image alone. style_dim: numbers
    in the style of a domain. takes_masks: whether `masks` may be given.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"}, outputs={"image": "n c h w"})
    style_dim: int
    takes_masks: bool = False

    def encode(self, image: Float[Tensor, "n c h w"]) -> Any:
        """What `decode` needs of the image. By default the image itself."""
        return image

    @abstractmethod
    def decode(self, encoded: Any, style: Style, masks: Masks | None = None) -> Float[Tensor, "n c h w"]:
        """The encoded image in `style`. masks: how much of the image's detail to keep, in [0, 1], coarse and fine."""

    def forward(
        self, image: Float[Tensor, "n c h w"], style: Style, masks: Masks | None = None, encoded: Any = None
    ) -> Float[Tensor, "n c h w"]:
        """Translate `image`; `encoded` saves encoding it again."""
        return self.decode(self.encode(image) if encoded is None else encoded, style, masks)


class StyleMapping(Network):
    """Role `style_mapping`: a style from noise. latent_dim: numbers in a latent; style_dim: in a style."""

    contract: ClassVar[Contract] = Contract(inputs={"latent": "n _"})
    latent_dim: int
    style_dim: int

    @abstractmethod
    def forward(self, latent: Float[Tensor, "n z"], domain: Domain) -> Style:
        """The style of each latent, N(0, 1), in its domain."""


class StyleEncoder(Network):
    """Role `style_encoder`: the style of an image that shows `domain`. style_dim: numbers in a style."""

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"})
    style_dim: int

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Style:
        """The style of each image in its domain."""


class StyleDiscriminator(Network):
    """Discriminator role `style_discriminator`: is it a real image of this domain?"""

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"})

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], domain: Domain) -> Float[Tensor, "n *heads"]:
        """Raw realism scores, unbounded: one for each domain that the image claims to show."""


class HeatMaps(ABC):
    """Role `heat_maps`: where a face's own detail must be kept. An auxiliary: nothing in it is trained.

    field: the field of the source that holds the masks of its faces, (n, 2, i, j) coarse and fine, where they were
    computed beforehand. nowhere: whether no face ever has any.
    """

    field: ClassVar[str | None] = None
    nowhere: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, image: Float[Tensor, "n 3 h w"]) -> Masks | None:
        """Masks in [0, 1] for `StyleTranslator.decode`; None = no masks. Carries no graph."""
