"""Random numbers of generated faces: a seed gives the same face in every batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.synthesis import Latent, LatentGenerator, LatentMapping, Noise


def draw_latents(
    mapping: LatentMapping,
    seeds: Sequence[int],
    truncation: float | None = None,
    mean_latent: Float[Tensor, " s"] | None = None,
) -> Latent:
    """Draw w of each seed.

    Args:
        mapping: Maps noise to latents.
        seeds: One seed a face.
        truncation: How far from the mean latent: 0 is the mean, 1 (or None) what was drawn.
        mean_latent: The mean of w; needed for a truncation below 1.

    Returns:
        Latents (n, style_dim), on the device of the mapping.

    Raises:
        ValueError: A truncation outside of 0..1.
    """
    if truncation is not None and not 0 <= truncation <= 1:
        raise ValueError(f"truncation is a share from 0 to 1, got {truncation:g}")
    weight = next(mapping.parameters())
    noise = [
        torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(derive_seed("latent", seed)))
        for seed in seeds
    ]
    latents: Tensor = mapping(torch.stack(noise).to(weight))
    if truncation is None or truncation == 1:
        return latents
    assert mean_latent is not None
    return mean_latent.to(weight).lerp(latents, truncation)


def draw_noise(generator: LatentGenerator, seeds: Sequence[int]) -> Noise:
    """Draw the noise maps of a generator for each seed, on its device."""
    weight = next(generator.parameters())
    sources = [torch.Generator().manual_seed(derive_seed("noise", seed)) for seed in seeds]
    return [
        torch.stack([torch.randn(1, *size, generator=source) for source in sources]).to(weight)
        for size in generator.noise_sizes
    ]
