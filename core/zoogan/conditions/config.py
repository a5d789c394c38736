"""Configs of the conditions that ship with the core. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from zoogan.config import ComponentConfig, Names
from zoogan.config.registry import Registry


def to_groups(value: Any) -> Any:
    """Turn a list of names into one group; leave all other values to pydantic.

    Args:
        value: Groups of names, or the names of one group, as `--set condition.exclusive=angry,happy,sad` gives them.

    Returns:
        Groups of names.
    """
    is_one_group = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
    return [value] if is_one_group else value


Group = Annotated[tuple[str, ...], Field(min_length=2)]


class AttributesConfig(ComponentConfig):
    """Binary attributes as the target.

    Attributes:
        draw: Targets of a training batch. flip = the opposite label, of one attribute a face where there are several
            (SaGAN); permute = the labels of another face of the joint batch (StarGAN); uniform = every attribute at
            random. Where a softmax classification shows exactly one attribute, flip is any attribute except the
            face's own, and uniform is any attribute.
        exclusive: Groups of attributes of which a face shows at most one, in addition to those that the source
            declares (hair colours).
    """

    use: Literal["attributes"] = "attributes"
    draw: Literal["flip", "permute", "uniform"] = "flip"
    exclusive: Annotated[tuple[Group, ...], BeforeValidator(to_groups)] = ()


class PairsConfig(ComponentConfig):
    """Attributes that a face may show together; each is a pair of domains, without and with it (SMILE).

    Attributes:
        clears: Attributes that a newly set attribute clears, by name: a hat hides bangs, and whether a head is bald.
            Names that the data does not have are ignored.
        exclusive: Groups of attributes of which a face shows at most one, in addition to those that the source
            declares.
        source_sampler: pairs = the faces to translate have each value of each attribute equally often; epochs = they
            come as in the data.
        reference_sampler: The same for the faces whose labels are the target.
    """

    use: Literal["pairs"] = "pairs"
    clears: dict[str, Names] = Field(default_factory=partial(dict, Wearing_Hat=("Bangs", "Bald")))
    exclusive: Annotated[tuple[Group, ...], BeforeValidator(to_groups)] = ()
    source_sampler: Literal["pairs", "epochs"] = "pairs"
    reference_sampler: Literal["pairs", "epochs"] = "epochs"


def register(registry: Registry) -> None:
    """Register the conditions.

    Args:
        registry: Where to register them.
    """
    build = "zoogan.conditions.attributes:AttributeCondition"
    registry.component("condition", "attributes", config=AttributesConfig, build=build)
    registry.component("condition", "pairs", config=PairsConfig, build="zoogan.conditions.pairs:PairsCondition")
    registry.component("condition", "single", build="zoogan.conditions.single:SingleCondition")
    registry.component("condition", "domain", build="zoogan.conditions.domain:DomainCondition")
    registry.component("condition", "latent", build="zoogan.conditions.latent:LatentCondition")
    build = "zoogan.conditions.decomposition:DecompositionCondition"
    registry.component("condition", "decomposition", build=build)
