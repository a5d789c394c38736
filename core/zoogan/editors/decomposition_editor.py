"""The editor of latent decomposition: an edit moves latents along a direction and by an offset for each face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from zoogan.conditions.decomposition import DecompositionCondition
from zoogan.editors.decomposition import Decomposition, compare_with_composite
from zoogan.editors.directions import Direction, MoveSolver, solve_move
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Column, Edit, Networks, Request, Seed, Targets
from zoogan.interfaces.decomposition import Composite, LatentOffset
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.synthesis import Latents, collect_noise

COLUMN_ATTRIBUTES = 4  # in a sample grid
REFINE_RATE = 0.03  # of Adam
REFINE_WEIGHTS = {"inside": 1.0, "scales": 0.5, "outside": 4.0}


class DecompositionEditor(SynthesisEditor):
    """Generates faces with the backbone of a run; edits of its attributes add an offset to the step along a direction.

    Attributes whose direction was fitted later, by `zoo direction`, move along their direction alone.

    Args:
        networks: The network `fusion`.
        condition: Parses requests.
        decomposition: The frozen networks.
    """

    condition: DecompositionCondition
    edits_generated = True
    takes_offset = True

    def __init__(self, networks: Networks, condition: DecompositionCondition, decomposition: Decomposition) -> None:
        backbone = decomposition.backbone
        own = {"generator": backbone.generator, "mapping": backbone.mapping, "fusion": networks["fusion"]}
        super().__init__(nn.ModuleDict(own), condition, backbone.mean_latent, backbone.inversion)
        self.fixed_directions = tuple(decomposition.directions)
        self.decomposition = decomposition
        self.condition.templates = decomposition.compositor.templates if decomposition.has_templates else 0
        self.set_directions({})

    @property
    def fusion(self) -> LatentOffset:
        """The network that computes offsets."""
        return cast(LatentOffset, self.networks["fusion"])

    def set_directions(self, directions: Mapping[str, Direction], unusable: Mapping[str, str] | None = None) -> None:
        """Replace the directions that were fitted later; those of the run's own attributes stay."""
        own = dict(self.decomposition.directions)
        later = {name: direction for name, direction in directions.items() if name not in own}
        broken = {name: reason for name, reason in (unusable or {}).items() if name not in own}
        super().set_directions(own | later, broken)
        names = dict.fromkeys([*self.decomposition.attributes, *self.directions])
        self.attributes = self.condition.names = tuple(names)

    @property
    def added_only(self) -> tuple[str, ...]:
        """The run's own attributes without direction: their offset adds them."""
        return tuple(name for name in self.attributes if name not in self.directions)

    @property
    def offset_attributes(self) -> tuple[str, ...]:
        """The run's own attributes."""
        return self.decomposition.attributes

    @property
    def templates(self) -> int:
        """Number of templates of each attribute."""
        return self.condition.templates

    # ---- edits ----

    def choose_templates(self, latents: Latents) -> Int64[Tensor, " n"]:
        """Choose a template for each face, always the same one for the same latents."""
        return self._choose_by(self._draw_template_weights().to(latents), latents)

    def _draw_template_weights(self) -> Float[Tensor, "s t"]:
        count = max(1, self.condition.templates)
        generator = torch.Generator().manual_seed(derive_seed("templates", count))
        return torch.randn(self.generator.style_dim, count, generator=generator)

    def _choose_by(self, weights: Float[Tensor, "s t"], latents: Latents) -> Int64[Tensor, " n"]:
        return ((latents.mean(1) - self.mean_latent.to(latents)) @ weights).argmax(1)

    @torch.no_grad()
    def find_nearest_templates(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: str,
        target: Float[Tensor, "n c h w"],
        region: Bool[Tensor, "n 1 h w"],
    ) -> Int64[Tensor, " n"]:
        """Find the template of each face whose composite is nearest to a target (L1 in a region).

        Args:
            face: Faces in [-1, 1].
            attribute: One of the run's own attributes.
            target: What the composite should look like, in [-1, 1].
            region: Where they are compared.

        Raises:
            ValueError: The run has no templates.
        """
        if not self.condition.templates:
            raise ValueError("this run has no templates")
        number = torch.full((len(face),), self.decomposition.attributes.index(attribute), device=face.device)
        distances, reading = [], self.decomposition.read_geometry(face)
        for template in range(self.condition.templates):
            composite = self.decomposition.compose(face, number, torch.full_like(number, template), reading)
            distances.append(((composite.image - target).abs() * region).sum((1, 2, 3)))
        return torch.stack(distances).argmin(0)

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets: those of `SynthesisEditor`, with a shorter `move` where `basis` is below 1.

        Returns:
            Further targets: `offset` (n, rows, s), and `composite` and `composite_mask` with the templates of all
            requested attributes, if one of them is the run's own and its value is above 0. Templates are laid on in the
            order of the run's attributes.

        Raises:
            ValueError: See `SynthesisEditor.resolve`; an attribute without direction is to be removed; or an offset or
                a template is requested for edits that have none.
        """
        parts, wanted = self.decomposition, request.attributes
        names = [name for name in parts.attributes if wanted.get(name, 0) > 0]
        if lost := [name for name in wanted if name not in self.directions and name not in names]:
            raise ValueError(f"{lost[0]}: this run has no direction of it, so an edit can add it and not remove it")
        if not names and (request.offset != 1 or request.refine or request.template is not None):
            known = ", ".join(parts.attributes)
            raise ValueError(f"offset, refine and template have no effect: they are for adding {known}; leave them out")
        if request.refine and any(request.attributes[name] != 1 for name in names):
            raise ValueError(
                f"refine: the composite shows {names[0]} fully: request 1, and use strength for less of it"
            )
        targets = self._resolve_moves(request, image, own)
        latents = targets.get("replaced", targets["latents"])
        if not names:
            return targets
        offset, face = torch.zeros_like(latents), self.generator(latents, collect_noise(targets)).image
        template = request.template
        if not isinstance(template, Tensor):
            template = (
                self.choose_templates(latents)
                if template is None
                else torch.full((len(latents),), template, device=latents.device)
            )
        composite = Composite(face, torch.zeros_like(face[:, :1]))
        mask, reading = composite.mask, parts.read_geometry(face)
        for name in names:
            attribute = torch.full_like(template, parts.attributes.index(name))
            composite = parts.compose(composite.image, attribute, template, reading)
            one = self.fusion(face, composite.image, composite.mask, reading.shape)
            offset = offset + request.attributes[name] * one
            mask = torch.maximum(mask, composite.mask)
        shown = {"composite": composite.image, "composite_mask": mask} if parts.has_templates else {}
        targets = targets | shown | {"offset": offset}
        if request.refine:
            offset = self.refine_offset(targets, face, request.refine)
        return targets | {"offset": request.offset * offset}

    def refine_offset(self, targets: Targets, face: Float[Tensor, "n c h w"], steps: int) -> Latents:
        """Improve the offset of each face by gradient descent towards its composite, and its face outside the template.

        Args:
            targets: Those of an edit at full strength, with `offset`, `composite` and `composite_mask`.
            face: The unedited faces.
            steps: Updates by Adam; the rate falls to 0 along a half cosine.

        Returns:
            The offset (n, rows, s). That of a face does not depend on the other faces.
        """
        composite = Composite(targets["composite"], targets["composite_mask"])
        start = super().move_latents(targets, 1.0)
        with torch.enable_grad():
            offset = targets["offset"].clone().requires_grad_()
            optimizer = torch.optim.Adam([offset], lr=REFINE_RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(steps):
                edited = self.decomposition.generate(start + offset, collect_noise(targets))
                distances = compare_with_composite(edited, face, composite)
                loss = torch.stack([weight * distances[name].sum() for name, weight in REFINE_WEIGHTS.items()]).sum()
                (offset.grad,) = torch.autograd.grad(loss, offset)
                optimizer.step()
                schedule.step()
        return offset.detach()

    def _resolve_moves(self, request: Request, image: Tensor, own: Tensor | None) -> Targets:
        """Turn a request into the targets of `SynthesisEditor`; moves of the run's own attributes are `basis` long."""
        directed = {name: value for name, value in request.attributes.items() if name in self.directions}
        parts = self.decomposition
        if parts.basis == 1:
            return super().resolve(replace(request, attributes=directed), image, own)
        later = {name: value for name, value in directed.items() if name not in parts.attributes}
        targets = super().resolve(replace(request, attributes=later), image, own)
        learnt = {name: value for name, value in directed.items() if name in parts.attributes}
        if learnt and parts.basis:
            latents = targets.get("replaced", targets["latents"])
            directions = [self.directions[name] for name in learnt]
            targets["move"] = targets["move"] + parts.basis * solve_move(directions, list(learnt.values()), latents)
        return targets

    @torch.no_grad()
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Generate the faces of the targets. Nothing is drawn.

        By `strength` the latents move along `move` and by `offset`, and towards those with replaced parts.

        Returns:
            The edit. Its extras have the `latents`, and where there is an offset `basis`, the face that moved along the
            direction alone, and `composite` with `composite_mask`, what the network was trained towards.

        Raises:
            ValueError: See `SynthesisEditor.apply`.
        """
        edit = super().apply(image, targets, strength=strength, threshold=threshold, truncation=truncation)
        if "offset" not in targets:
            return edit
        basis = self.synthesise(super().move_latents(targets, strength), collect_noise(targets))
        extras = dict(edit.extras) | {"basis": basis.image}
        if "composite" in targets:
            extras |= {"composite": targets["composite"].clamp(-1, 1), "composite_mask": targets["composite_mask"]}
        return Edit(edit.image, segmentation=edit.segmentation, extras=extras, generator=edit.generator)

    def move_latents(self, targets: Targets, strength: float) -> Latents:
        """Move the latents of targets, by `strength`, as `SynthesisEditor` does and by `offset`."""
        latents = super().move_latents(targets, strength)
        return latents + strength * targets["offset"] if "offset" in targets else latents

    # ---- graphs ----

    def _make_mover(self) -> Callable[[Latents, Tensor], Latents]:
        """Make the function of the graph `move`, with the offsets of the run's own attributes, see `resolve`."""
        parts, weights = self.decomposition, self._draw_template_weights()
        columns = {name: column for column, name in enumerate(self.attributes)}
        own = [name for name in parts.attributes if name in self.directions]
        later = [name for name in self.directions if name not in parts.attributes]
        groups = [(1.0, own + later)] if parts.basis == 1 else [(parts.basis, own), (1.0, later)]
        solvers = [
            (share, [columns[name] for name in names], MoveSolver([self.directions[name] for name in names]))
            for share, names in groups
            if names and share
        ]

        def move(latents: Latents, requested: Float[Tensor, "n a"]) -> Latents:
            moved = latents + self._compute_offsets(latents, requested, self._choose_by(weights, latents), columns)
            for share, chosen, solve in solvers:
                values = torch.stack([requested[:, column] for column in chosen], 1)
                moved = moved + share * solve(latents, values)[:, None]
            return moved

        return move

    def _compute_offsets(
        self, latents: Latents, requested: Float[Tensor, "n a"], template: Int64[Tensor, " n"], columns: dict[str, int]
    ) -> Latents:
        """Compute the offsets of requests that are tensors, as `resolve` does for all faces alike."""
        parts, offset, face = self.decomposition, torch.zeros_like(latents), self.generator(latents).image
        image, reading = face, parts.read_geometry(face)
        for number, name in enumerate(parts.attributes):
            value = requested[:, columns[name]].nan_to_num()[:, None, None]
            composite = parts.compose(image, torch.full_like(template, number), template, reading)
            one = self.fusion(face, composite.image, composite.mask, reading.shape)
            offset = offset + value * one
            image = torch.where(value[..., None] > 0, composite.image, image)
        return offset

    # ---- sample grids ----

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: faces, and for each attribute the composite and two edits.

        The edits are along the direction alone, and with the offset.
        """
        face = self.sample(range(len(image)))
        columns = [Column("drawn", face.image)]
        for name in self.decomposition.attributes[:COLUMN_ATTRIBUTES]:
            request = Request({name: 1.0}, latents=face.extras["latents"], noise=collect_noise(face.extras))
            edit = self.apply(face.image, self.resolve(request, face.image))
            if "composite" in edit.extras:
                columns.append(Column(f"{name}, composite", edit.extras["composite"]))
            columns.append(Column(f"{name}, direction alone", edit.extras["basis"]))
            columns.append(Column(f"{name}, with offset", edit.image))
        return columns
