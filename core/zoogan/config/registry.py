"""The registry of methods, commands, and components by role and name. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import create_model

from zoogan.config.commands import VERBS, Command
from zoogan.config.models import ComponentConfig, DataConfig, GameConfig, get_component_name
from zoogan.config.stages import OfficialFiles, Stage, find_stage_problem
from zoogan.errors import ConfigError
from zoogan.names import import_object, suggest_name

if TYPE_CHECKING:
    from zoogan.facts import Facts

# The interface that each role fills, and whether its components are networks.
ROLES: dict[str, str] = {
    "image_editor": "zoogan.interfaces:ImageEditor",
    "attribute_discriminator": "zoogan.interfaces:AttributeDiscriminator",
    "style_translator": "zoogan.interfaces:StyleTranslator",
    "style_mapping": "zoogan.interfaces:StyleMapping",
    "style_encoder": "zoogan.interfaces:StyleEncoder",
    "style_discriminator": "zoogan.interfaces:StyleDiscriminator",
    "latent_generator": "zoogan.interfaces:LatentGenerator",
    "latent_mapping": "zoogan.interfaces:LatentMapping",
    "image_discriminator": "zoogan.interfaces:ImageDiscriminator",
    "region_encoder": "zoogan.interfaces:RegionEncoder",
    "latent_offset": "zoogan.interfaces:LatentOffset",
    "latent_encoder": "zoogan.interfaces:LatentEncoder",
    "attribute_offset": "zoogan.interfaces:AttributeOffset",
    "compositor": "zoogan.interfaces:Compositor",
    "adversarial_loss": "zoogan.interfaces:AdversarialLoss",
    "discriminator_penalty": "zoogan.interfaces:DiscriminatorPenalty",
    "classification": "zoogan.interfaces:Classification",
    "term": "zoogan.interfaces:Term",
    "condition": "zoogan.interfaces:Condition",
    "source": "zoogan.interfaces:Source",
    "augment": "zoogan.layers.augment:Augment",
    "heat_maps": "zoogan.interfaces:HeatMaps",
    "metric": "zoogan.interfaces:Metric",
    "optimizer": "zoogan.training.optimizers:Optimizer",
    "schedule": "zoogan.training.optimizers:Schedule",
}


class RegistrationError(Exception):
    """A plugin registered something that the zoo cannot use. The message says what and why."""


def check_import_string(what: str, path: Any) -> None:
    """Check the form of an import string, so that a mistake is reported at registration and not in a training.

    Raises:
        RegistrationError: It is no string of the form `package.module:Name`.
    """
    if not (isinstance(path, str) and re.fullmatch(r"[\w.]+:\w+", path)):
        raise RegistrationError(f"{what}: expected an import string like 'package.module:Name', got {path!r}")


def check_component_name(role: str, name: str, config: Any) -> None:
    """Check that a config is a class whose `use` (sources: `source`) accepts the component's name.

    Raises:
        RegistrationError: It is not.
    """
    key = "source" if role == "source" else "use"
    fields = getattr(config, "model_fields", None)
    if not isinstance(config, type) or fields is None or key not in fields:
        raise RegistrationError(
            f"{role} {name!r}: config must be a ComponentConfig class with "
            f"`{key}: Literal[{name!r}] = {name!r}`, got {config!r}"
        )
    accepted = get_args(fields[key].annotation)
    if accepted and name not in accepted:
        names = ", ".join(map(repr, accepted))
        raise RegistrationError(f"{role} {name!r}: field `{key}` of {config.__name__} accepts only {names}")


@cache
def make_component_config(role: str, name: str) -> type[ComponentConfig]:
    """Make the config class of a component without settings: only `use` (sources: the settings of all sources)."""
    title = "".join(word.capitalize() for word in re.split(r"\W|_", name)) + "Config"
    accepted: Any = Literal[name]
    if role == "source":
        return create_model(title, __base__=DataConfig, __module__=__name__, source=(accepted, name))
    return create_model(title, __base__=ComponentConfig, __module__=__name__, use=(accepted, name))


def use_component(role: str, name: str) -> ComponentConfig:
    """Make the config of a component that has no settings: the default of a slot in a config class.

    Args:
        role: The role of the slot.
        name: The name of the component.

    Returns:
        `{use: name}`, validated.
    """
    return make_component_config(role, name)()


@dataclass(frozen=True)
class Component:
    """A named way to fill a role. Its builder is called as `build(config, facts)` and returns the component.

    Attributes:
        role: The role that it fills, a key of `ROLES`.
        name: The name under which configs choose it.
        config_class: Its config class; None = read the attribute `Config` of what `build` names when `config` is used.
        build: Import string of the class or function that builds it.
        plugin: The plugin that registered it.
    """

    role: str
    name: str
    config_class: type[ComponentConfig] | None
    build: str
    plugin: str = ""

    @cached_property
    def config(self) -> type[ComponentConfig]:
        """The config class.

        Reading it for the first time imports the module of `build` where no class was given at registration.

        Raises:
            ConfigError: `build` cannot be imported, or its `Config` does not read the component's name.
        """
        if self.config_class is not None:
            return self.config_class
        owner = f"plugin {self.plugin!r}: " if self.plugin else ""
        try:
            config = getattr(import_object(self.build), "Config", None)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{owner}{self.role} {self.name!r} cannot be imported from {self.build!r}: {error}. "
                "Correct the import string in its zoo_register."
            ) from error
        if config is None:
            return make_component_config(self.role, self.name)
        try:
            check_component_name(self.role, self.name, config)
        except RegistrationError as error:
            raise ConfigError(f"{owner}{error}. Correct the attribute Config of {self.build!r}.") from error
        return config


@dataclass(frozen=True)
class MethodSpec:
    """A published system: the config that composes it and the game that trains it.

    Attributes:
        name: The id, lower case with hyphens, such as `stargan-v2`.
        config: The complete config model; its defaults are the paper's values.
        game: Import string of the Game class, called as `game(config, facts, components)`.
        recipes: Folder of `<recipe>.yaml` files.
        title: The name for people.
        paper: Where it was published; the catalogue has more facts.
        importer: Import string of a function `(files, settings) -> Imported` that reads official weights.
        official_files: How these files are told apart; required for an importer of a method with stages.
        min_image_size: The smallest image size that its networks take, in pixels.
        stages: Trainings and jobs that come before its own training, in order.
        plugin: The plugin that registered it; set by the registry.
    """

    name: str
    config: type[GameConfig]
    game: str
    recipes: Path
    title: str
    paper: str = ""
    importer: str | None = None
    official_files: OfficialFiles | None = None
    min_image_size: int = 16
    stages: tuple[Stage, ...] = ()
    plugin: str = ""

    def list_recipes(self) -> list[str]:
        """Return the names of its recipes, sorted."""
        return sorted(path.stem for path in self.recipes.glob("*.yaml"))


@dataclass
class Registry:
    """Everything that plugins registered, by name.

    Attributes:
        methods: Methods by id.
        components: Components by (role, name).
        commands: Commands by verb.
        plugin: The plugin whose `zoo_register` is running.
    """

    methods: dict[str, MethodSpec] = field(default_factory=dict)
    components: dict[tuple[str, str], Component] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    plugin: str = ""  # the plugin whose zoo_register is running

    def draft(self, plugin: str) -> Registry:
        """Make a copy for one plugin to register into. Its entries are added here by `commit`."""
        return Registry(dict(self.methods), dict(self.components), dict(self.commands), plugin)

    def commit(self, draft: Registry) -> None:
        """Add the new entries of a draft. Existing entries are never changed."""
        self.methods.update({k: v for k, v in draft.methods.items() if k not in self.methods})
        self.components.update({k: v for k, v in draft.components.items() if k not in self.components})
        self.commands.update({k: v for k, v in draft.commands.items() if k not in self.commands})

    def method(self, spec: MethodSpec) -> None:
        """Register a method.

        Raises:
            RegistrationError: The name is taken or not an id, an import string has another form, or the stages have a
                mistake.
        """
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", spec.name):
            raise RegistrationError(f"method id {spec.name!r}: expected lower case and hyphens, as in 'my-gan'")
        check_import_string(f"game of method {spec.name!r}", spec.game)
        if spec.importer is not None:
            check_import_string(f"importer of method {spec.name!r}", spec.importer)
            if spec.stages and spec.official_files is None:
                raise RegistrationError(
                    f"method {spec.name!r}: an importer of a method with stages needs official_files, which tell its "
                    "files from those of the stages"
                )
        if spec.official_files is not None:
            check_import_string(f"identify of method {spec.name!r}", spec.official_files.identify)
        for stage in spec.stages:
            check_import_string(f"run of stage {stage.name!r} of method {spec.name!r}", stage.run)
            check_import_string(f"open of stage {stage.name!r} of method {spec.name!r}", stage.open)
        if problem := find_stage_problem(spec.stages, spec.config):
            raise RegistrationError(f"method {spec.name!r}: {problem}")
        other = self.methods.get(spec.name)
        if other is not None:
            raise RegistrationError(f"method {spec.name!r} is already registered by plugin {other.plugin!r}")
        self.methods[spec.name] = MethodSpec(**{**spec.__dict__, "plugin": self.plugin})

    def component(self, role: str, name: str, *, build: str, config: type[ComponentConfig] | None = None) -> None:
        """Register a component under a role.

        Args:
            role: A key of `ROLES`.
            name: The name under which configs choose it.
            build: Import string of a class or function that is called as `build(config, facts)`.
            config: Its config class; None = it has no settings.

        Raises:
            RegistrationError: The role is unknown, the name is taken, `build` is no import string, or `config` does
                not read the name.
        """
        self._check_component(role, name, build)
        config = config or make_component_config(role, name)
        check_component_name(role, name, config)
        self.components[role, name] = Component(role, name, config, build, self.plugin)

    def metric(self, name: str, build: str) -> None:
        """Register a metric, whose config class is the attribute `Config` of its class.

        The class is imported when its config is first needed, so that registering imports no torch. A class without
        `Config` has no settings.

        Args:
            name: The name under which it is chosen.
            build: Import string of a class or function that is called as `build(config, facts)`.

        Raises:
            RegistrationError: The name is taken, or `build` is no import string.
        """
        self._check_component("metric", name, build)
        self.components["metric", name] = Component("metric", name, None, build, self.plugin)

    def _check_component(self, role: str, name: str, build: str) -> None:
        """Check the role, that the name is free, and the import string."""
        if role not in ROLES:
            hint = suggest_name(role, ROLES)
            raise RegistrationError(f"no role is called {role!r}{hint}; roles: {', '.join(ROLES)}")
        other = self.components.get((role, name))
        if other is not None:
            raise RegistrationError(f"{role} {name!r} is already registered by plugin {other.plugin!r}")
        check_import_string(f"build of {role} {name!r}", build)

    def command(self, name: str, build: str) -> None:
        """Register a verb of the command line.

        Args:
            name: The verb.
            build: Import string of a function for typer, or of a typer app.

        Raises:
            RegistrationError: The name is taken, or `build` is no import string.
        """
        if name in VERBS:
            raise RegistrationError(f"command {name!r} is one of zoo's own verbs")
        other = self.commands.get(name)
        if other is not None:
            raise RegistrationError(f"command {name!r} is already registered by plugin {other.plugin!r}")
        check_import_string(f"build of command {name!r}", build)
        self.commands[name] = Command(name, build, self.plugin)

    def list_names(self, role: str) -> list[str]:
        """Return the component names of a role, sorted."""
        return sorted(name for r, name in self.components if r == role)

    def build(self, role: str, config: ComponentConfig, facts: Facts | None = None) -> Any:
        """Build the component that `config` describes."""
        component = self.components[role, get_component_name(config)]
        builder: Callable[..., Any] = import_object(component.build)
        return builder(config, facts)
