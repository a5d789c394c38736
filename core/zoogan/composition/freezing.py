"""Freezing: parts of networks that training leaves unchanged, named by path: `generator.renderer`, `discriminator`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from zoogan.config import TrainingConfig
from zoogan.errors import ConfigError
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
        modules = {
            path: module for slot, network in networks.items() for path, module in network.named_modules(prefix=slot)
        }
        problems = [f"{setting}: {explain_missing_path(path, modules)}" for path in self.paths if path not in modules]
        if problems:
            raise ConfigError("\n".join(problems))
        self.modules = [module for path in self.paths for module in modules[path].modules()]
        self.parameters = {parameter for module in self.modules for parameter in module.parameters(recurse=False)}

    def list_trainable(self, slot: str) -> list[nn.Parameter]:
        """Return the parameters of a network that are not frozen."""
        return [parameter for parameter in self.networks[slot].parameters() if parameter not in self.parameters]

    def list_frozen_names(self, slot: str) -> set[str]:
        """Return the names, within the network, of its frozen parameters and buffers."""
        below = [path.removeprefix(slot).removeprefix(".") for path in self.paths if f"{path}.".startswith(f"{slot}.")]
        names = [name for name, _ in [*self.networks[slot].named_parameters(), *self.networks[slot].named_buffers()]]
        return {name for name in names for path in below if not path or f"{name}.".startswith(f"{path}.")}

    @contextmanager
    def enable_gradients(self, slots: Iterable[str]) -> Iterator[None]:
        """Require gradients of exactly the trainable parameters of these networks inside this context.

        After it, every trainable parameter requires gradients again. Frozen modules are in eval mode from here on,
        because train mode would change the batch statistics that they hold.
        """
        selected = set(slots)
        for slot in self.networks:
            self._require_gradients(slot, slot in selected)
        for module in self.modules:
            module.training = False
        try:
            yield
        finally:
            for slot in self.networks:
                self._require_gradients(slot, True)

    def _require_gradients(self, slot: str, enabled: bool) -> None:
        """Set requires_grad of a network's parameters; frozen ones never require gradients."""
        for parameter in self.networks[slot].parameters():
            parameter.requires_grad_(enabled and parameter not in self.parameters)

    def check_steps(self, steps: Iterable[Step]) -> None:
        """Check that every step trains at least one parameter.

        Raises:
            ConfigError: Names every step that trains nothing.
        """
        idle = [step for step in steps if not any(self.list_trainable(slot) for slot in step.trains)]
        if idle:
            lines = [f"step {step.name!r} would train nothing: all of {' and '.join(step.trains)} is" for step in idle]
            raise ConfigError("\n".join(f"training.freeze: {line} frozen. Leave a part of it out." for line in lines))


def explain_missing_path(path: str, modules: Mapping[str, nn.Module]) -> str:
    """Explain that a path has no module: the nearest path that has one, and the modules where the path stops."""
    names, valid = path.split("."), 0
    while ".".join(names[: valid + 1]) in modules:
        valid += 1
    parent = ".".join(names[:valid])
    children = [other for other in modules if other.rpartition(".")[0] == parent]
    hint = suggest_name(".".join(names[: valid + 1]), children) or suggest_name(path, modules)
    known = ", ".join(other.rpartition(".")[2] for other in children) or "none"
    missing = f"no module {names[valid]!r} in {parent}" if parent else f"no network {names[valid]!r}"
    return f"{path}: {missing}{hint}; known there: {known}"


def find_frozen(training: TrainingConfig, game: Game, networks: Networks) -> tuple[FrozenParameters, FrozenParameters]:
    """Return the frozen parameters, and those that are frozen in the moving averages only.

    Raises:
        ConfigError: Unknown paths, steps that would train nothing, or averages that are not kept.
    """
    frozen = FrozenParameters(networks, training.freeze)
    frozen.check_steps(game.steps)
    in_average = FrozenParameters(networks, training.freeze_average, "training.freeze_average")
    if in_average.paths and training.average is None and training.average_images is None:
        raise ConfigError(
            "training.freeze_average: no moving average is kept. Set training.average or training.average_images, or "
            "use training.freeze instead."
        )
    without = [path for path in in_average.paths if path.partition(".")[0] not in game.averages]
    if without:
        raise ConfigError(
            f"training.freeze_average: {', '.join(without)}: averages are kept of {' and '.join(game.averages)} only"
        )
    return frozen, in_average
