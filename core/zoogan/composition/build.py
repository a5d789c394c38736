"""Composition: config and facts become a game and its networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zoogan.composition.stages import check_apart, open_stages
from zoogan.config import GameConfig, find_slots, get_component_name
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Game
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.fields import FIELDS, Field
from zoogan.interfaces.source import make_domain_names
from zoogan.names import import_object


@dataclass
class Composition:
    """A game with its networks.

    Attributes:
        config: The config.
        facts: The facts of the data.
        network_facts: The facts as the networks see them: the channels of a layout are the parts.
        game: The game.
        networks: The networks by slot.
        names: Component name in each slot that holds a network, for messages.
        fields: Fields that the game may read.
        stages: What the stages gave, by name; no step trains it.
    """

    config: GameConfig
    facts: Facts
    network_facts: Facts
    game: Game
    networks: nn.ModuleDict
    names: dict[str, str]
    fields: Mapping[str, Field]
    stages: Mapping[str, Any] = field(default_factory=dict)

    def get_sizes(self) -> dict[str, int]:
        """Return the number behind each letter of a field's shape."""
        size = self.facts.image_size
        parts, attributes = len(self.facts.parts), len(self.facts.attributes)
        return {"c": self.facts.channels, "h": size, "w": size, "a": attributes, "k": parts}


def compose(
    config: GameConfig, facts: Facts, registry: Registry, stages: Mapping[str, Any] | None = None
) -> Composition:
    """Build every component of a config, and the game that trains them.

    Each network is initialised from its own seed, so that swapping one leaves the weights of the others unchanged.

    Args:
        config: The complete config.
        facts: Facts about the data.
        registry: Methods and components.
        stages: Opened stages by name, which the game gets as `components["stages"]`; None builds untrained
            equivalents, for checks of shapes.

    Raises:
        ConfigError: `extra_terms` names a step that the game does not have, or the game cannot train on such data.
        ContractError: The game holds a network of a stage as its own module.
    """
    components: dict[str, Any] = {}
    names: dict[str, str] = {}
    networks = nn.ModuleDict()
    network_facts = config.adapt_facts(facts)
    for slot, role in find_slots(type(config)).items():
        if role.role == "source":
            continue
        slot_config = getattr(config, slot)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.training.seed, "initialise", slot))
            component = registry.build(role.role, slot_config, network_facts)
        components[slot] = component
        if isinstance(component, nn.Module):
            networks[slot], names[slot] = component, get_component_name(slot_config)
    components["extra_terms"] = {
        step: {name: registry.build("term", term, facts) for name, term in terms.items()}
        for step, terms in config.extra_terms.items()
    }
    stages = open_stages(config, facts, registry) if stages is None else dict(stages)
    components["stages"] = stages
    game: Game = import_object(registry.methods[config.method].game)(config, facts, components)
    steps = [step.name for step in game.steps]
    unknown = [step for step in config.extra_terms if step not in steps]
    if unknown:
        raise ConfigError(f"extra_terms: no step is called {', '.join(unknown)}; this game's steps: {', '.join(steps)}")
    check_apart(stages, game)
    fields = find_fields(config, game, registry)
    return Composition(config, facts, network_facts, game, networks, names, fields, stages)


def expect_facts(config: GameConfig) -> Facts:
    """Return facts that the data of a config may have, for checks that read no data."""
    attributes = config.data.attributes
    domains = make_domain_names(attributes, ()) or attributes or ("cat", "dog")
    label_set: Any = getattr(config.data, "label_set", None)  # not every source has one
    parts, transparent = (label_set.names, label_set.transparent) if label_set is not None else ((), ())
    return Facts(
        image_size=config.data.image_size, attributes=attributes, domains=domains, parts=parts, transparent=transparent
    )


def find_fields(config: GameConfig, game: Game, registry: Registry) -> Mapping[str, Field]:
    """Return the fields that a game may read in a rehearsal: the common ones, and those that its source describes."""
    names = {field for need in game.needs.values() for field in need.fields}
    source = registry.components.get(("source", get_component_name(config.data)))
    if names <= FIELDS.keys() or source is None:  # then the source's module need not be imported
        return dict(FIELDS)
    return {**FIELDS, **getattr(import_object(source.build), "extra_fields", {})}
