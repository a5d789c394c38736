"""SD-GAN (Zhou et al. 2022): an offset per face repairs the direction of a discrete attribute. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, OfficialFiles, Registry, Stage, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the networks, the compositors and the method."""
    register_networks(registry)
    register_compositors(registry)
    register_decomposition(registry)
    register_joint(registry)


def register_networks(registry: Registry) -> None:
    """Register the networks that compute offsets."""
    from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig, SdGanOffsetConfig

    for name, config, build in (
        ("sd-gan", SdGanOffsetConfig, "zoogan_sd_gan.networks:SdGanOffset"),
        ("sd-gan-official", SdGanOfficialOffsetConfig, "zoogan_sd_gan.official:SdGanOfficialOffset"),
    ):
        registry.component("latent_offset", name, config=config, build=build)


def register_compositors(registry: Registry) -> None:
    """Register the compositors."""
    from zoogan_sd_gan.compositor_config import (
        EditorCompositorConfig,
        NoCompositorConfig,
        TemplateCompositorConfig,
    )

    for name, config, build in (
        ("templates", TemplateCompositorConfig, "zoogan_sd_gan.compositors:TemplateCompositor"),
        ("editor", EditorCompositorConfig, "zoogan_sd_gan.editor_compositor:EditorCompositor"),
        ("none", NoCompositorConfig, "zoogan_sd_gan.compositors:NoCompositor"),
    ):
        registry.component("compositor", name, config=config, build=build)


def register_decomposition(registry: Registry) -> None:
    """Register the method, whose own training is that of the network that computes offsets."""
    from zoogan_sd_gan.config import SdGanConfig

    stages = (
        Stage("backbone", run="zoogan.training:run_trained_stage", open="zoogan.training:open_trained_stage"),
        Stage(
            "classifier", run="zoogan.training:run_judge_stage", open="zoogan.training:open_judge_stage", optional=True
        ),
        Stage(
            "geometry",
            run="zoogan_sd_gan.geometry_stage:run_geometry_stage",
            open="zoogan_sd_gan.geometry_stage:open_geometry_stage",
            after=("backbone", "classifier"),
            importer="zoogan_sd_gan.geometry_stage:import_geometry",
            official_files=OfficialFiles("zoogan_sd_gan.weights:identify_unsup3d", needed=("unsup3d",)),
        ),
        Stage(
            "boundary",
            run="zoogan.training:run_direction_stage",
            open="zoogan.training:open_direction_stage",
            after=("backbone", "classifier"),
            optional=True,
        ),
        Stage(
            "editor",
            run="zoogan.training:run_trained_stage",
            open="zoogan.training:open_trained_stage",
            optional=True,
        ),
    )
    registry.method(
        MethodSpec(
            name="sd-gan",
            config=SdGanConfig,
            game="zoogan.games:LatentDecomposition",
            recipes=Path(__file__).parent / "recipes" / "decomposition",
            title="SD-GAN: masks and glasses by a direction and an offset for each face",
            paper="https://arxiv.org/abs/2207.05300",
            importer="zoogan_sd_gan.weights:import_sd_gan",
            official_files=OfficialFiles("zoogan_sd_gan.weights:identify_fusion_network", needed=("fusion",)),
            min_image_size=16,
            stages=stages,
        )
    )


def register_joint(registry: Registry) -> None:
    """Register the joint variant and its networks."""
    from zoogan_sd_gan.joint_config import JointConfig, JointDiscriminatorConfig, JointEncoderConfig, JointOffsetConfig

    for role, config, network in (
        ("latent_encoder", JointEncoderConfig, "JointEncoder"),
        ("attribute_offset", JointOffsetConfig, "JointOffset"),
        ("image_discriminator", JointDiscriminatorConfig, "JointDiscriminator"),
    ):
        registry.component(role, "sd-gan-joint", config=config, build=f"zoogan_sd_gan.joint_networks:{network}")
    registry.method(
        MethodSpec(
            name="sd-gan-joint",
            config=JointConfig,
            game="zoogan_sd_gan.joint:JointDecomposition",
            recipes=Path(__file__).parent / "recipes" / "joint",
            title="SD-GAN, joint variant: edits of photos and faces from noise, trained together",
            paper="https://arxiv.org/abs/2207.05300",
            min_image_size=16,
        )
    )
