"""SaGAN (Zhang et al., ECCV 2018): edits one attribute inside a predicted mask. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method and its networks."""
    from zoogan_sagan.config import SaganConfig, SaganDiscriminatorConfig, SaganGeneratorConfig

    registry.component(
        "image_editor", "sagan", config=SaganGeneratorConfig, build="zoogan_sagan.networks:SaganGenerator"
    )
    registry.component(
        "attribute_discriminator",
        "sagan",
        config=SaganDiscriminatorConfig,
        build="zoogan_sagan.networks:SaganDiscriminator",
    )
    registry.method(
        MethodSpec(
            name="sagan",
            config=SaganConfig,
            game="zoogan.games:AttributeEditing",
            recipes=Path(__file__).parent / "recipes",
            title="SaGAN: editing one attribute inside a predicted mask",
            paper="https://openaccess.thecvf.com/content_ECCV_2018/html/"
            "Gang_Zhang_Generative_Adversarial_Network_ECCV_2018_paper.html",
            importer="zoogan_sagan.weights:import_sagan",
        )
    )
