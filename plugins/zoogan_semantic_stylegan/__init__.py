"""SemanticStyleGAN (Shi et al., CVPR 2022): faces made of parts, with their segmentation. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method, its networks and its extra terms."""
    from zoogan_semantic_stylegan.config import (
        SemanticConsistencyConfig,
        SemanticDiversityConfig,
        SemanticStyleGANConfig,
        SemanticStyleGANDiscriminatorConfig,
        SemanticStyleGANGeneratorConfig,
        SemanticStyleGANMappingConfig,
    )

    name = "semantic-stylegan"
    networks = "zoogan_semantic_stylegan.networks:"
    registry.component(
        "latent_generator", name, config=SemanticStyleGANGeneratorConfig, build=networks + "SemanticStyleGANGenerator"
    )
    registry.component(
        "image_discriminator",
        name,
        config=SemanticStyleGANDiscriminatorConfig,
        build=networks + "SemanticStyleGANDiscriminator",
    )
    registry.component(
        "latent_mapping", name, config=SemanticStyleGANMappingConfig, build="zoogan.layers:PixelNormMapping"
    )
    terms = "zoogan_semantic_stylegan.terms:"
    registry.component(
        "term", "semantic_consistency", config=SemanticConsistencyConfig, build=terms + "SemanticConsistency"
    )
    registry.component("term", "semantic_diversity", config=SemanticDiversityConfig, build=terms + "SemanticDiversity")
    registry.method(
        MethodSpec(
            name=name,
            config=SemanticStyleGANConfig,
            game="zoogan.games:Synthesis",
            recipes=Path(__file__).parent / "recipes",
            title="SemanticStyleGAN: faces made of parts, each with a shape and a texture of its own",
            paper="https://arxiv.org/abs/2112.02236",
            importer="zoogan_semantic_stylegan.weights:import_semantic_stylegan",
        )
    )
