"""Parts of networks that training leaves as they are, named by path: `generator.renderer`, `discriminator`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from zoogan.config import ConfigError, TrainingConfig
from zoogan.interfaces import Game, Networks, Step
from zoogan.names import suggest_name


class FrozenParameters:
    """The modules at some paths, and all that is below them.

    Args:
        networks: networks by slot. paths: a slot, or modules inside one: `generator.part_generators`, `discriminator.trunk.0`.
        setting: where the paths were set, for messages.

    Raises:
        ConfigError: paths that lead nowhere, every one of them, each with the nearest that does.
    """

    def __init__(self, networks: Networks, paths: Iterable[str], setting: str = "training.freeze") -> None:
        self.networks, self.paths = networks, tuple(paths)
        there = {
            path: module for slot, network in networks.items() for path, module in network.named_modules(prefix=slot)
        }
        problems = [f"{setting}: {told(path, there)}" for path in self.paths if path not in there]
        if problems:
            raise ConfigError("\n".join(problems))
        self.modules = [module for path in self.paths for module in there[path].modules()]
        self.parameters = {parameter for module in self.modules for parameter in module.parameters(recurse=False)}

    def free(self, slot: str) -> list[nn.Parameter]:
        """The parameters of a network that are not frozen."""
        return [parameter for parameter in self.networks[slot].parameters() if parameter not in self.parameters]

    def names(self, slot: str) -> set[str]:
        """The frozen parameters and buffers of a network, as it names them itself."""
        below = [path.removeprefix(slot).removeprefix(".") for path in self.paths if f"{path}.".startswith(f"{slot}.")]
        names = [name for name, _ in [*self.networks[slot].named_parameters(), *self.networks[slot].named_buffers()]]
        return {name for name in names for path in below if not path or f"{name}.".startswith(f"{path}.")}

    @contextmanager
    def requiring(self, slots: Iterable[str]) -> Iterator[None]:
        """Inside, exactly what is free of these networks requires gradients; outside, all that is free.

        Frozen modules are in eval mode from here on: in train mode statistics of batches would move, which are theirs.
        """
        wanted = set(slots)
        for slot in self.networks:
            self._require(slot, slot in wanted)
        for module in self.modules:
            module.training = False
        try:
            yield
        finally:
            for slot in self.networks:
                self._require(slot, True)

    def _require(self, slot: str, wanted: bool) -> None:
        for parameter in self.networks[slot].parameters():
            parameter.requires_grad_(wanted and parameter not in self.parameters)

    def check(self, steps: Iterable[Step]) -> None:
        """Every step still trains something.

        Raises:
            ConfigError: every step that does not.
        """
        idle = [step for step in steps if not any(self.free(slot) for slot in step.trains)]
        if idle:
            lines = [f"step {step.name!r} would train nothing: all of {' and '.join(step.trains)} is" for step in idle]
            raise ConfigError("\n".join(f"training.freeze: {line} frozen; leave a part of it free" for line in lines))


def told(path: str, there: Mapping[str, nn.Module]) -> str:
    """That a path leads nowhere: the nearest that leads somewhere, and what there is where it still did."""
    steps, above = path.split("."), 0
    while ".".join(steps[: above + 1]) in there:
        above += 1
    where = ".".join(steps[:above])
    inside = [other for other in there if other.rpartition(".")[0] == where]
    hint = suggest_name(".".join(steps[: above + 1]), inside) or suggest_name(path, there)
    known = ", ".join(other.rpartition(".")[2] for other in inside) or "none"
    missing = f"no module {steps[above]!r} in {where}" if where else f"no network {steps[above]!r}"
    return f"{path}: {missing}{hint}; known there: {known}"


def frozen_of(training: TrainingConfig, game: Game, networks: Networks) -> tuple[FrozenParameters, FrozenParameters]:
    """What is frozen, and what is frozen in the moving averages alone.

    Raises:
        ConfigError: unknown paths; steps that would train nothing; averages that are not kept.
    """
    frozen = FrozenParameters(networks, training.freeze)
    frozen.check(game.steps)
    still = FrozenParameters(networks, training.freeze_average, "training.freeze_average")
    if still.paths and training.average is None and training.average_images is None:
        raise ConfigError(
            "training.freeze_average: no moving average is kept; set training.average or training.average_images, or "
            "use training.freeze"
        )
    without = [path for path in still.paths if path.partition(".")[0] not in game.averages]
    if without:
        raise ConfigError(
            f"training.freeze_average: {', '.join(without)}: averages are kept of {' and '.join(game.averages)}"
        )
    return frozen, still
