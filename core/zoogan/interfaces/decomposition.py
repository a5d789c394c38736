"""The roles of latent decomposition: an offset that repairs a direction for each face, and what it is trained towards.

An edit moves a latent by the step across an attribute's plane, the same for all faces (the basis), and by an offset
that a network reads off the face. The network learns from composites: faces with a template of the attribute laid on.

Where generator and offset train together there is no plane to step across: the basis is a vector for each attribute, to
which the generator adapts, and an encoder reads the latents of photos.

Source: SD-GAN (Zhou et al. 2022), section 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.interfaces.contract import Contract
from zoogan.interfaces.network import Network
from zoogan.interfaces.synthesis import Latent, Latents


class Composite(NamedTuple):
    """Faces with a template of an attribute laid on.

    Attributes:
        image: The faces with the template, unbounded as the faces are.
        mask: How much of each pixel the template covers, in [0, 1].
    """

    image: Float[Tensor, "n c h w"]
    mask: Float[Tensor, "n 1 h w"]


class GeometryReading(NamedTuple):
    """What a geometry reads off faces.

    Attributes:
        placement: Where the heads are, see `FaceGeometry.read_placement`; None = not read.
        shape: The shape of the faces, see `FaceGeometry.encode`; None = not read.
    """

    placement: Float[Tensor, "n p"] | None = None
    shape: Float[Tensor, "n g s s"] | None = None


class LatentOffset(Network):
    """Role `latent_offset`: the offset of each row of w+ that gives a face the attribute of its composite.

    Attributes:
        style_dim: Length of a latent.
        rows: Rows of w+.
        geometry_channels: Channels of the geometry that it reads; 0 = none.
    """

    contract: ClassVar[Contract] = Contract(
        inputs={"face": "n c h w", "composite": "n c h w", "mask": "n 1 h w"}, outputs={}
    )
    style_dim: int
    rows: int
    geometry_channels: int = 0

    @abstractmethod
    def forward(
        self,
        face: Float[Tensor, "n c h w"],
        composite: Float[Tensor, "n c h w"],
        mask: Float[Tensor, "n 1 h w"],
        geometry: Float[Tensor, "n g s s"] | None = None,
    ) -> Latents:
        """Compute the offset, (n, rows, style_dim).

        Args:
            face: Faces meant for [-1, 1]; values outside are allowed.
            composite: The same faces with a template laid on.
            mask: Where the template is, in [0, 1].
            geometry: The shape of the faces, in [-1, 1], for networks with `geometry_channels`.
        """


class LatentEncoder(Network):
    """Role `latent_encoder`: reads the latents of faces off images.

    The latents of an image do not depend on the other images of the batch.

    Attributes:
        style_dim: Length of a latent.
        rows: Rows of w+.
    """

    contract: ClassVar[Contract] = Contract(inputs={"image": "n c h w"}, outputs={"latents": "n _ _"})
    style_dim: int
    rows: int

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"]) -> Latents:
        """Read the latents (n, rows, style_dim), unbounded, off images in [-1, 1]."""


class AttributeOffset(Network):
    """Role `attribute_offset`: the step in w of each attribute, and the offset of w+ that a face needs to show labels.

    The offset of a face does not depend on the other faces of the batch.

    Attributes:
        style_dim: Length of a latent.
        rows: Rows of w+.
        basis: The step of each attribute, the same for all faces: a buffer, or a parameter if it is learnt.
    """

    contract: ClassVar[Contract] = Contract(
        inputs={"image": "n c h w", "attributes": "n a"}, outputs={"latents": "n _ _"}
    )
    style_dim: int
    rows: int
    basis: Float[Tensor, "a s"]

    @abstractmethod
    def forward(self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Latents:
        """Compute the offset (n, rows, style_dim), without the basis.

        Args:
            image: Faces in [-1, 1].
            attributes: What the edited faces should show, in [0, 1].
        """

    def compute_step(self, attributes: Float[Tensor, "n a"]) -> Latent:
        """Compute the sum (n, style_dim) of the steps of labels (n, a) in [0, 1]."""
        return attributes @ self.basis.to(attributes.dtype)


class Compositor(ABC):
    """Role `compositor`: lays templates of attributes on faces. No step trains it, and the host never waits for it.

    Attributes:
        attributes: The attributes that it has templates of; empty = it makes no composites.
        templates: Number of templates of each attribute.
        needs_placement: Whether `compose` needs to know where the heads are, see `FaceGeometry.read_placement`.
    """

    attributes: tuple[str, ...] = ()
    templates: int = 0
    needs_placement: bool = False

    @abstractmethod
    def compose(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: Int64[Tensor, " n"],
        template: Int64[Tensor, " n"],
        placement: Float[Tensor, "n p"] | None = None,
    ) -> Composite:
        """Lay a template on each face.

        Args:
            face: Faces meant for [-1, 1].
            attribute: Index into `attributes`, on the device of the faces.
            template: Number of the template, from 0 to `templates` - 1, on the device of the faces.
            placement: Where the heads are, for compositors with `needs_placement`.
        """

    def connect(self, stages: Mapping[str, Any]) -> None:
        """Take what it needs from the opened stages of a run; by default nothing.

        Raises:
            ConfigError: A stage that it needs is missing or does not suit.
        """
        return None


class FaceGeometry:
    """Where heads are and what shape faces have; what the stage `geometry` of a decomposition gives.

    Attributes:
        channels: Channels of `encode`; 0 = it reads no shape.
        reads_placement: Whether it can tell where heads are.
    """

    channels: int = 0
    reads_placement: bool = False

    def read_placement(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n p"]:
        """Read where the heads are. Without a graph.

        Args:
            image: Faces in [-1, 1].

        Returns:
            Numbers for `Compositor.compose`, whose meaning the method defines.

        Raises:
            ValueError: It cannot tell, as by default.
        """
        raise ValueError("this geometry does not tell where heads are")

    def encode(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n g s s"]:
        """Read the shape of faces in [-1, 1] as maps in [-1, 1]. Without a graph.

        Raises:
            ValueError: It reads no shape, as by default.
        """
        raise ValueError("this geometry reads no shape: leave it out of the offset network (fusion.geometry=false)")

    def read(self, image: Float[Tensor, "n c h w"], *, placement: bool, shape: bool) -> GeometryReading:
        """Read placement, shape or both. Override it where one is computed from the other.

        Args:
            image: Faces in [-1, 1].
            placement: Whether to read where the heads are.
            shape: Whether to read the shape of the faces.

        Raises:
            ValueError: It cannot read what is asked for.
        """
        return GeometryReading(self.read_placement(image) if placement else None, self.encode(image) if shape else None)
