"""What plugins have contributed: methods, and components by role and name. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoogan.config import ComponentConfig, GameConfig
    from zoogan.facts import Facts

# The interface that each role fills, and whether its components are networks.
ROLES: dict[str, str] = {
    "image_editor": "zoogan.interfaces:ImageEditor",
    "attribute_critic": "zoogan.interfaces:AttributeCritic",
    "adversarial_loss": "zoogan.interfaces:AdversarialLoss",
    "critic_penalty": "zoogan.interfaces:CriticPenalty",
    "classification": "zoogan.interfaces:Classification",
    "term": "zoogan.interfaces:Term",
    "condition": "zoogan.interfaces:Condition",
    "source": "zoogan.interfaces:Source",
    "augment": "zoogan.layers.augment:Augment",
    "optimizer": "zoogan.training.optimizers:Optimizer",
    "schedule": "zoogan.training.optimizers:Schedule",
}


class RegistrationError(Exception):
    """A plugin registered something that the zoo cannot use; the message says what and why."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the nearest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def resolve(path: str) -> Any:
    """The object behind an import string `package.module:Name`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Component:
    """A named way to fill a role: its config class (no torch) and an import string of what builds it.

    `build(config, facts)` returns the component.
    """

    role: str
    name: str
    config: type[ComponentConfig]
    build: str
    plugin: str = ""


@dataclass(frozen=True)
class MethodSpec:
    """A published system: the config that composes it and the game that it plays.

    Args:
        name: the id, lower case with hyphens: `stargan-v2`.
        config: the complete config model; its defaults are the paper's values.
        game: import string of the Game class, called as `game(config, facts, components)`.
        recipes: folder of `<recipe>.yaml` files.
        importer: import string of a function `(files, settings) -> Imported` that reads official weights, or None.
        title, paper: for lists; registry.yaml says more.
    """

    name: str
    config: type[GameConfig]
    game: str
    recipes: Path
    title: str
    paper: str = ""
    importer: str | None = None
    plugin: str = ""

    def recipe_names(self) -> list[str]:
        """The names of its recipes, sorted."""
        return sorted(path.stem for path in self.recipes.glob("*.yaml"))


@dataclass
class Registry:
    """Everything that plugins registered, by name."""

    methods: dict[str, MethodSpec] = field(default_factory=dict)
    components: dict[tuple[str, str], Component] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    plugin: str = ""  # the plugin whose zoo_register is running

    def method(self, spec: MethodSpec) -> None:
        """Register a method.

        Raises:
            RegistrationError: another plugin has the name.
        """
        taken = self.methods.get(spec.name)
        if taken is not None:
            raise RegistrationError(f"method {spec.name!r} is already registered by plugin {taken.plugin!r}")
        self.methods[spec.name] = MethodSpec(**{**spec.__dict__, "plugin": self.plugin})

    def component(self, role: str, name: str, *, config: type[ComponentConfig], build: str) -> None:
        """Register a component under a role.

        Raises:
            RegistrationError: unknown role, or the name is taken.
        """
        if role not in ROLES:
            raise RegistrationError(f"no role is called {role!r}{nearest(role, ROLES)}; roles: {', '.join(ROLES)}")
        taken = self.components.get((role, name))
        if taken is not None:
            raise RegistrationError(f"{role} {name!r} is already registered by plugin {taken.plugin!r}")
        self.components[role, name] = Component(role, name, config, build, self.plugin)

    def command(self, name: str, build: str) -> None:
        """Register a verb of the command line: an import string of a function with typer annotations.

        Raises:
            RegistrationError: the name is taken.
        """
        if name in self.commands:
            raise RegistrationError(f"command {name!r} is already registered")
        self.commands[name] = build

    def names(self, role: str) -> list[str]:
        """The component names of a role, sorted."""
        return sorted(name for r, name in self.components if r == role)

    def build(self, role: str, config: ComponentConfig, facts: Facts | None = None) -> Any:
        """The component that `config` describes."""
        from zoogan.config import component_name

        component = self.components[role, component_name(config)]
        builder: Callable[..., Any] = resolve(component.build)
        return builder(config, facts)
