"""Starting a training from another run: its networks' settings, its weights, and whether they can serve here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file

from zoogan.composition.build import Composition, compose
from zoogan.composition.freezing import FrozenParameters
from zoogan.config import ConfigError, GameConfig, find_slots, get_component_name
from zoogan.config.registry import MethodSpec, Registry
from zoogan.facts import Facts
from zoogan.files import StateDict
from zoogan.interfaces import World
from zoogan.names import join_problems, suggest_name
from zoogan.runs.checkpoints import iteration_of, newest_valid
from zoogan.runs.run import GAME, RAW, RunFolder, misfits
from zoogan.training.averages import Average, decay_of

# What networks may be built for, and the setting that decides it.
SETTINGS = {
    "image_size": "data.image_size",
    "channels": "data",
    "parts": "data.label_set",
    "transparent": "data.label_set",
    "attributes": "data.attributes",
    "domains": "data.attributes",
}


def opened(path: Path, registry: Registry) -> tuple[RunFolder, GameConfig, Facts]:
    """The run at a path, with its config and facts.

    Raises:
        ConfigError: not a run; names the nearest that is.
    """
    run = RunFolder(path.expanduser())
    if not run.config.exists():
        above = next((folder for folder in run.path.parents if (folder / "config.yaml").exists()), None)
        beside = [folder.parent.name for folder in run.path.parent.glob("*/config.yaml")]
        hint = f", did you mean {str(above)!r}?" if above else suggest_name(run.path.name, beside)
        raise ConfigError(f"training.start_from: {path} is not a run (no config.yaml in it){hint}")
    return run, *run.read(registry)


def networks_of(config: type[GameConfig]) -> dict[str, str]:
    """The roles of a game's networks, by slot: those with an optimizer."""
    optimizers: Any = config.model_fields["optimizers"].annotation
    return {slot: role.role for slot, role in find_slots(config).items() if slot in optimizers.model_fields}


def check_family(path: Path, theirs: type[GameConfig], method: str, ours: type[GameConfig], name: str) -> None:
    """A run's networks play the roles of ours, as far as they share a slot.

    Raises:
        ConfigError: they play others, or share none.
    """
    there, here = networks_of(theirs), networks_of(ours)
    if not set(there) & set(here) or any(there[slot] != here[slot] for slot in set(there) & set(here)):
        said = [", ".join(f"{slot} ({role})" for slot, role in slots.items()) for slots in (there, here)]
        raise ConfigError(
            f"training.start_from: {path} is a run of {method}, whose networks are {said[0]}; {name} has {said[1]}: "
            "start from a run of the same kind"
        )


def check_components(path: Path, stored: GameConfig, spec: MethodSpec) -> None:
    """A run of another method has the components that this one plays with.

    Raises:
        ConfigError: others: its networks would be trained with numbers that were made for ours.
    """
    if stored.method == spec.name:
        return
    ours = {slot: spec.config.model_fields[slot].default for slot in networks_of(spec.config)}
    other = {
        slot: (get_component_name(getattr(stored, slot)), get_component_name(default))
        for slot, default in ours.items()
        if hasattr(stored, slot) and get_component_name(getattr(stored, slot)) != get_component_name(default)
    }
    if other:
        said = ", ".join(f"{slot} {theirs!r} where {spec.name} has {mine!r}" for slot, (theirs, mine) in other.items())
        raise ConfigError(
            f"training.start_from: {path} is a run of {stored.method}: {said}. Train --model {stored.method}, or start "
            f"from a run of {spec.name}"
        )


def layer_from(spec: MethodSpec, registry: Registry, path: Path) -> dict[str, Any]:
    """What a config takes over from a run that it starts from: the networks' settings; under `data` what those faces
    were that networks are built for.

    Raises:
        ConfigError: not a run, or one of another kind.
    """
    _, stored, facts = opened(path, registry)
    check_family(path, type(stored), stored.method, spec.config, spec.name)
    check_components(path, stored, spec)
    values = stored.model_dump(mode="json")
    data = {"image_size": facts.image_size, "attributes": list(facts.attributes)}
    data |= {key: values["data"][key] for key in ("balance", "label_set") if key in values["data"]}
    shared = set(networks_of(type(stored))) & set(networks_of(spec.config))
    return {slot: values[slot] for slot in sorted(shared)} | {"data": data}


