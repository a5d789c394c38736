"""Tiny StarGAN v2 networks with a head for each domain, and the facts they are built from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan_stargan_v2.config import StarganV2DiscriminatorConfig, StarganV2MappingConfig, StarganV2StyleEncoderConfig
from zoogan_stargan_v2.networks import StarganV2Discriminator, StarganV2Mapping, StarganV2StyleEncoder

STYLE = 6


def make_facts(size: int, k: int = 2, channels: int = 3) -> Facts:
    """Make the facts of data with k domains."""
    return Facts(image_size=size, channels=channels, domains=tuple("abcdefghij"[:k]))


def make_networks(seed: int, size: int, k: int) -> dict[str, nn.Module]:
    """Make the networks that have a head for each of k domains."""
    torch.manual_seed(seed)
    return {
        "mapping": StarganV2Mapping(
            StarganV2MappingConfig(latent_dim=3, style_dim=STYLE, width=8), make_facts(size, k)
        ),
        "style_encoder": StarganV2StyleEncoder(
            StarganV2StyleEncoderConfig(width=2, max_width=4, style_dim=STYLE), make_facts(size, k)
        ),
        "discriminator": StarganV2Discriminator(
            StarganV2DiscriminatorConfig(width=2, max_width=4), make_facts(size, k)
        ),
    }


def draw_domains(seed: int, n: int, k: int) -> Tensor:
    """Draw n of k domains."""
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))
