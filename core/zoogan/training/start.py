"""The weights of another run that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file

from zoogan.composition.build import Composition
from zoogan.composition.freezing import FrozenParameters
from zoogan.config import GameConfig, TrainingConfig
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import StateDict
from zoogan.interfaces import Networks, World
from zoogan.names import join_problems
from zoogan.runs.checkpoints import find_newest_checkpoint, parse_iteration
from zoogan.runs.folder import GAME_FILE, RAW_SUFFIX, RunFolder
from zoogan.runs.model_files import check_weights_finite, list_mismatches
from zoogan.training.averages import Average, make_decay
from zoogan.training.origin import check_facts, check_family, get_network_roles, open_origin


@dataclass(frozen=True)
class StartWeights:
    """The weights that a training begins with.

    Attributes:
        path: the run that they come from.
        method: of that run.
        networks: state by slot; fewer slots than the game has where the run has fewer.
        averages: state of the moving averages by slot, where the run has them.
        game: the game's own state.
        messages: lines for the log: where the weights come from, and which networks start afresh.
    """

    path: Path
    method: str
    networks: Mapping[str, StateDict]
    averages: Mapping[str, StateDict]
    game: StateDict
    messages: tuple[str, ...]

    def load_into(self, composition: Composition) -> None:
        """Load the weights into the networks, and the game's state into the game.

        Raises:
            ConfigError: Weights do not fit (all of them are named), or a frozen part is of a network that the run does
                not have.
        """
        training, networks = composition.config.training, composition.networks
        self.check_frozen(training, networks)
        self.check_shapes(composition)
        frozen = FrozenParameters(networks, training.freeze)
        for slot, state in self.networks.items():
            if slot in networks:  # frozen parameters never change: take those of the average
                average = self.averages.get(slot, {}) if make_decay(training, 1) else {}
                still = {name: average[name] for name in frozen.list_frozen_names(slot) if name in average}
                networks[slot].load_state_dict(state | still)
        own = composition.game.state_dict()
        fitting = {name: old for name, old in self.game.items() if name in own and own[name].shape == old.shape}
        loaded = {name: value for name, value in fitting.items() if name not in composition.game.reset_buffers}
        composition.game.load_state_dict(own | loaded)

    def check_frozen(self, training: TrainingConfig, networks: Networks) -> None:
        """Check that the run has every network of which a part is frozen.

        Raises:
            ConfigError: A network is missing in the run.
        """
        afresh = [slot for slot in networks if slot not in self.networks]
        random = [p for p in (*training.freeze, *training.freeze_average) if p.partition(".")[0] in afresh]
        if random:
            raise ConfigError(
                f"training.freeze: {', '.join(random)}: random weights cannot be frozen: {self.path} has no trained "
                f"{' and no '.join(afresh)}"
            )

    def check_shapes(self, composition: Composition) -> None:
        """Check that names and shapes of the weights are those of the networks.

        Raises:
            ConfigError: names every weight that does not fit.
        """
        config, networks = composition.config, composition.networks
        problems = [
            problem
            for group in (self.networks, self.averages)
            for slot in networks
            if slot in group
            for problem in list_mismatches(slot, group, networks[slot])
        ]
        if problems:
            raise ConfigError(
                f"training.start_from: the weights of {self.path}, a run of {self.method}, do not fit the networks of "
                f"this training of {config.method}:\n{join_problems(list(dict.fromkeys(problems)))}\n"
                "leave out the settings of these networks to use those of the run"
            )

    def load_averages(self, averages: Mapping[str, Average]) -> None:
        """Load the run's moving averages, where it has any; the others keep the networks' weights."""
        for slot, average in averages.items():
            if slot in self.averages:
                average.network.load_state_dict(self.averages[slot])


def load_start(config: GameConfig, facts: Facts, registry: Registry, world: World) -> StartWeights:
    """Load the weights of `training.start_from`: of its newest valid checkpoint, or else of its model.

    Args:
        config: of the training; names the run.
        facts: of the faces to train on.
        registry: everything that plugins registered.
        world: the first process chooses the checkpoint for all, because a run that is still training may save a newer
            one in the meantime.

    Raises:
        ConfigError: The path is not a run, or a run of another kind, without weights, or with networks that were built
            for other faces. It is raised in all processes if one of them could not read the weights.
    """
    path = config.training.start_from
    assert path is not None
    run_folder, stored, before = open_origin(path, registry)
    check_family(path, type(stored), stored.method, type(config), config.method)
    check_facts(path, stored, before, facts, registry)
    slots = get_network_roles(type(config))
    files: WeightFiles = world.gather_objects(find_weights(run_folder) if world.rank == 0 else None)[0]
    tensors = read_weights(files, (*slots, GAME_FILE), world)
    untrained = run_folder.list_untrained() if files.folder == run_folder.model else ()
    networks = {slot: tensors[slot] for slot in slots if slot in tensors and slot not in untrained}
    averages = {slot: tensors[f"{slot}.average"] for slot in networks if f"{slot}.average" in tensors}
    averaging = make_decay(config.training, 1) is not None  # a training without averages begins with the run's
    raw = {slot: tensors[f"{slot}{RAW_SUFFIX}"] for slot in networks if averaging and f"{slot}{RAW_SUFFIX}" in tensors}
    averages |= {slot: networks[slot] for slot in raw}
    networks |= raw
    if not networks:
        raise ConfigError(f"training.start_from: {path} holds no trained weights yet; training saves them in time")
    messages = [f"warning: {message}; starting from an older one, or the model" for message in files.damaged]
    if files.folder == run_folder.model:
        apart = f", {' and '.join(raw)} apart from their averages" if raw else ""
        messages.append(f"starting from {path}: networks and averages from its model, for it has no checkpoint{apart}")
    else:
        of = f", averages of {' and '.join(averages)} from its averages" if averages else ", which has no averages"
        iteration = parse_iteration(files.folder)
        messages.append(f"starting from {path}: networks as trained until iteration {iteration}{of}")
    messages += [f"note: {path} has no trained {slot}: it starts afresh" for slot in slots if slot not in networks]
    return StartWeights(path, stored.method, networks, averages, tensors.get(GAME_FILE, {}), tuple(messages))


class WeightFiles(NamedTuple):
    """The weights of a run, not read yet.

    Attributes:
        folder: the checkpoint, or the model.
        names: the files in it, without their suffix.
        damaged: a sentence on each newer checkpoint that is damaged.
    """

    folder: Path
    names: tuple[str, ...]
    damaged: list[str]


def find_weights(run_folder: RunFolder) -> WeightFiles:
    """Find the newest valid checkpoint of a run, or else its model; without the optimizers."""
    checkpoint, damaged = find_newest_checkpoint(run_folder.checkpoints)
    folder = run_folder.model if checkpoint is None else checkpoint
    names = sorted(path.name.removesuffix(".safetensors") for path in folder.glob("*.safetensors"))
    return WeightFiles(folder, tuple(name for name in names if not name.endswith(".optimizer")), damaged)


def read_weights(files: WeightFiles, slots: Sequence[str], world: World) -> dict[str, StateDict]:
    """Read the files of these slots, each with its average and the like.

    Raises:
        ConfigError: A process could not read them. Raised in all processes, so that none waits forever.
    """
    tensors: dict[str, StateDict] = {}
    problem = None
    try:
        names = [name for name in files.names if name.partition(".")[0] in slots]
        tensors = {name: load_file(files.folder / f"{name}.safetensors") for name in names}
    except OSError as error:  # a run that is still training removes its older checkpoints
        problem = str(error)
    problems = [reason for reason in world.gather_objects(problem) if reason is not None]
    for name, state in tensors.items():
        check_weights_finite(state, f"training.start_from: {files.folder / name}.safetensors")
    if problems:
        raise ConfigError(f"training.start_from: {files.folder} went away while it was read ({problems[0]}); try again")
    return tensors
