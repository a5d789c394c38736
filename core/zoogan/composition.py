"""Composition: config and facts become a game and its networks, rehearsed before any data is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.config import ConfigError, GameConfig, component_name, slots_of
from zoogan.facts import Facts
from zoogan.freezing import frozen_of
from zoogan.interfaces import Clock, ContractError, Draws, Game, Shared, Step, Turn, World
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.fields import FIELDS, Field
from zoogan.registry import Registry, resolve

REHEARSAL_BATCH = 4
# Parameters times pixels up to which an iteration on one core takes less time than meta's bookkeeping of its operators:
# at 1e9 about half, at 4e9 six to nine tenths.
SMALL_WORK = 4e9


@dataclass
class Composition:
    """A game with its networks.

    names: the component name in each slot that holds a network, for messages. fields: what the game may read.
    """

    config: GameConfig
    facts: Facts
    game: Game
    nets: nn.ModuleDict
    names: dict[str, str]
    fields: Mapping[str, Field]

    def sizes(self) -> dict[str, int]:
        """What the letters of a field's shape mean."""
        size = self.facts.image_size
        return {"c": self.facts.channels, "h": size, "w": size, "a": len(self.facts.attributes)}


def compose(config: GameConfig, facts: Facts, registry: Registry) -> Composition:
    """Build every component of a config, and the game that they play.

    Each network is initialised from its own seed, so that swapping one leaves the others' weights as they were.
    """
    components: dict[str, Any] = {}
    names: dict[str, str] = {}
    nets = nn.ModuleDict()
    for slot, role in slots_of(type(config)).items():
        if role.role == "source":
            continue
        chosen = getattr(config, slot)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(config.training.seed, "initialise", slot))
            component = registry.build(role.role, chosen, facts)
        components[slot] = component
        if isinstance(component, nn.Module):
            nets[slot], names[slot] = component, component_name(chosen)
    components["extra_terms"] = {
        step: {name: registry.build("term", term, facts) for name, term in terms.items()}
        for step, terms in config.extra_terms.items()
    }
    game: Game = resolve(registry.methods[config.method].game)(config, facts, components)
    known = [step.name for step in game.steps]
    unknown = [step for step in config.extra_terms if step not in known]
    if unknown:
        raise ConfigError(f"extra_terms: no step is called {', '.join(unknown)}; this game's steps: {', '.join(known)}")
    return Composition(config, facts, game, nets, names, fields_known(config, game, registry))


def fields_known(config: GameConfig, game: Game, registry: Registry) -> Mapping[str, Field]:
    """What a game may read in a rehearsal: the fields that everybody knows, and those that its source describes."""
    asked = {field for need in game.needs.values() for field in need.fields}
    source = registry.components.get(("source", component_name(config.data)))
    if asked <= FIELDS.keys() or source is None:  # a source is not imported for what is known
        return dict(FIELDS)
    return {**FIELDS, **getattr(resolve(source.build), "described", {})}


def check_fields(game: Game, known: Mapping[str, Field]) -> None:
    """That a game reads nothing else.

    Raises:
        ConfigError: it does.
    """
    asked = {field for need in game.needs.values() for field in need.fields}
    if unknown := sorted(asked - known.keys()):
        raise ConfigError(
            f"this game reads {', '.join(unknown)}, of which a rehearsal knows neither shape nor type; it knows "
            f"{', '.join(known)}, and what the class of the source tells of in `described`"
        )


