"""StyleGAN2 (Karras et al., CVPR 2020): faces from noise, in pure PyTorch. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, OfficialFiles, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method and its networks."""
    from zoogan_stylegan2.config import (
        StyleGAN2Config,
        StyleGAN2DiscriminatorConfig,
        StyleGAN2GeneratorConfig,
        StyleGAN2MappingConfig,
    )

    for role, config, network in (
        ("latent_generator", StyleGAN2GeneratorConfig, "StyleGAN2Generator"),
        ("image_discriminator", StyleGAN2DiscriminatorConfig, "StyleGAN2Discriminator"),
    ):
        registry.component(role, "stylegan2", config=config, build=f"zoogan_stylegan2.networks:{network}")
    mapping = "zoogan.layers:PixelNormMapping"
    registry.component("latent_mapping", "stylegan2", config=StyleGAN2MappingConfig, build=mapping)
    registry.method(
        MethodSpec(
            name="stylegan2",
            config=StyleGAN2Config,
            game="zoogan.games:Synthesis",
            recipes=Path(__file__).parent / "recipes",
            title="StyleGAN2: faces from noise, in pure PyTorch",
            paper="https://arxiv.org/abs/1912.04958",
            importer="zoogan_stylegan2.weights:import_stylegan2",
            official_files=OfficialFiles("zoogan_stylegan2.files:identify_file", needed=("generator",)),
        )
    )
