"""What latent decomposition knows of faces: the frozen networks that its game trains against and its editor uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.editors.directions import Direction, DirectionBasis, make_basis
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.interfaces.decomposition import Composite, Compositor, FaceGeometry, GeometryReading, LatentOffset
from zoogan.interfaces.synthesis import Latent, LatentGenerator, LatentMapping, Latents, Noise

STAGES = ("backbone", "geometry")  # that a decomposition cannot do without
SCALES = 3  # of the comparison of whole images: full, half and quarter size


class Decomposition:
    """A generator with directions, a classifier, a geometry and a compositor, all frozen.

    Args:
        stages: The opened stages: `backbone`, `geometry`, and perhaps `classifier` and `boundary`.
        compositor: Lays templates on faces; it is connected to the stages.
        attributes: The attributes to edit, in the order of their numbers.
        basis: How much of the step along a direction an edit takes.

    Attributes:
        backbone: The editor of the run that generates faces.
        classifier: The judge; None without the stage.
        geometry: Tells where heads are.
        directions: The direction of each attribute; empty without the stage `boundary`.
        has_templates: Whether there are composites; else edits have no target.
        reads_geometry: Whether the network that was checked reads the geometry.

    Raises:
        ConfigError: A stage does not suit, or attributes have no direction or no template.
    """

    def __init__(
        self, stages: Mapping[str, Any], compositor: Compositor, attributes: Sequence[str], basis: float = 1.0
    ) -> None:
        self.attributes, self.compositor, self.basis = tuple(attributes), compositor, basis
        if not self.attributes:
            raise ConfigError("data.attributes: name the attributes to edit, such as Face_Mask")
        backbone = stages["backbone"].editor
        if not isinstance(backbone, SynthesisEditor):
            raise ConfigError("stages.backbone: this run edits photos; take a run that generates faces from latents")
        self.backbone: SynthesisEditor = backbone
        self.classifier: Any = stages.get("classifier")
        self.geometry: FaceGeometry = stages["geometry"]
        self.directions: Mapping[str, Direction] = stages.get("boundary", {})
        compositor.connect(stages)
        self.has_templates = bool(compositor.attributes)
        self.reads_geometry = False
        self._bases: dict[torch.device, DirectionBasis] = {}
        self._check_attributes()

    def _check_attributes(self) -> None:
        """Check that every attribute can be read, moved and composed.

        Raises:
            ConfigError: Names every problem.
        """
        problems = []
        if not self.has_templates and len(self.attributes) > 1:
            problems.append(
                "compositor: without templates nothing tells the network which attribute to add; name one in "
                "data.attributes"
            )
        for name in self.attributes:
            if self.classifier is not None and name not in self.classifier.attributes:
                problems.append(f"stages.classifier: the judge does not read {name} (data.attributes)")
            if self.directions and name not in self.directions:
                problems.append(f"stages.boundary: no direction of {name} (data.attributes)")
            if self.has_templates and name not in self.compositor.attributes:
                known = ", ".join(self.compositor.attributes)
                problems.append(f"compositor: no templates of {name} (data.attributes); it has those of {known}")
        if self.compositor.needs_placement and not self.geometry.reads_placement:
            problems.append(
                "compositor: its templates are placed where the head is, which stage geometry cannot tell here; set "
                "compositor.placement=fixed"
            )
        if problems:
            raise ConfigError("\n".join(problems))

    def check_network(self, network: LatentOffset) -> None:
        """Check that a network's offsets fit the latents of the backbone, and that it reads the geometry there is.

        Raises:
            ConfigError: Names every problem.
        """
        generator, problems = self.generator, []
        if network.style_dim != generator.style_dim:
            problems.append(
                f"fusion.style_dim={network.style_dim}, but latents of the backbone have {generator.style_dim} "
                f"numbers: set fusion.style_dim={generator.style_dim}"
            )
        if network.rows != generator.rows:
            problems.append(
                f"fusion.rows={network.rows}, but w+ of the backbone has {generator.rows} rows: set "
                f"fusion.rows={generator.rows}"
            )
        if network.geometry_channels not in (0, self.geometry.channels):
            problems.append(
                f"fusion: it reads {network.geometry_channels} channels of geometry, and stage geometry gives "
                f"{self.geometry.channels}: set fusion.geometry=false, or stages.geometry.use"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        self.reads_geometry = network.geometry_channels > 0

    @property
    def generator(self) -> LatentGenerator:
        """The network that generates faces from latents."""
        return self.backbone.generator

    @property
    def mapping(self) -> LatentMapping:
        """The network that maps noise to latents."""
        return self.backbone.mapping

    @property
    def discriminator(self) -> nn.Module | None:
        """The discriminator of the backbone; None if its files lack it."""
        networks = self.backbone.networks
        if "discriminator" not in networks or "discriminator" in self.backbone.untrained:
            return None
        return networks["discriminator"]

    @property
    def columns(self) -> list[int]:
        """The classifier's column of each attribute."""
        return [self.classifier.attributes.index(name) for name in self.attributes]

    def get_basis(self, device: torch.device) -> DirectionBasis:
        """Return the directions of the attributes as tensors on a device."""
        if device not in self._bases:
            assert self.directions
            self._bases[device] = make_basis({name: self.directions[name] for name in self.attributes}, device)
        return self._bases[device]

    def choose_latents(self, latents: Float[Tensor, "n k s"], attribute: Int64[Tensor, " n"]) -> Latent:
        """Choose the first of k latents of each face that lies on the side without its attribute, else the first.

        Args:
            latents: w, k for each face.
            attribute: Number of the attribute of each face.
        """
        if not self.directions:
            return latents[:, 0]
        basis = self.get_basis(latents.device)
        normals = basis.normals[attribute].to(latents)
        distance = torch.einsum("nks,ns->nk", latents, normals) + basis.intercepts[attribute].to(latents)[:, None]
        order = torch.arange(latents.shape[1], device=latents.device)
        chosen = torch.where(distance < 0, order, order + latents.shape[1]).argmin(1)
        return latents.gather(1, chosen[:, None, None].expand(-1, 1, latents.shape[2]))[:, 0]

    def compute_move(self, latents: Latents, attribute: Int64[Tensor, " n"], value: float = 1.0) -> Latent:
        """Compute the step along the attribute's direction, (n, style_dim), `basis` times that to the typical face."""
        if not self.directions:
            return torch.zeros_like(latents[:, 0])
        return self.basis * self.get_basis(latents.device).solve_move(latents, attribute, value)

    def generate(self, latents: Latents, noise: Noise | None = None) -> Float[Tensor, "n c h w"]:
        """Generate the faces of w+, unbounded."""
        image: Tensor = self.generator(latents, noise).image
        return image

    @torch.no_grad()
    def read_geometry(self, face: Float[Tensor, "n c h w"]) -> GeometryReading:
        """Read what composites and offset network need to know of the shape of faces and the place of heads.

        Args:
            face: Faces meant for [-1, 1].
        """
        placement = self.has_templates and self.compositor.needs_placement
        return self.geometry.read(face.clamp(-1, 1), placement=placement, shape=self.reads_geometry)

    @torch.no_grad()
    def compose(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: Int64[Tensor, " n"],
        template: Int64[Tensor, " n"],
        reading: GeometryReading,
    ) -> Composite:
        """Lay templates on faces.

        Args:
            face: Faces meant for [-1, 1].
            attribute: Number of the attribute of each face.
            template: Number of the template of each face.
            reading: That of `read_geometry`, of the same faces without earlier templates.

        Returns:
            The composites, which are the faces with an empty mask where there are no templates.
        """
        if not self.has_templates:
            return Composite(face, torch.zeros_like(face[:, :1]))
        numbers = [self.compositor.attributes.index(name) for name in self.attributes]
        which = torch.stack([attribute == k for k in range(len(numbers))], 1)
        own = sum((which[:, k] * number for k, number in enumerate(numbers)), torch.zeros_like(attribute))
        return self.compositor.compose(face, own, template, reading.placement)