def check_terms(step: Step, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """Terms and weights have the same names, and every term is 0-d.

    Raises:
        ContractError: naming the step and the term.
    """
    if set(terms) != set(weights):
        raise ContractError(f"step {step.name!r} computed the terms {sorted(terms)} but weighs {sorted(weights)}")
    for name, term in terms.items():
        if term.dim() != 0:
            raise ContractError(f"step {step.name!r}: term {name!r} has shape {tuple(term.shape)}, expected a 0-d mean")


def rehearse(config: GameConfig, facts: Facts, registry: Registry) -> None:
    """Play every step once on the `meta` device, penalties and backward included: shapes are checked, nothing computed.

    Where an operator depends on data, which `meta` cannot tell, a tiny iteration on the CPU is played instead; small
    networks are played there at once, which is faster.

    Raises:
        ConfigError: one sentence naming the component, the tensor and both shapes.
    """
    composition = composed_on(torch.device("meta"), config, facts, registry)
    small = work_of(composition) <= SMALL_WORK
    with torch.random.fork_rng(devices=[]):
        try:
            play_once(composed_on(torch.device("cpu"), config, facts, registry) if small else composition)
        except NotImplementedError:  # what torch raises for data-dependent operators on meta, and for missing ones
            play_once(composition if small else composed_on(torch.device("cpu"), config, facts, registry))


def composed_on(device: torch.device, config: GameConfig, facts: Facts, registry: Registry) -> Composition:
    """A fresh composition, wholly on `device`."""
    with device:
        composition = compose(config, facts, registry)
    composition.game.to(device)
    composition.nets.to(device)
    return composition


def work_of(composition: Composition) -> float:
    """Parameters times pixels: at least as many multiplications as a network of convolutions needs for one image."""
    return sum(p.numel() for p in composition.nets.parameters()) * composition.facts.image_size**2


def play_once(composition: Composition) -> None:
    """One update of every step of a game that was not played before, without optimisers."""
    config, game, nets = composition.config, composition.game, composition.nets
    device = next(nets.parameters()).device
    check_fields(game, composition.fields)
    sizes = composition.sizes()

    def zeros(field: str) -> Tensor:
        told = composition.fields[field]
        return torch.zeros(told.sized(REHEARSAL_BATCH, sizes), dtype=told.dtype, device=device)

    batch = {draw: {field: zeros(field) for field in need.fields} for draw, need in game.needs.items()}
    frozen, _ = frozen_of(config.training, game, nets)
    inside: list[str] = []
    with contracts(composition, inside):
        for step in game.steps:
            draw = Draws(0, World.alone(), REHEARSAL_BATCH, slice(None))
            clock = Clock(step.at, config.training.iterations)
            turn = Turn(nets, batch, game.targets(batch, draw), Shared(), clock, World.alone(), draw)
            try:
                with frozen.requiring(step.trains if frozen.paths else nets):
                    terms, weights = step.terms(turn), step.weights(clock)
                    check_terms(step, terms, weights)
                    total = torch.stack([weights[name] * terms[name] for name in terms]).sum()
                    if frozen.paths and not total.requires_grad:
                        raise ContractError(f"step {step.name!r} reaches nothing but what training.freeze names")
                    total.backward()
            except ContractError as error:
                raise ConfigError(f"this composition does not fit: {error}") from error
            except NotImplementedError:
                raise
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if device.type == "meta" and "meta tensor" in str(error).lower():  # an .item(), or bool(tensor)
                    raise NotImplementedError(str(error)) from error
                where = f"in {inside[-1]}" if inside else "outside the networks"
                reason = str(error).strip().splitlines()[0]
                raise ConfigError(
                    f"this composition does not fit: step {step.name!r} fails {where}: {reason}"
                ) from error
            nets.zero_grad()


@contextmanager
def contracts(composition: Composition, inside: list[str]) -> Iterator[None]:
    """Inside, every call of a network is held against its role's contract; `inside` tells which network is running."""
    facts = composition.facts
    fixed = {"c": facts.channels, "h": facts.image_size, "w": facts.image_size, "a": len(facts.attributes)}
    handles = []

    def bounds(slot: str, network: nn.Module) -> tuple[Callable[..., None], Callable[..., None]]:
        who = f"{slot} {composition.names[slot]!r}"
        contract = getattr(network, "contract", None)

        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            inside.append(who)
            if contract is not None:
                contract.check(f"the input of {who}", contract.inputs, dict(zip(contract.inputs, args)), sizes(args))

        def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if contract is not None:
                fields = output if isinstance(output, tuple) else (output,)
                values = output._asdict() if hasattr(output, "_asdict") else dict(zip(contract.outputs, fields))
                missing = [name for name in contract.outputs if name not in values]
                if missing:
                    raise ContractError(f"{who} returns no {' and no '.join(missing)}, which its role promises")
                contract.check(f"the output of {who}", contract.outputs, values, sizes(args))
            inside.pop()

        def sizes(args: tuple[Any, ...]) -> dict[str, int]:
            return fixed | ({"n": len(args[0])} if args and isinstance(args[0], Tensor) else {})

        return before, after

    for slot, network in composition.nets.items():
        before, after = bounds(slot, network)
        handles += [network.register_forward_pre_hook(before), network.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
