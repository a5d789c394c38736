"""The run that a training starts from: the settings taken over from it, and whether its networks fit here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoogan.composition.build import compose
from zoogan.config import GameConfig, find_slots, get_component_name
from zoogan.config.registry import MethodSpec, Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.foreign_files import explain_foreign_file
from zoogan.names import suggest_name
from zoogan.paths import expand_path
from zoogan.runs.folder import RunFolder

SETTING = "training.start_from"

# Facts that networks may be built for, and the setting that decides each.
SETTINGS = {
    "image_size": "data.image_size",
    "channels": "data",
    "parts": "data.label_set",
    "transparent": "data.label_set",
    "attributes": "data.attributes",
    "domains": "data.attributes",
}


def open_origin(path: Path, registry: Registry, setting: str = SETTING) -> tuple[RunFolder, GameConfig, Facts]:
    """Read the config and the facts of the run to start from.

    Args:
        path: of the run.
        registry: everything that plugins registered.
        setting: the setting that names the run, for messages.

    Returns:
        The run folder, its config and its facts.

    Raises:
        ConfigError: The path is not a run; the message names the nearest that is.
    """
    folder = RunFolder(expand_path(path))
    if folder.path.is_file():
        wanted = "this is a file, and a run is a folder; zoo import makes a run of official weights"
        raise ConfigError(f"{setting}: {path}: {explain_foreign_file(folder.path) or wanted}")
    if not folder.config.exists():
        above = next((parent for parent in folder.path.parents if (parent / "config.yaml").exists()), None)
        beside = [file.parent.name for file in folder.path.parent.glob("*/config.yaml")]
        hint = f", did you mean {str(above)!r}?" if above else suggest_name(folder.path.name, beside)
        raise ConfigError(f"{setting}: {path} is not a run (no config.yaml in it){hint}")
    return folder, *folder.read_config(registry)


def get_network_roles(config: type[GameConfig]) -> dict[str, str]:
    """Get the roles of a game's networks by slot. Networks are the components with an optimizer."""
    optimizers: Any = config.model_fields["optimizers"].annotation
    return {slot: role.role for slot, role in find_slots(config).items() if slot in optimizers.model_fields}


def check_family(
    path: Path, stored: type[GameConfig], method: str, config: type[GameConfig], name: str, setting: str = SETTING
) -> None:
    """Check that networks in the same slot have the same role in a run and in this training.

    Args:
        path: of the run, for the message.
        stored: the class of the run's config.
        method: of the run.
        config: the class of this training's config.
        name: of this training's method.
        setting: the setting that names the run, for messages.

    Raises:
        ConfigError: The roles differ, or there is no common slot.
    """
    stored_roles, roles = get_network_roles(stored), get_network_roles(config)
    shared = set(stored_roles) & set(roles)
    if not shared or any(stored_roles[slot] != roles[slot] for slot in shared):
        described = [", ".join(f"{slot} ({role})" for slot, role in each.items()) for each in (stored_roles, roles)]
        raise ConfigError(
            f"{setting}: {path} is a run of {method}, whose networks are {described[0]}; {name} has "
            f"{described[1]}: start from a run of the same kind"
        )


def check_components(path: Path, stored: GameConfig, spec: MethodSpec, setting: str = SETTING) -> None:
    """Check that a run of another method has the components of this one.

    Raises:
        ConfigError: It has others, for which this method's settings were not chosen.
    """
    if stored.method == spec.name:
        return
    defaults = {slot: spec.config.model_fields[slot].default for slot in get_network_roles(spec.config)}
    names = {
        slot: (get_component_name(getattr(stored, slot)), get_component_name(default))
        for slot, default in defaults.items()
        if hasattr(stored, slot)
    }
    differing = ", ".join(
        f"{slot} {name!r} where {spec.name} has {expected!r}"
        for slot, (name, expected) in names.items()
        if name != expected
    )
    if differing:
        raise ConfigError(
            f"{setting}: {path} is a run of {stored.method}: {differing}. Train --model {stored.method}, or "
            f"start from a run of {spec.name}"
        )


def make_start_layer(spec: MethodSpec, registry: Registry, path: Path, setting: str = SETTING) -> dict[str, Any]:
    """Make the settings that a config takes over from the run it starts from.

    Args:
        spec: the method to train.
        registry: everything that plugins registered.
        path: of the run.
        setting: the setting that names the run, for messages.

    Returns:
        The settings of the shared networks by slot; under `data` those facts that networks are built for.

    Raises:
        ConfigError: The path is not a run, or the run is of another kind.
    """
    _, stored, facts = open_origin(path, registry, setting)
    check_family(path, type(stored), stored.method, spec.config, spec.name, setting)
    check_components(path, stored, spec, setting)
    values = stored.model_dump(mode="json")
    data = {"image_size": facts.image_size, "attributes": list(facts.attributes)}
    data |= {key: values["data"][key] for key in ("balance", "label_set") if key in values["data"]}
    shared = set(get_network_roles(type(stored))) & set(get_network_roles(spec.config))
    return {slot: values[slot] for slot in sorted(shared)} | {"data": data}


def check_frozen_are_trained(config: GameConfig) -> None:
    """Check that frozen parts begin with the weights of a run.

    Raises:
        ConfigError: They begin with random weights.
    """
    training = config.training
    paths = [*training.freeze, *training.freeze_average]
    if paths and training.start_from is None:
        raise ConfigError(
            f"training.freeze: {', '.join(paths)}: random weights cannot be frozen. Load trained ones with --from RUN, "
            "or freeze nothing: --set 'training.freeze=[]' --set 'training.freeze_average=[]'"
        )


def find_relevant_facts(stored: GameConfig, facts: Facts, registry: Registry) -> set[str]:
    """Find the facts that a run's networks were built for, keys of `SETTINGS`.

    Attributes count for games that read labels, domains for games that read these, parts for games and networks that
    have parts.

    Args:
        stored: the run's config.
        facts: the run's facts.
        registry: everything that plugins registered.
    """
    composition = compose(stored, facts, registry)
    fields = {field for need in composition.game.needs.values() for field in need.fields}
    has_parts = bool(fields & {"segmentation", "layout"}) or any(
        isinstance(getattr(network, "parts", None), tuple) and network.parts
        for network in composition.networks.values()
    )
    has_labels = bool(fields & {"attributes", "domain"})
    matters = {"parts": has_parts, "transparent": has_parts, "attributes": has_labels, "domains": "domain" in fields}
    return {name for name in SETTINGS if matters.get(name, True)}


def check_facts(
    path: Path, stored: GameConfig, before: Facts, now: Facts, registry: Registry, setting: str = SETTING
) -> None:
    """Check that the data has the facts that a run's networks were built for, see `find_relevant_facts`.

    Args:
        path: of the run, for the message.
        stored: the run's config.
        before: the run's facts.
        now: the facts of this training.
        registry: everything that plugins registered.
        setting: the setting that names the run, for messages.

    Raises:
        ConfigError: names every fact that differs.
    """
    differing = [name for name in SETTINGS if getattr(before, name) != getattr(now, name)]
    if not differing:
        return
    relevant = find_relevant_facts(stored, before, registry)
    lines = [
        f"{name} ({SETTINGS[name]}): {format_fact(getattr(before, name))} in the run, "
        f"{format_fact(getattr(now, name))} here"
        for name in differing
        if name in relevant
    ]
    if lines:
        raise ConfigError(f"{setting}: the networks of {path} were built for other faces:\n" + "\n".join(lines))


def format_fact(value: Any) -> str:
    """Write a fact in words."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)
