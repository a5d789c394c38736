"""What the tests of StarGAN v2's networks and of their import share: tiny networks with heads, and their facts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan_stargan_v2.config import StarganV2DiscriminatorConfig, StarganV2MappingConfig, StarganV2StyleEncoderConfig
from zoogan_stargan_v2.networks import StarganV2Discriminator, StarganV2Mapping, StarganV2StyleEncoder

STYLE = 6


def facts(size: int, k: int = 2, channels: int = 3) -> Facts:
    return Facts(image_size=size, channels=channels, domains=tuple("abcdefghij"[:k]))


def heads(seed: int, size: int, k: int) -> dict[str, nn.Module]:
    """The networks with a head for each domain."""
    torch.manual_seed(seed)
    return {
        "mapping": StarganV2Mapping(StarganV2MappingConfig(latent_dim=3, style_dim=STYLE, width=8), facts(size, k)),
        "style_encoder": StarganV2StyleEncoder(
            StarganV2StyleEncoderConfig(width=2, max_width=4, style_dim=STYLE), facts(size, k)
        ),
        "discriminator": StarganV2Discriminator(StarganV2DiscriminatorConfig(width=2, max_width=4), facts(size, k)),
    }


def indices(seed: int, n: int, k: int) -> Tensor:
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))
