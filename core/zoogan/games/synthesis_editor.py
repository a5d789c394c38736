"""The editor of synthesis: faces of its own from seeds, mixed and truncated, and latents to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.interfaces import Column, Edit, Editor, Networks, Request, Seed, Targets
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.synthesis import Latents, Noise

SHEET_COLUMNS, SHEET_TRUNCATED = 6, 2
SHEET_TRUNCATION = 0.7


class SynthesisEditor(Editor):
    """Makes faces from seeds: one seed, one face, whatever the batch that it comes in.

    mean_latent: the mean of w, to which truncation pulls.
    """

    makes_faces = True
    condition: LatentCondition

    def __init__(self, nets: Networks, condition: LatentCondition, mean_latent: Float[Tensor, " s"]) -> None:
        self.networks = nets if isinstance(nets, nn.ModuleDict) else nn.ModuleDict(nets)
        self.condition, self.mean_latent = condition, mean_latent

    @torch.no_grad()
    def latents(self, seeds: Sequence[int], *, truncation: float | None = None, cutoff: int | None = None) -> Latents:
        """w+ of each seed, (n, rows, style_dim).

        truncation: how far from the mean latent, 0 is the mean face and 1 (or None) what was drawn. cutoff: so many
        rows are truncated, the coarse ones first; None = all.

        Raises:
            ValueError: a truncation outside of 0..1.
        """
        if truncation is not None and not 0 <= truncation <= 1:
            raise ValueError(f"truncation is a share from 0 to 1, got {truncation:g}")
        mapping: Any = self.networks["mapping"]
        weight = next(mapping.parameters())
        noise = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(seed_of("latent", seed)))
            for seed in seeds
        ]
        latent = mapping(torch.stack(noise).to(weight))
        generator: Any = self.networks["generator"]
        latents: Tensor = generator.extended(latent)
        if truncation is None or truncation == 1:
            return latents
        rows = torch.arange(generator.rows, device=weight.device) < (generator.rows if cutoff is None else cutoff)
        share = torch.where(rows, truncation, 1.0).to(weight)[:, None]
        return self.mean_latent.to(weight) + share * (latents - self.mean_latent.to(weight))

    def noise(self, seeds: Sequence[int]) -> Noise:
        """The generator's maps of noise of each seed."""
        generator: Any = self.networks["generator"]
        weight = next(generator.parameters())
        sources = [torch.Generator().manual_seed(seed_of("noise", seed)) for seed in seeds]
        return [
            torch.stack([torch.randn(1, *size, generator=source) for source in sources]).to(weight)
            for size in generator.noise_sizes
        ]

    @torch.no_grad()
    def synthesise(self, latents: Latents, noise: Noise | None = None) -> Edit:
        """The faces of w+, clamped to [-1, 1]. noise: None = the generator's own, fixed one."""
        made = self.networks["generator"](latents, noise)
        segmentation = None if made.segmentation is None else made.segmentation.argmax(1)
        return Edit(made.image.clamp(-1, 1), segmentation=segmentation, extras={"latents": latents})

    def sample(self, seeds: Sequence[int], *, truncation: float | None = None) -> Edit:
        """A face for each seed, its noise included."""
        return self.synthesise(self.latents(seeds, truncation=truncation), self.noise(seeds))

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> Targets:
        """{"latents": w+} of the faces to show.

        Raises:
            ValueError: a photo; its latent must be found first.
        """
        raise ValueError("this editor makes faces of its own; to edit a photo, first find its latent")

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
        """The faces of the targets' `latents`."""
        return self.synthesise(targets["latents"])

    def sheet(self, image: Tensor, attributes: Tensor) -> list[Column]:
        """Faces drawn as they come, then some nearer to the mean."""
        n, columns = len(image), []
        for k in range(SHEET_COLUMNS + SHEET_TRUNCATED):
            truncation = None if k < SHEET_COLUMNS else SHEET_TRUNCATION
            made = self.sample(range(k * n, (k + 1) * n), truncation=truncation)
            columns.append(Column("drawn" if truncation is None else f"truncation {truncation}", made.image))
        return columns
