"""StarGAN (Choi et al., CVPR 2018): one generator, every attribute. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method, its networks and the official code's learning-rate schedule."""
    from zoogan_stargan.config import (
        Repo2018Config,
        StarganConfig,
        StarganDiscriminatorConfig,
        StarganGeneratorConfig,
    )

    registry.component(
        "image_editor", "stargan", config=StarganGeneratorConfig, build="zoogan_stargan.networks:StarganGenerator"
    )
    registry.component(
        "attribute_discriminator",
        "stargan",
        config=StarganDiscriminatorConfig,
        build="zoogan_stargan.networks:StarganDiscriminator",
    )
    registry.component(
        "schedule", "repo-2018", config=Repo2018Config, build="zoogan_stargan.schedule:make_repo_2018_schedule"
    )
    registry.method(
        MethodSpec(
            name="stargan",
            config=StarganConfig,
            game="zoogan.games:AttributeEditing",
            recipes=Path(__file__).parent / "recipes",
            title="StarGAN: whole-image editing of many attributes with one generator",
            paper="https://arxiv.org/abs/1711.09020",
            importer="zoogan_stargan.weights:import_stargan",
        )
    )
