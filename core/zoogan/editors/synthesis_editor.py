"""The editor of synthesis: generates faces from seeds; edits along directions, and with parts of other faces."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.conditions.parts import LATENT_KINDS, PartRows, find_part_rows
from zoogan.editors.config import InversionConfig
from zoogan.editors.directions import Direction, MoveSolver, solve_move
from zoogan.editors.parts import check_donor, replace_rows
from zoogan.editors.seeds import draw_latents, draw_noise
from zoogan.facts import Facts
from zoogan.interfaces import (
    Call,
    Column,
    Edit,
    Editor,
    Graph,
    Networks,
    Pipelines,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_latents,
    make_example_request,
)
from zoogan.interfaces.synthesis import LatentGenerator, LatentMapping, Latents, Noise, collect_noise, name_noise

DRAWN_COLUMNS, TRUNCATED_COLUMNS, DIRECTION_COLUMNS = 6, 2, 3
COLUMN_TRUNCATION = 0.7
COLUMN_PARTS = ("hair", "face")  # parts to show in sample grids; the last part if the faces have neither


class SynthesisEditor(Editor):
    """Generates faces, one a seed, the same in every batch; edits faces by their latents.

    Args:
        networks: The networks by slot.
        condition: Parses requests; the editor gives it the names of parts and directions.
        mean_latent: The mean of w, to which truncation pulls, (style_dim,).
        inversion: How latents of photos are found by default; None = the defaults of `InversionConfig`.

    Attributes:
        directions: The directions of the attributes that it can edit.
        tuned: Whether its generator was tuned to a photo.
        fixed_directions: Attributes whose directions belong to its training, so that no others can replace them.
    """

    can_sample = True
    grades_attributes = True
    is_random = False
    condition: LatentCondition

    def __init__(
        self,
        networks: Networks,
        condition: LatentCondition,
        mean_latent: Float[Tensor, " s"],
        inversion: InversionConfig | None = None,
    ) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.mean_latent = condition, mean_latent
        self.inversion = inversion or InversionConfig()
        self.condition.part_rows = self.part_rows
        self.takes_parts = bool(self.part_rows)
        self.directions: dict[str, Direction] = {}
        self.tuned = False
        self.fixed_directions: tuple[str, ...] = ()

    def with_generator(self, generator: nn.Module) -> SynthesisEditor:
        """Return a copy of this editor with a generator that was tuned to a photo; its edits name that generator."""
        other = copy.copy(self)
        other.networks = nn.ModuleDict(dict(self.networks.items()) | {"generator": generator})
        other.tuned = True
        return other

    def set_directions(self, directions: Mapping[str, Direction], unusable: Mapping[str, str] | None = None) -> None:
        """Replace all directions.

        Args:
            directions: The directions by attribute.
            unusable: For attributes whose direction cannot be used, the reason.
        """
        self.directions = dict(directions)
        self.attributes = self.condition.names = tuple(directions)
        self.condition.unusable = dict(unusable or {})

    @property
    def measures_attributes(self) -> bool:
        """Whether there is a direction."""
        return bool(self.directions)

    def measure_attributes(self, latents: Latents) -> Float[Tensor, "n a"]:
        """Measure how far faces are between the typical ones without and with each attribute, 0 to 1."""
        values = latents.new_full((len(latents), len(self.attributes)), torch.nan)
        for column, name in enumerate(self.attributes):
            if name in self.directions:
                low, high = self.directions[name].sides
                share = (self.directions[name].measure_distance(latents) - low) / (high - low)
                values[:, column] = share.clamp(0, 1).to(values)
        return values

    @property
    def generator(self) -> LatentGenerator:
        """The network that generates faces from latents."""
        return cast(LatentGenerator, self.networks["generator"])

    @property
    def mapping(self) -> LatentMapping:
        """The network that maps noise to latents."""
        return cast(LatentMapping, self.networks["mapping"])

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of its faces in the order of the classes; empty where faces come in one piece."""
        return self.generator.parts

    @property
    def part_rows(self) -> PartRows:
        """The rows of w+ that hold each part, see `LatentGenerator`."""
        return self.generator.part_rows

    @property
    def part_kinds(self) -> Mapping[str, tuple[str, ...]]:
        """The kinds of latents of each part that has rows of w+."""
        return {part: tuple(rows) for part, rows in self.part_rows.items()}

    # ---- faces from seeds ----

    @torch.no_grad()
    def draw_latents(
        self, seeds: Sequence[int], *, truncation: float | None = None, cutoff: int | None = None
    ) -> Latents:
        """Draw w+ of each seed, (n, rows, style_dim).

        Args:
            seeds: One seed a face.
            truncation: How far from the mean latent: 0 is the mean face, 1 (or None) what was drawn.
            cutoff: How many rows are truncated, the coarse ones first; None = all.

        Raises:
            ValueError: A truncation outside of 0..1, a cutoff outside of 0..rows.
        """
        mapping, generator = self.mapping, self.generator
        if cutoff is not None and not 0 <= cutoff <= generator.rows:
            raise ValueError(f"cutoff is a number of rows from 0 to {generator.rows}, got {cutoff}")
        latents = draw_latents(mapping, seeds, None if cutoff is not None else truncation, self.mean_latent)
        if cutoff is None or truncation is None:
            return generator.repeat_latent(latents)
        truncated = draw_latents(mapping, seeds, truncation, self.mean_latent)
        rows = torch.arange(generator.rows, device=latents.device) < cutoff
        return torch.where(rows[:, None], generator.repeat_latent(truncated), generator.repeat_latent(latents))

    def draw_noise(self, seeds: Sequence[int]) -> Noise:
        """Draw the generator's noise maps of each seed."""
        return draw_noise(self.generator, seeds)

    @torch.no_grad()
    def synthesise(self, latents: Latents, noise: Noise | None = None) -> Edit:
        """Generate the faces of w+, clamped to [-1, 1].

        Args:
            latents: w+ of the faces.
            noise: Noise maps; None = the generator's own, fixed ones.

        Returns:
            The faces; `extras` has the `latents`, and the noise maps if they were given.
        """
        output = self.generator(latents, noise)
        segmentation = None if output.segmentation is None else output.segmentation.argmax(1)
        extras = {"latents": latents} | name_noise(noise)
        generator = self.generator if self.tuned else None
        return Edit(output.image.clamp(-1, 1), segmentation=segmentation, extras=extras, generator=generator)

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Generate a face for each seed, its noise included; see `draw_latents`.

        Raises:
            ValueError: A layout: these faces are made from their latents alone.
        """
        if layout is not None:
            raise ValueError("this editor makes faces from latents and paints no layouts")
        return self.synthesise(self.draw_latents(seeds, truncation=truncation, cutoff=cutoff), self.draw_noise(seeds))

    def mix_latents(self, coarse: Latents, fine: Latents, cut: int) -> Latents:
        """Return w+ with the first `cut` rows of one face and the others of another.

        Raises:
            ValueError: A cut outside of 1..rows - 1.

        Source: StyleGAN, section 3.1.
        """
        rows = self.generator.rows
        if not 1 <= cut < rows:
            raise ValueError(f"cut is the row where the second face takes over, from 1 to {rows - 1}, got {cut}")
        return torch.cat([coarse[:, :cut], fine[:, cut:]], 1)

    def replace_part(
        self, latents: Latents, other: Float[Tensor, "#n rows s"], part: str, kinds: Sequence[str] = LATENT_KINDS
    ) -> Latents:
        """Return w+ with a part of other faces.

        Args:
            latents: w+ of the faces.
            other: w+ of the other faces: one for each, or one for all.
            part: One of `parts`, or `coarse`, the rows that all parts share, where the generator has such rows.
            kinds: Which latents of the part are taken: `shape`, `texture`.

        Raises:
            ValueError: Faces that come in one piece, an unknown part or kind (with the nearest known one), a kind that
                the part does not have.
        """
        return replace_rows(latents, other, find_part_rows(self.part_rows, part, kinds))

    # ---- edits ----

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets.

        Returns:
            `latents`, w+ of the faces; `replaced`, the same with the parts of another face, if any were requested;
            `move` (n, s), which then brings them to the requested sides of the planes; and the noise maps.

        Raises:
            ValueError: A request without latents: those of a photo must be found first. Parts without the face that
                they come from, see `check_donor`.
        """
        if request.latents is None:
            raise ValueError("this editor makes faces of its own; to edit a photo, first find its latent")
        self.check_donor(request, request.donor is not None)
        latents = replaced = request.latents.to(next(self.generator.parameters()))
        if request.parts:
            donor = self.draw_latents([request.from_seed]) if request.from_seed is not None else request.donor
            assert donor is not None
            if len(donor) not in (1, len(latents)):
                raise ValueError(f"donor: got {len(donor)} faces, expected 1, or {len(latents)}, one for each")
            for part, kinds in request.parts.items():
                replaced = self.replace_part(replaced, donor, part, kinds)
        move = torch.zeros_like(latents[:, 0])
        if request.attributes:
            directions = [self.directions[name] for name in request.attributes]
            move = solve_move(directions, list(request.attributes.values()), replaced)
        noise = [level.to(latents).expand(len(latents), -1, -1, -1) for level in request.noise or ()]
        parts = {"replaced": replaced} if request.parts else {}
        return {"latents": latents, "move": move} | parts | name_noise(noise)

    def check_donor(self, request: Request, has_donor: bool) -> None:
        """Check that requested parts come from one face, named once.

        Args:
            request: The request.
            has_donor: Whether a face was given.

        Raises:
            ValueError: No face or two faces for the parts, or a face without parts.
        """
        check_donor(request, has_donor, self.part_rows)

    def check_options(self, threshold: float | None, truncation: float | None) -> None:
        """Refuse options that `apply` does not support.

        Raises:
            ValueError: See `apply`.
        """
        if threshold is not None:
            raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
        if truncation is not None:
            raise ValueError("truncation is for faces from seeds; these have latents already: leave it out")

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

        By `strength` the `latents` move towards those with replaced parts, and along `move`.

        Raises:
            ValueError: A threshold: there is no mask. A truncation: these faces have their latents.
        """
        self.check_options(threshold, truncation)
        return self.synthesise(self.move_latents(targets, strength), collect_noise(targets))

    def move_latents(self, targets: Targets, strength: float) -> Latents:
        """Move the latents of targets, by `strength`, to those with replaced parts and along `move`."""
        latents: Tensor = targets["latents"]
        return latents.lerp(targets.get("replaced", latents), strength) + strength * targets["move"][:, None]

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `mapping`, `generator` and, where there are directions, `move`. Noise maps are fixed."""
        latents = make_example_latents(self.generator.rows, self.generator.style_dim)
        latent = make_example_latents(self.mapping.latent_dim)
        truncation, has_parts = torch.tensor([1.0, 0.5]), bool(self.parts)
        graphs = [
            Graph("mapping", self._map_noise, {"latent": latent, "truncation": truncation}, ("latents",)),
            Graph("generator", self._generate, {"latents": latents}, ("face", *["segmentation"][:has_parts])),
        ]
        tasks = {"sample": make_calls("mapping", "generator")}
        if self.attributes:
            request = make_example_request(len(self.attributes))
            graphs.append(Graph("move", self._make_mover(), {"latents": latents, "requested": request}, ("moved",)))
            tasks["edit"] = make_calls("mapping", "move", Call("generator", {"latents": "moved"}))
        return Pipelines(tuple(graphs), tasks, fixed_noise=bool(self.generator.noise_sizes))

    def _map_noise(self, latent: Tensor, truncation: Tensor) -> Latents:
        drawn = self.mean_latent.to(latent).lerp(self.mapping(latent), truncation[:, None])
        return self.generator.repeat_latent(drawn)

    def _generate(self, latents: Latents) -> tuple[Tensor, ...]:
        output = self.generator(latents)
        image = output.image.clamp(-1, 1)
        return (image,) if output.segmentation is None else (image, output.segmentation)

    def _make_mover(self) -> Callable[[Latents, Tensor], Latents]:
        """Make the function of the graph `move`: latents and requested attributes (NaN = none) to moved latents."""
        solve = MoveSolver([self.directions[name] for name in self.attributes])
        return lambda latents, requested: latents + solve(latents, requested)[:, None]

    # ---- sample grids ----

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid.

        Faces as they are drawn, then some nearer to the mean; the first without and with up to three attributes. For
        faces made of parts, also segmentations of the first, and the first with parts of the second.
        """
        n, columns = len(image), []
        for k in range(DRAWN_COLUMNS + TRUNCATED_COLUMNS):
            truncation = None if k < DRAWN_COLUMNS else COLUMN_TRUNCATION
            sample = self.sample(range(k * n, (k + 1) * n), truncation=truncation)
            columns.append(Column("drawn" if truncation is None else f"truncation {truncation}", sample.image))
        first = self.sample(range(n))
        columns += self.make_part_columns(first, self.draw_latents(range(n, 2 * n)))
        for name in self.attributes[:DIRECTION_COLUMNS]:
            for value in (0.0, 1.0):
                request = Request({name: value}, latents=first.extras["latents"], noise=collect_noise(first.extras))
                edit = self.apply(first.image, self.resolve(request, first.image))
                columns.append(Column(f"{name} {value:.0f}", edit.image))
        return columns

    def make_part_columns(self, first: Edit, other: Latents) -> list[Column]:
        """Make columns with the segmentations of faces, and with parts of others, where they are made of parts."""
        if first.segmentation is None or not self.parts:
            return []
        classes = len(self.parts)
        columns = [Column("first, its segmentation", first.segmentation, classes=classes)]
        for part in [name for name in COLUMN_PARTS if name in self.part_rows] or list(self.part_rows)[-1:]:
            request = Request(
                parts={part: LATENT_KINDS},
                donor=other,
                latents=first.extras["latents"],
                noise=collect_noise(first.extras),
            )
            edit = self.apply(first.image, self.resolve(request, first.image))
            columns.append(Column(f"first, {part} of second", edit.image))
            if edit.segmentation is not None:
                columns.append(Column("its segmentation", edit.segmentation, classes=classes))
        return columns
