"""Tiny networks of SMILE's layout stage, and the facts they are built from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoogan.conditions.pairs import make_pairs
from zoogan.facts import Facts
from zoogan.layers import make_layout
from zoogan.testing.tensors import make_labels, make_segmentation
from zoogan_smile.config import (
    SmileDiscriminatorConfig,
    SmileGeneratorConfig,
    SmileMappingConfig,
    SmileStyleEncoderConfig,
)
from zoogan_smile.networks import SmileDiscriminator, SmileGenerator, SmileMapping, SmileStyleEncoder
from zoogan_smile.weights import ATTRIBUTES, PARTS

STYLE, NARROW, LATENT = 6, 3, 4


def make_facts(size: int, attributes: int = 6, parts: int = 19) -> Facts:
    """Make the facts as the networks see them: as many channels as parts."""
    return Facts(image_size=size, channels=parts, attributes=ATTRIBUTES[:attributes], parts=PARTS[:parts])


def make_networks(
    seed: int, facts: Facts, narrow: int | None = NARROW, **generator: Any
) -> dict[str, nn.Module]:  # fmt: skip
    """Make the four networks, with noise strengths and biases that are not 0.

    Args:
        seed: Seed of the weights.
        facts: Image size, attributes and parts.
        narrow: Numbers of narrow styles; None = there are none.
        generator: Settings of the generator.
    """
    torch.manual_seed(seed)
    styles: dict[str, Any] = {"style_dim": STYLE, "narrow_dim": narrow}
    networks: dict[str, nn.Module] = {
        "generator": SmileGenerator(SmileGeneratorConfig(**{"width": 2, "max_width": 4} | styles | generator), facts),
        "mapping": SmileMapping(SmileMappingConfig(latent_dim=LATENT, width=8, **styles), facts),
        "style_encoder": SmileStyleEncoder(SmileStyleEncoderConfig(width=2, max_width=4, **styles), facts),
        "discriminator": SmileDiscriminator(SmileDiscriminatorConfig(width=2, max_width=4), facts),
    }
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    return networks


def make_layouts(seed: int, n: int, facts: Facts) -> Tensor:
    """Make one-hot layouts (n, parts, size, size) of random classes."""
    return make_layout(make_segmentation(seed, n, facts.image_size, len(facts.parts)), len(facts.parts))


def make_domains(seed: int, n: int, facts: Facts) -> Tensor:
    """Make random pairs (n, 2a)."""
    return make_pairs(make_labels(seed, n, len(facts.attributes)))
