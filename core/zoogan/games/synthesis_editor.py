"""The editor of synthesis: faces of its own from seeds, mixed, truncated, and moved along directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.games.config import InversionConfig
from zoogan.games.directions import Direction, moves
from zoogan.interfaces import Column, Edit, Editor, Networks, Request, Seed, Targets
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.synthesis import LatentGenerator, LatentMapping, Latents, Noise, named_noise, noise_among
from zoogan.registry import nearest

SHEET_COLUMNS, SHEET_TRUNCATED, SHEET_DIRECTIONS = 6, 2, 3
SHEET_TRUNCATION = 0.7


class SynthesisEditor(Editor):
    """Makes faces from seeds, one seed, one face, whatever the batch that it comes in; edits faces by their latents.

    mean_latent: the mean of w, to which truncation pulls. directions: of the attributes that it can edit. inversion:
    how latents of photos are found unless somebody says otherwise.
    """

    makes_faces = True
    condition: LatentCondition
    inversion: ClassVar[InversionConfig] = InversionConfig()

    def __init__(self, nets: Networks, condition: LatentCondition, mean_latent: Float[Tensor, " s"]) -> None:
        self.networks = nets if isinstance(nets, nn.ModuleDict) else nn.ModuleDict(nets)
        self.condition, self.mean_latent = condition, mean_latent
        self.directions: dict[str, Direction] = {}

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
        return Edit(made.image.clamp(-1, 1), segmentation=segmentation, extras=extras)

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
        self, latents: Latents, other: Latents, part: str, kinds: Sequence[str] = ("shape", "texture")
    ) -> Latents:
        """w+ of the first faces with the rows of one part, of these kinds, taken from the others.

        Raises:
            ValueError: a part without rows of its own, or a kind of latent that it does not have.
        """
        rows = self.generator.part_rows
        if part not in rows:
            known = ", ".join(rows) or "none"
            raise ValueError(f"part {part!r} has no latents of its own{nearest(part, rows)}; those that have: {known}")
        for kind in kinds:
            if kind not in rows[part]:
                has = ", ".join(rows[part])
                raise ValueError(f"part {part!r} has no {kind!r}{nearest(kind, rows[part])}; it has {has}")
        taken = torch.zeros(self.generator.rows, dtype=torch.bool, device=latents.device)
        taken[[row for kind in kinds for row in rows[part][kind]]] = True
        return torch.where(taken[:, None], other, latents)

    # ---- edits ----

    @torch.no_grad()
    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> Targets:
        """{"latents": w+ of the faces, "move": (n, s), what brings them to the asked-for sides of the planes}, and the
        maps of noise.

        Raises:
            ValueError: a request without latents: those of a photo must be found first.
        """
        if request.latents is None:
            raise ValueError("this editor makes faces of its own; to edit a photo, first find its latent")
        latents = request.latents.to(next(self.generator.parameters()))
        asked = [self.directions[name] for name in request.attributes]
        move = moves(asked, list(request.attributes.values()), latents) if asked else torch.zeros_like(latents[:, 0])
        noise = [level.to(latents).expand(len(latents), -1, -1, -1) for level in request.noise or ()]
        return {"latents": latents, "move": move} | named_noise(noise)

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
        """The faces of the targets' `latents`, moved by `strength` times `move`. Nothing is drawn.

        Raises:
            ValueError: a threshold: there is no mask. A truncation: these faces have their latents.
        """
        self.check_options(threshold, truncation)
        latents = targets["latents"] + strength * targets["move"][:, None]
        return self.synthesise(latents, noise_among(targets))

    def sheet(self, image: Tensor, attributes: Tensor) -> list[Column]:
        """Faces drawn as they come, then some nearer to the mean; the first without and with up to three attributes."""
        n, columns = len(image), []
        for k in range(SHEET_COLUMNS + SHEET_TRUNCATED):
            truncation = None if k < SHEET_COLUMNS else SHEET_TRUNCATION
            made = self.sample(range(k * n, (k + 1) * n), truncation=truncation)
            columns.append(Column("drawn" if truncation is None else f"truncation {truncation}", made.image))
        first = self.sample(range(n))
        for name in self.attributes[:SHEET_DIRECTIONS]:
            for value in (0.0, 1.0):
                request = Request({name: value}, latents=first.extras["latents"], noise=noise_among(first.extras))
                edit = self.apply(first.image, self.resolve(request, first.image))
                columns.append(Column(f"{name} {value:.0f}", edit.image))
        return columns
