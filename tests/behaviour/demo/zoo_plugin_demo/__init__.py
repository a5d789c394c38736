"""A method of a third party: tiny networks in the attribute-editing game. This module imports no torch."""

from __future__ import annotations

from pathlib import Path

from zoo_plugin_demo.config import DemoClassification, DemoConfig, DemoDiscriminator, DemoGenerator
from zoogan.plugins import MethodSpec, Registry, hookimpl

API_VERSION = 1
CATALOGUE = Path(__file__).with_name("zoo.yaml")


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method, its components and its verb."""
    networks = "zoo_plugin_demo.networks:"
    registry.component("image_editor", "demo", config=DemoGenerator, build=networks + "Generator")
    registry.component("attribute_discriminator", "demo", config=DemoDiscriminator, build=networks + "Discriminator")
    registry.component("classification", "demo", config=DemoClassification, build=networks + "Squared")
    registry.method(
        MethodSpec(
            name="demo-gan",
            config=DemoConfig,
            game="zoogan.games:AttributeEditing",
            recipes=Path(__file__).with_name("recipes"),
            title="DemoGAN",
        )
    )
    registry.command("demo-hello", "zoo_plugin_demo.hello:hello")
