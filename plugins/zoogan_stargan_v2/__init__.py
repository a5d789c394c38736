"""StarGAN v2 (Choi et al., CVPR 2020): domains, each in many styles. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method and its networks."""
    from zoogan_stargan_v2.config import (
        StarganV2Config,
        StarganV2DiscriminatorConfig,
        StarganV2GeneratorConfig,
        StarganV2MappingConfig,
        StarganV2StyleEncoderConfig,
    )

    for role, config, network in (
        ("style_translator", StarganV2GeneratorConfig, "StarganV2Generator"),
        ("style_mapping", StarganV2MappingConfig, "StarganV2Mapping"),
        ("style_encoder", StarganV2StyleEncoderConfig, "StarganV2StyleEncoder"),
        ("style_discriminator", StarganV2DiscriminatorConfig, "StarganV2Discriminator"),
    ):
        registry.component(role, "stargan-v2", config=config, build=f"zoogan_stargan_v2.networks:{network}")
    registry.method(
        MethodSpec(
            name="stargan-v2",
            config=StarganV2Config,
            game="zoogan.games:StyleTranslation",
            recipes=Path(__file__).parent / "recipes",
            title="StarGAN v2: domains in many styles, from noise or from a reference",
            paper="https://arxiv.org/abs/1912.01865",
            importer="zoogan_stargan_v2.weights:import_stargan_v2",
            min_image_size=32,
        )
    )
