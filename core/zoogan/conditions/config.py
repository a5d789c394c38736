"""Configs of the core's conditions. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry


def grouped(value: Any) -> Any:
    """Groups of names; names alone, as `--set condition.exclusive=angry,happy,sad` gives them, are one group."""
    alone = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
    return [value] if alone else value


Group = Annotated[tuple[str, ...], Field(min_length=2)]


class AttributesConfig(ComponentConfig):
    """Binary attributes as the target.

    draw: what a training batch is asked for. flip = the opposite label, of one attribute a face when there
    are several (SaGAN); permute = the labels of another face of the joint batch (StarGAN); uniform = every
    attribute at random. Where the classification takes one of all attributes to be shown (softmax), flip is another one
    than the face's own, uniform any one. exclusive: groups of attributes of which at most one is shown, besides those
    that the source knows of (hair colours).
    """

    use: Literal["attributes"] = "attributes"
    draw: Literal["flip", "permute", "uniform"] = "flip"
    exclusive: Annotated[tuple[Group, ...], BeforeValidator(grouped)] = ()


class DomainConfig(ComponentConfig):
    """One of several domains that exclude each other as the target, with a style from noise or from a reference."""

    use: Literal["domain"] = "domain"


class LatentConfig(ComponentConfig):
    """Nothing is asked of a face: it is what its latent makes it. Directions, once they are fitted, name attributes."""

    use: Literal["latent"] = "latent"


def register(registry: Registry) -> None:
    """Register the core's conditions."""
    build = "zoogan.conditions.attributes:AttributeCondition"
    registry.component("condition", "attributes", config=AttributesConfig, build=build)
    registry.component("condition", "domain", config=DomainConfig, build="zoogan.conditions.domain:DomainCondition")
    registry.component("condition", "latent", config=LatentConfig, build="zoogan.conditions.latent:LatentCondition")
