"""SMILE (Romero et al., ICCV workshops 2021): edits the layout of a face, then paints the face. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the layout stage, its networks and its extra term."""
    from zoogan_smile.config import (
        SemanticTermConfig,
        SmileDiscriminatorConfig,
        SmileGeneratorConfig,
        SmileLayoutConfig,
        SmileMappingConfig,
        SmileStyleEncoderConfig,
    )

    for role, config, network in (
        ("style_translator", SmileGeneratorConfig, "SmileGenerator"),
        ("style_mapping", SmileMappingConfig, "SmileMapping"),
        ("style_encoder", SmileStyleEncoderConfig, "SmileStyleEncoder"),
        ("style_discriminator", SmileDiscriminatorConfig, "SmileDiscriminator"),
    ):
        registry.component(role, "smile", config=config, build=f"zoogan_smile.networks:{network}")
    registry.component("term", "semantic", config=SemanticTermConfig, build="zoogan_smile.terms:SemanticTerm")
    registry.method(
        MethodSpec(
            name="smile-layout",
            config=SmileLayoutConfig,
            game="zoogan.games:StyleTranslation",
            recipes=Path(__file__).parent / "recipes" / "layout",
            title="SMILE, layout stage: attributes changed on the map of a face's parts",
            paper="https://arxiv.org/abs/2010.02315",
            importer="zoogan_smile.weights:import_smile_layout",
            min_image_size=32,
        )
    )
