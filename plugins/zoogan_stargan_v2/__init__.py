"""StarGAN v2 (Choi et al., CVPR 2020): domains, each in many styles. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.config.registry import MethodSpec, Registry
from zoogan.plugins.hooks import hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method and its networks."""
    from zoogan_stargan_v2.config import (
        DiscriminatorConfig,
        MappingConfig,
        StarganV2Config,
        StyleEncoderConfig,
        TranslatorConfig,
    )

    for role, config, network in (
        ("style_translator", TranslatorConfig, "Translator"),
        ("style_mapping", MappingConfig, "Mapping"),
        ("style_encoder", StyleEncoderConfig, "Encoder"),
        ("style_discriminator", DiscriminatorConfig, "Discriminator"),
    ):
        registry.component(role, "stargan-v2", config=config, build=f"zoogan_stargan_v2.networks:{network}")
    registry.method(
        MethodSpec(
            name="stargan-v2",
            config=StarganV2Config,
            game="zoogan.games.style_translation:StyleTranslation",
            recipes=Path(__file__).parent / "recipes",
            title="StarGAN v2: domains in many styles, from noise or from a reference",
            paper="https://arxiv.org/abs/1912.01865",
            importer="zoogan_stargan_v2.weights:import_weights",
            smallest=32,
        )
    )
