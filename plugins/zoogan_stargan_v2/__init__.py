"""StarGAN v2 (Choi et al., CVPR 2020): domains, each in many styles. Imports no torch."""

from __future__ import annotations

from zoogan.hooks import hookimpl
from zoogan.registry import Registry

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the networks."""
    from zoogan_stargan_v2.config import CriticConfig, MappingConfig, StyleEncoderConfig, TranslatorConfig

    for role, config, network in (
        ("style_translator", TranslatorConfig, "Translator"),
        ("style_mapping", MappingConfig, "Mapping"),
        ("style_encoder", StyleEncoderConfig, "Encoder"),
        ("style_critic", CriticConfig, "Critic"),
    ):
        registry.component(role, "stargan-v2", config=config, build=f"zoogan_stargan_v2.networks:{network}")