def check_frozen_are_trained(config: GameConfig) -> None:
    """What is frozen begins with the weights of a run.

    Raises:
        ConfigError: it begins at random.
    """
    training = config.training
    named = [*training.freeze, *training.freeze_average]
    if named and training.start_from is None:
        raise ConfigError(
            f"training.freeze: {', '.join(named)}: frozen weights that were never trained; say with --from RUN which "
            "run they come from, or freeze nothing: --set 'training.freeze=[]' --set 'training.freeze_average=[]'"
        )


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    networks, averages: state by slot, fewer than the game has where the run has fewer. game: the game's own state.
    said: lines for the log. method: of the run.
    """

    path: Path
    method: str
    networks: Mapping[str, StateDict]
    averages: Mapping[str, StateDict]
    game: StateDict
    said: tuple[str, ...]

    def lay_into(self, composition: Composition) -> None:
        """Give networks and game the run's weights and state.

        Raises:
            ConfigError: weights that do not fit, all of them; frozen parts of a network that the run does not have.
        """
        training, networks = composition.config.training, composition.networks
        afresh = [slot for slot in networks if slot not in self.networks]
        never = [p for p in (*training.freeze, *training.freeze_average) if p.partition(".")[0] in afresh]
        if never:
            raise ConfigError(
                f"training.freeze: {', '.join(never)}: frozen weights that were never trained: {self.path} has no "
                f"trained {' and no '.join(afresh)}"
            )
        groups = (self.networks, self.averages)
        problems = [
            p for group in groups for slot in networks if slot in group for p in misfits(slot, group, networks[slot])
        ]
        if problems:
            config = composition.config
            raise ConfigError(
                f"training.start_from: the weights of {self.path}, a run of {self.method}, do not fit the networks of "
                f"this training of {config.method}:\n{join_problems(list(dict.fromkeys(problems)))}\n"
                "leave out the settings of these networks, and they are the run's"
            )
        frozen = FrozenParameters(networks, training.freeze)
        for slot, state in self.networks.items():
            if slot in networks:  # what is frozen is one in the network and its average, which neither ever moves
                average = self.averages.get(slot, {}) if decay_of(training, 1) else {}
                still = {name: average[name] for name in frozen.names(slot) if name in average}
                networks[slot].load_state_dict(state | still)
        own = composition.game.state_dict()
        taken = {name: old for name, old in self.game.items() if name in own and own[name].shape == old.shape}
        kept = {name: value for name, value in taken.items() if name not in composition.game.afresh}
        composition.game.load_state_dict(own | kept)

    def lay_into_averages(self, averages: Mapping[str, Average]) -> None:
        """Give moving averages the run's, where it has any; the others began with the networks' weights."""
        for slot, average in averages.items():
            if slot in self.averages:
                average.network.load_state_dict(self.averages[slot])


def start_of(config: GameConfig, facts: Facts, registry: Registry, world: World) -> Start:
    """The weights of `training.start_from`, of its newest whole checkpoint or else of its model.

    facts: of the faces to be trained on. world: the first process says which checkpoint, for all of them: a run that
    is still training may save another before the next one looks.

    Raises:
        ConfigError: not a run, one of another kind, none with weights, or one whose networks were built for others; in
            all processes, if one could not read the weights.
    """
    path = config.training.start_from
    assert path is not None
    run, stored, before = opened(path, registry)
    check_family(path, type(stored), stored.method, type(config), config.method)
    check_facts(path, stored, before, facts, registry)
    slots = networks_of(type(config))
    found: Found = world.everyone(weights_in(run) if world.rank == 0 else None)[0]
    is_model = found.folder == run.model
    untrained = untrained_in(run) if is_model else ()
    loaded, gone = {}, None
    try:
        wanted = [name for name in found.names if name.partition(".")[0] in (*slots, GAME)]
        loaded = {name: load_file(found.folder / f"{name}.safetensors") for name in wanted}
    except OSError as error:  # a run that is still training removes its older checkpoints
        gone = str(error)
    reasons = [reason for reason in world.everyone(gone) if reason is not None]
    if reasons:  # in all processes: none waits for one that has given up
        raise ConfigError(f"training.start_from: {found.folder} went away while it was read ({reasons[0]}); try again")
    networks = {slot: loaded[slot] for slot in slots if slot in loaded and slot not in untrained}
    averages = {slot: loaded[f"{slot}.average"] for slot in networks if f"{slot}.average" in loaded}
    averaging = decay_of(config.training, 1) is not None  # without averages of its own a training begins with the run's
    raw = {slot: loaded[f"{slot}{RAW}"] for slot in networks if averaging and f"{slot}{RAW}" in loaded}
    averages |= {slot: networks[slot] for slot in raw}
    networks |= raw
    if not networks:
        raise ConfigError(f"training.start_from: {path} holds no trained weights yet; training saves them in time")
    said = [f"warning: {message}; starting from an older one, or the model" for message in found.damaged]
    if is_model:
        apart = f", {' and '.join(raw)} apart from their averages" if raw else ""
        said.append(f"starting from {path}: networks and averages from its model, for it has no checkpoint{apart}")
    else:
        of = f", averages of {' and '.join(averages)} from its averages" if averages else ", which has no averages"
        said.append(f"starting from {path}: networks as trained until iteration {iteration_of(found.folder)}{of}")
    said += [f"note: {path} has no trained {slot}: it starts afresh" for slot in slots if slot not in networks]
    return Start(path, stored.method, networks, averages, loaded.get(GAME, {}), tuple(said))


class Found(NamedTuple):
    """Where a run's weights lie: the folder, the files in it without their suffix, a sentence on each newer checkpoint
    that is damaged."""

    folder: Path
    names: tuple[str, ...]
    damaged: list[str]


def weights_in(run: RunFolder) -> Found:
    """The newest whole checkpoint of a run, or else its model; without the optimizers."""
    checkpoint, damaged = newest_valid(run.checkpoints)
    folder = run.model if checkpoint is None else checkpoint
    names = sorted(path.name.removesuffix(".safetensors") for path in folder.glob("*.safetensors"))
    return Found(folder, tuple(name for name in names if not name.endswith(".optimizer")), damaged)


def untrained_in(run: RunFolder) -> tuple[str, ...]:
    """The networks of a run's model that never saw a face."""
    file = run.model / "config.json"
    return tuple(json.loads(file.read_text()).get("untrained", ())) if file.exists() else ()


def check_facts(path: Path, stored: GameConfig, before: Facts, now: Facts, registry: Registry) -> None:
    """What a run's networks are built for is the same here.

    Labels and parts matter to a game that reads them, and to networks that have parts.

    Raises:
        ConfigError: every fact that differs.
    """
    differing = [name for name in SETTINGS if getattr(before, name) != getattr(now, name)]
    if not differing:
        return
    composition = compose(stored, before, registry)
    read = {field for need in composition.game.needs.values() for field in need.fields}
    parted = "segmentation" in read or any(isinstance(getattr(network, "parts", None), tuple) and network.parts
                                           for network in composition.networks.values())  # fmt: skip
    labelled = bool(read & {"attributes", "domain"})
    matters = {"parts": parted, "transparent": parted, "attributes": labelled, "domains": labelled}
    lines = [
        f"{name} ({SETTINGS[name]}): {shown(getattr(before, name))} in the run, {shown(getattr(now, name))} here"
        for name in differing
        if matters.get(name, True)
    ]
    if lines:
        raise ConfigError(
            f"training.start_from: the networks of {path} were built for other faces:\n" + "\n".join(lines)
        )


def shown(value: Any) -> str:
    """A fact in words."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)
