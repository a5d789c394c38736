"""The editor of synthesis: faces of its own from seeds; edits along directions, and with parts of other faces."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.conditions.parts import KINDS, NO_PARTS, PartRows, rows_of
from zoogan.editors.config import InversionConfig
from zoogan.editors.directions import Direction, moves
from zoogan.editors.parts import with_rows
from zoogan.interfaces import Column, Edit, Editor, Networks, Request, Seed, Targets
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.synthesis import LatentGenerator, LatentMapping, Latents, Noise, named_noise, noise_among

SHEET_COLUMNS, SHEET_TRUNCATED, SHEET_DIRECTIONS = 6, 2, 3
SHEET_TRUNCATION = 0.7
SHEET_PARTS = ("hair", "face")  # that everybody can name; where there are none of these, the last one


class SynthesisEditor(Editor):
    """Makes faces from seeds, one seed, one face, whatever the batch that it comes in; edits faces by their latents.

    mean_latent: the mean of w, to which truncation pulls. directions: of the attributes that it can edit. inversion:
    how latents of photos are found unless somebody says otherwise. tuned: its generator was tuned to a photo.
    """

    makes_faces = True
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
        self.directions: dict[str, Direction] = {}
        self.tuned = False

    def with_generator(self, generator: nn.Module) -> SynthesisEditor:
        """This editor with a generator that was tuned to a photo; its edits say so. Nothing of it is changed."""
        other = copy.copy(self)
        other.networks = nn.ModuleDict(dict(self.networks.items()) | {"generator": generator})
        other.tuned = True
        return other

    def learn(self, directions: Mapping[str, Direction], unusable: Mapping[str, str] | None = None) -> None:
        """Take directions over, in the place of all that it knew. unusable: those that cannot be used, and why."""
        self.directions = dict(directions)
        self.attributes = self.condition.names = tuple(directions)
        self.condition.unusable = dict(unusable or {})

    @property
    def generator(self) -> LatentGenerator:
        """The network that makes faces of latents."""
        return cast(LatentGenerator, self.networks["generator"])

    @property
    def mapping(self) -> LatentMapping:
        """The network that makes latents of noise."""
        return cast(LatentMapping, self.networks["mapping"])

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of its faces, in the order of the classes of their segmentation; none = faces come in
        one piece."""
        return self.generator.parts

    @property
    def part_rows(self) -> PartRows:
        """The rows of w+ that hold each part, see `LatentGenerator`."""
        return self.generator.part_rows

    # ---- faces from seeds ----

    @torch.no_grad()
    def latents(self, seeds: Sequence[int], *, truncation: float | None = None, cutoff: int | None = None) -> Latents:
        """w+ of each seed, (n, rows, style_dim).

        truncation: how far from the mean latent, 0 is the mean face and 1 (or None) what was drawn. cutoff: so many
        rows are truncated, the coarse ones first; None = all.

        Raises:
            ValueError: a truncation outside of 0..1, a cutoff outside of 0..rows.
        """
        mapping, generator = self.mapping, self.generator
        if truncation is not None and not 0 <= truncation <= 1:
            raise ValueError(f"truncation is a share from 0 to 1, got {truncation:g}")
        if cutoff is not None and not 0 <= cutoff <= generator.rows:
            raise ValueError(f"cutoff is a number of rows from 0 to {generator.rows}, got {cutoff}")
        weight = next(mapping.parameters())
        noise = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(seed_of("latent", seed)))
            for seed in seeds
        ]
        latents: Tensor = generator.extended(mapping(torch.stack(noise).to(weight)))
        if truncation is None or truncation == 1:
            return latents
        rows = torch.arange(generator.rows, device=weight.device) < (generator.rows if cutoff is None else cutoff)
        return torch.where(rows[:, None], self.mean_latent.to(weight).lerp(latents, truncation), latents)

    def noise(self, seeds: Sequence[int]) -> Noise:
        """The generator's maps of noise of each seed."""
        weight = next(self.generator.parameters())
        sources = [torch.Generator().manual_seed(seed_of("noise", seed)) for seed in seeds]
        return [
            torch.stack([torch.randn(1, *size, generator=source) for source in sources]).to(weight)
            for size in self.generator.noise_sizes
        ]

    @torch.no_grad()
    def synthesise(self, latents: Latents, noise: Noise | None = None) -> Edit:
        """The faces of w+, clamped to [-1, 1]. noise: None = the generator's own, fixed one.

        `extras` has the `latents`, and the maps of noise if they were given.
        """
        made = self.generator(latents, noise)
        segmentation = None if made.segmentation is None else made.segmentation.argmax(1)
        extras = {"latents": latents} | named_noise(noise)
        tuned = self.generator if self.tuned else None
        return Edit(made.image.clamp(-1, 1), segmentation=segmentation, extras=extras, generator=tuned)

    def sample(self, seeds: Sequence[int], *, truncation: float | None = None, cutoff: int | None = None) -> Edit:
        """A face for each seed, its noise included; see `latents`."""
        return self.synthesise(self.latents(seeds, truncation=truncation, cutoff=cutoff), self.noise(seeds))

    def mixed(self, coarse: Latents, fine: Latents, cut: int) -> Latents:
        """w+ with the first `cut` rows of one face and the others of another (StyleGAN, section 3.1).

        Raises:
            ValueError: a cut outside of 1..rows - 1.
        """
        rows = self.generator.rows
        if not 1 <= cut < rows:
            raise ValueError(f"cut is the row where the second face takes over, from 1 to {rows - 1}, got {cut}")
        return torch.cat([coarse[:, :cut], fine[:, cut:]], 1)

    def replaced(
        self, latents: Latents, other: Float[Tensor, "#n rows s"], part: str, kinds: Sequence[str] = KINDS
    ) -> Latents:
        """w+ with a part of other faces: the rows that hold these kinds of its latents, `shape` and `texture`, are
        theirs. other: a face for each, or one for all. part: one of `parts`, or `coarse`, what they share, where the
        generator has such rows.

        Raises:
            ValueError: faces that come in one piece, an unknown part or kind (with the nearest known one), a kind that
                the part does not have.
        """
        return with_rows(latents, other, rows_of(self.part_rows, part, kinds))

    # ---- edits ----

    @torch.no_grad()
    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> Targets:
        """{"latents": w+ of the faces, "replaced": the same with the parts of another face, if any were asked for,
        "move": (n, s), what then brings them to the asked-for sides of the planes}, and the maps of noise.

        Raises:
            ValueError: a request without latents: those of a photo must be found first. Parts, and not whose: see
                `check_donor`.
        """
        if request.latents is None:
            raise ValueError("this editor makes faces of its own; to edit a photo, first find its latent")
        self.check_donor(request, request.donor is not None)
        latents = replaced = request.latents.to(next(self.generator.parameters()))
        if request.parts:
            donor = self.latents([request.from_seed]) if request.from_seed is not None else request.donor
            assert donor is not None
            if len(donor) not in (1, len(latents)):
                raise ValueError(f"donor: got {len(donor)} faces, expected 1, or {len(latents)}, one for each")
            for part, kinds in request.parts.items():
                replaced = self.replaced(replaced, donor, part, kinds)
        asked = [self.directions[name] for name in request.attributes]
        move = moves(asked, list(request.attributes.values()), replaced) if asked else torch.zeros_like(latents[:, 0])
        noise = [level.to(latents).expand(len(latents), -1, -1, -1) for level in request.noise or ()]
        parts = {"replaced": replaced} if request.parts else {}
        return {"latents": latents, "move": move} | parts | named_noise(noise)

    def check_donor(self, request: Request, donor: bool) -> None:
        """That it is said whose the parts are, and once. donor: a face was given.

        Raises:
            ValueError: it is not said, or twice; a face was given and no part was named.
        """
        if donor and not request.parts:
            known = ", ".join(self.part_rows)
            raise ValueError(f"donor: say which part of it to take: {known}" if known else NO_PARTS)
        if request.parts and donor == (request.from_seed is not None):
            said = "by a seed and by a face: leave one of them out" if donor else "by from_seed, or give one as donor"
            raise ValueError(f"{', '.join(request.parts)}: name the face whose they are {said}")

    def check_options(self, threshold: float | None, truncation: float | None) -> None:
        """What `apply` cannot follow.

        Raises:
            ValueError: see `apply`.
        """
        if threshold is not None:
            raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
        if truncation is not None:
            raise ValueError("truncation is for faces from seeds; these have latents already: leave it out")

    @torch.no_grad()
    def apply(
        self,
        image: Tensor,
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """The faces of the targets' `latents`, brought by `strength` to those with replaced parts, and moved by as much
        of `move`. Nothing is drawn.

        Raises:
            ValueError: a threshold: there is no mask. A truncation: these faces have their latents.
        """
        self.check_options(threshold, truncation)
        latents = targets["latents"]
        latents = latents.lerp(targets.get("replaced", latents), strength) + strength * targets["move"][:, None]
        return self.synthesise(latents, noise_among(targets))

    def sheet(self, image: Tensor, attributes: Tensor, known: Targets | None = None) -> list[Column]:
        """Faces drawn as they come, then some nearer to the mean; the first without and with up to three attributes.

        For faces made of parts, also segmentations of the first, and the first with parts of the second.
        """
        n, columns = len(image), []
        for k in range(SHEET_COLUMNS + SHEET_TRUNCATED):
            truncation = None if k < SHEET_COLUMNS else SHEET_TRUNCATION
            made = self.sample(range(k * n, (k + 1) * n), truncation=truncation)
            columns.append(Column("drawn" if truncation is None else f"truncation {truncation}", made.image))
        first = self.sample(range(n))
        columns += self.part_columns(first, self.latents(range(n, 2 * n)))
        for name in self.attributes[:SHEET_DIRECTIONS]:
            for value in (0.0, 1.0):
                request = Request({name: value}, latents=first.extras["latents"], noise=noise_among(first.extras))
                edit = self.apply(first.image, self.resolve(request, first.image))
                columns.append(Column(f"{name} {value:.0f}", edit.image))
        return columns

    def part_columns(self, first: Edit, other: Latents) -> list[Column]:
        """Columns with the segmentations of faces, and with parts of others, where they are made of parts."""
        if first.segmentation is None or not self.parts:
            return []
        classes = len(self.parts)
        columns = [Column("first, its segmentation", first.segmentation, classes=classes)]
        for part in [name for name in SHEET_PARTS if name in self.part_rows] or list(self.part_rows)[-1:]:
            request = Request(
                parts={part: KINDS}, donor=other, latents=first.extras["latents"], noise=noise_among(first.extras)
            )
            edit = self.apply(first.image, self.resolve(request, first.image))
            columns.append(Column(f"first, {part} of second", edit.image))
            if edit.segmentation is not None:
                columns.append(Column("its segmentation", edit.segmentation, classes=classes))
        return columns
