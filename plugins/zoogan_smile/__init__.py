"""SMILE (Romero et al., ICCV workshops 2021): edits the layout of a face, then paints the face. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, OfficialFiles, Registry, Stage, hookimpl

API_VERSION = 1
IMAGE_FILES = OfficialFiles("zoogan_smile.image_architecture:identify_image_network", needed=("generator",))


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register both stages with their networks and terms, and the whole method."""
    register_layout_stage(registry)
    register_image_stage(registry)
    register_whole(registry)


def register_layout_stage(registry: Registry) -> None:
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
            official_files=OfficialFiles(
                "zoogan_smile.architecture:identify_network", needed=("generator", "mapping", "style_encoder")
            ),
            min_image_size=32,
        )
    )


def register_image_stage(registry: Registry) -> None:
    """Register the image stage and its networks."""
    from zoogan_smile.image_config import (
        SmileImageConfig,
        SmileImageDiscriminatorConfig,
        SmileImageGeneratorConfig,
        SmileImageMappingConfig,
        SmileRegionEncoderConfig,
        SpadeGeneratorConfig,
    )

    for role, config, network in (
        ("latent_generator", SmileImageGeneratorConfig, "SmileImageGenerator"),
        ("latent_mapping", SmileImageMappingConfig, "SmileImageMapping"),
        ("region_encoder", SmileRegionEncoderConfig, "SmileRegionEncoder"),
        ("image_discriminator", SmileImageDiscriminatorConfig, "SmileImageDiscriminator"),
    ):
        registry.component(role, "smile-image", config=config, build=f"zoogan_smile.image_networks:{network}")
    registry.component(
        "latent_generator", "spade", config=SpadeGeneratorConfig, build="zoogan_smile.spade:SpadeGenerator"
    )
    registry.method(
        MethodSpec(
            name="smile-image",
            config=SmileImageConfig,
            game="zoogan.games:RegionSynthesis",
            recipes=Path(__file__).parent / "recipes" / "image",
            title="SMILE, image stage: faces painted from the maps of their parts",
            paper="https://arxiv.org/abs/2010.02315",
            importer="zoogan_smile.image_weights:import_smile_image",
            official_files=IMAGE_FILES,
            min_image_size=16,
        )
    )


def register_whole(registry: Registry) -> None:
    """Register the method of all stages."""
    from zoogan_smile.whole_config import SmileConfig

    stages = (
        Stage("parser", run="zoogan.training:run_judge_stage", open="zoogan.training:open_judge_stage", optional=True),
        Stage("layout", run="zoogan.training:run_trained_stage", open="zoogan.training:open_trained_stage"),
    )
    registry.method(
        MethodSpec(
            name="smile",
            config=SmileConfig,
            game="zoogan_smile.whole:Smile",
            recipes=Path(__file__).parent / "recipes" / "whole",
            title="SMILE: attributes edited on the map of a photo's parts, and the face painted anew",
            paper="https://arxiv.org/abs/2010.02315",
            importer="zoogan_smile.image_weights:import_smile",
            official_files=IMAGE_FILES,
            min_image_size=32,
            stages=stages,
        )
    )
