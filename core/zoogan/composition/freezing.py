"""Freezing: parts of networks that training leaves unchanged, named by path: `generator.renderer`, `discriminator`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from zoogan.config import ConfigError, TrainingConfig
from zoogan.interfaces import Game, Networks, Step
from zoogan.names import suggest_name


class FrozenParameters:
    """The modules at some paths, and everything below them.

    Args:
        networks: Networks by slot.
        paths: Slots, or modules inside one: `generator.part_generators`, `discriminator.trunk.0`.
        setting: The setting that holds the paths, for messages.

    Raises:
        ConfigError: Paths without a module, all of them, each with the nearest path that has one.
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
        """Return the parameters of a network that are not frozen."""
        return [parameter for parameter in self.networks[slot].parameters() if parameter not in self.parameters]

    def names(self, slot: str) -> set[str]:
        """Return the names, within the network, of its frozen parameters and buffers."""
        below = [path.removeprefix(slot).removeprefix(".") for path in self.paths if f"{path}.".startswith(f"{slot}.")]
        names = [name for name, _ in [*self.networks[slot].named_parameters(), *self.networks[slot].named_buffers()]]
        return {name for name in names for path in below if not path or f"{name}.".startswith(f"{path}.")}

    @contextmanager
    def requiring(self, slots: Iterable[str]) -> Iterator[None]:
        """Require gradients of exactly the trainable parameters of these networks inside this context.

        After it, every trainable parameter requires gradients again. Frozen modules are in eval mode from here on,
        because train mode would change the batch statistics that they hold.
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
        """Set requires_grad of a network's parameters; frozen ones never require gradients."""
        for parameter in self.networks[slot].parameters():
            parameter.requires_grad_(wanted and parameter not in self.parameters)

    def check(self, steps: Iterable[Step]) -> None:
        """Check that every step still trains something.

        Raises:
            ConfigError: Names every step that trains nothing.
        """
        idle = [step for step in steps if not any(self.free(slot) for slot in step.trains)]
        if idle:
            lines = [f"step {step.name!r} would train nothing: all of {' and '.join(step.trains)} is" for step in idle]
            raise ConfigError("\n".join(f"training.freeze: {line} frozen; leave a part of it free" for line in lines))


def told(path: str, there: Mapping[str, nn.Module]) -> str:
    """Explain that a path has no module: the nearest path that has one, and the modules at the last valid point of it."""
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
    """Return the frozen parameters, and those that are frozen in the moving averages only.

    Raises:
        ConfigError: Unknown paths, steps that would train nothing, or averages that are not kept.
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
