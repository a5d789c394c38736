"""Rehearsal: run every step once, before any data is read, to check that the components fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.composition.build import Composition, compose
from zoogan.composition.freezing import find_frozen
from zoogan.composition.memory import check_memory
from zoogan.config import GameConfig
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Clock, ContractError, Draws, Game, Shared, Step, Turn, World
from zoogan.interfaces.fields import Field

REHEARSAL_BATCH = 4
# Parameters times pixels up to which an iteration on one core is faster than on meta, which has an overhead for each
# operator: at 1e9 it takes about half the time, at 4e9 60 to 90 %.
SMALL_WORK = 4e9


def check_fields(game: Game, known: Mapping[str, Field]) -> None:
    """Check that a game reads only fields whose shape and dtype are known.

    Raises:
        ConfigError: It reads other fields.
    """
    names = {field for need in game.needs.values() for field in need.fields}
    if unknown := sorted(names - known.keys()):
        raise ConfigError(
            f"this game reads {', '.join(unknown)}, of which a rehearsal knows neither shape nor dtype; it knows "
            f"{', '.join(known)}, and the fields in `extra_fields` of the source's class"
        )


def check_terms(step: Step, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """Check that terms and weights have the same names and that every term is 0-d.

    Raises:
        ContractError: They do not; names the step and the term.
    """
    if set(terms) != set(weights):
        raise ContractError(f"step {step.name!r} computed the terms {sorted(terms)} but weighs {sorted(weights)}")
    for name, term in terms.items():
        if term.dim() != 0:
            raise ContractError(f"step {step.name!r}: term {name!r} has shape {tuple(term.shape)}, expected a 0-d mean")


def rehearse(config: GameConfig, facts: Facts, registry: Registry, *, device: torch.device | None = None) -> None:
    """Run every step once on the `meta` device, penalties and backward included.

    Shapes are checked and nothing is computed.

    Where an operator depends on data, which `meta` does not have, a tiny iteration on the CPU is run instead. Small
    networks are run there at once, which is faster.

    Args:
        config: The complete config.
        facts: Facts about the data.
        registry: Methods and components.
        device: The device to train on, whose memory is checked too; None = the CPU.

    Raises:
        ConfigError: One sentence with the component, the tensor and both shapes; or weights and a batch need more
            memory than there is.
    """
    try:
        composition = compose_on_device(torch.device("meta"), config, facts, registry)
    except (RuntimeError, OverflowError) as error:  # torch's for tensors of more than 2**63 numbers
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"the networks of this config cannot be built: {reason}; lower widths or image_size"
        ) from error
    check_memory(composition, device or torch.device("cpu"))
    small = estimate_work(composition) <= SMALL_WORK
    with torch.random.fork_rng(devices=[]):
        try:
            run_steps_once(compose_on_device(torch.device("cpu"), config, facts, registry) if small else composition)
        except NotImplementedError:  # torch raises it for data-dependent and for missing operators on meta
            run_steps_once(composition if small else compose_on_device(torch.device("cpu"), config, facts, registry))


def compose_on_device(device: torch.device, config: GameConfig, facts: Facts, registry: Registry) -> Composition:
    """Make a fresh composition, wholly on `device`."""
    with device:
        composition = compose(config, facts, registry)
    composition.game.to(device)
    composition.networks.to(device)
    return composition


def estimate_work(composition: Composition) -> float:
    """Return parameters times pixels: at least the multiplications that convolutions need for one image."""
    return sum(p.numel() for p in composition.networks.parameters()) * composition.facts.image_size**2


def run_steps_once(composition: Composition) -> None:
    """Run one update of every step of a game that has not been played before, without optimizers.

    Raises:
        ConfigError: A step fails; one sentence with the step, the network and the reason.
        NotImplementedError: The device cannot run an operator.
    """
    config, game, networks = composition.config, composition.game, composition.networks
    device = next(networks.parameters()).device
    check_fields(game, composition.fields)
    sizes = composition.get_sizes()

    def make_zeros(name: str) -> Tensor:
        field = composition.fields[name]
        return torch.zeros(field.get_shape(REHEARSAL_BATCH, sizes), dtype=field.dtype, device=device)

    batch = {draw: {field: make_zeros(field) for field in need.fields} for draw, need in game.needs.items()}
    frozen, _ = find_frozen(config.training, game, networks)
    inside: list[str] = []
    with check_contracts(composition, inside):
        for step in game.steps:
            draw = Draws(0, World.make_single(), REHEARSAL_BATCH, slice(None))
            clock = Clock(step.at, config.training.iterations)
            turn = Turn(networks, batch, game.draw_targets(batch, draw), Shared(), clock, World.make_single(), draw)
            try:
                with frozen.enable_gradients(step.trains if frozen.paths else networks):
                    terms, weights = step.terms(turn), step.weights(clock)
                    check_terms(step, terms, weights)
                    total = torch.stack([weights[name] * terms[name] for name in terms]).sum()
                    if frozen.paths and not total.requires_grad:
                        raise ContractError(
                            f"step {step.name!r} has terms of frozen parameters only, see training.freeze"
                        )
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
            networks.zero_grad()


@contextmanager
def check_contracts(composition: Composition, inside: list[str]) -> Iterator[None]:
    """Check every call of a network against its role's contract inside this context.

    Args:
        composition: The networks.
        inside: Gets the network that is running as its last item, for messages.
    """
    facts = composition.network_facts
    fixed = {"c": facts.channels, "h": facts.image_size, "w": facts.image_size, "a": len(facts.attributes)}
    handles = []

    def make_hooks(slot: str, network: nn.Module) -> tuple[Callable[..., None], Callable[..., None]]:
        owner = f"{slot} {composition.names[slot]!r}"
        contract = getattr(network, "contract", None)

        def check_input(module: nn.Module, args: tuple[Any, ...]) -> None:
            inside.append(owner)
            if contract is not None:
                contract.check(
                    f"the input of {owner}", contract.inputs, dict(zip(contract.inputs, args)), get_sizes(args)
                )

        def check_output(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if contract is not None:
                fields = output if isinstance(output, tuple) else (output,)
                values = output._asdict() if hasattr(output, "_asdict") else dict(zip(contract.outputs, fields))
                missing = [name for name in contract.outputs if name not in values]
                if missing:
                    raise ContractError(f"{owner} returns no {' and no '.join(missing)}, which its role requires")
                contract.check(f"the output of {owner}", contract.outputs, values, get_sizes(args))
            inside.pop()

        def get_sizes(args: tuple[Any, ...]) -> dict[str, int]:
            return fixed | ({"n": len(args[0])} if args and isinstance(args[0], Tensor) else {})

        return check_input, check_output

    for slot, network in composition.networks.items():
        check_input, check_output = make_hooks(slot, network)
        handles += [network.register_forward_pre_hook(check_input), network.register_forward_hook(check_output)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