def compare_with_composite(
    edited: Float[Tensor, "n c h w"], face: Float[Tensor, "n c h w"], composite: Composite
) -> dict[str, Float[Tensor, " n"]]:
    """Compare edits with their composites, and with the faces where the template is not.

    Args:
        edited: The edits.
        face: The faces before the edit.
        composite: The faces with templates.

    Returns:
        Three numbers for each face. inside: L1 to the composite, weighed by the mask. scales: mean L1 to the composite
        of the whole image at three sizes. outside: mean L1 to the face, farther than a pixel from the mask.
    """
    channels, target, mask = edited.shape[1], composite.image, composite.mask
    wrong = (edited - target).abs()
    inside = (wrong * mask).sum((1, 2, 3)) / (channels * mask.sum((1, 2, 3))).clamp(min=1.0)
    scales, one, other = [wrong.mean((1, 2, 3))], edited, target
    for _ in range(SCALES - 1):
        one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        scales.append((one - other).abs().mean((1, 2, 3)))
    outside = (1 - widen_mask(mask)) * (edited - face).abs()
    return {"inside": inside, "scales": torch.stack(scales).mean(0), "outside": outside.mean((1, 2, 3))}


def widen_mask(mask: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Widen a mask by a pixel, so that its soft edge does not count as outside."""
    return F.max_pool2d(mask, 3, stride=1, padding=1)
