"""The trainer: every game's training loop.

It alone owns devices, precision, backward, gradient reduction, optimisers, averages and the order of things. Networks
are never wrapped: DistributedDataParallel breaks on penalty-only and unused-shortcut steps, and silently leaves second
derivatives unreduced. Instead each update averages its gradients over processes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoogan.composition.build import Composition
from zoogan.composition.freezing import frozen_of
from zoogan.composition.rehearsal import check_terms
from zoogan.config.registry import Registry
from zoogan.files import copy_to_cpu
from zoogan.interfaces import Clock, Draws, Shared, Step, Synchronised, Turn, World
from zoogan.interfaces.draws import seed_of
from zoogan.layers.norm import synchronised
from zoogan.runs.checkpoints import State, optimizer_state, restore_optimizer
from zoogan.training.averages import Average, decay_of
from zoogan.training.optimizers import heeds_found_inf, lazily

Batch = Mapping[str, dict[str, Tensor]]


class NotFinite(Exception):
    """A term or a gradient became NaN or infinite. Nothing of it was applied."""


class Trainer:
    """Plays a composition's game on batches.

    Args:
        composition: networks are moved to the accelerator's device.
        batches: batches of this process's rows (batch * accumulate of them), images in [-1, 1], on the device.
        sharing: False recomputes what steps could share; the outcome is the same, which conformance checks.
        injected: random draws by name, for golden cases.
    """

    def __init__(
        self,
        composition: Composition,
        registry: Registry,
        accelerator: Accelerator,
        batches: Iterator[Batch],
        *,
        sharing: bool = True,
        injected: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config, self.accelerator, self.batches = composition.config, accelerator, batches
        self.training = self.config.training
        self.world, self.device = World(), accelerator.device
        self.layout = torch.channels_last if self.training.channels_last else torch.contiguous_format
        self.dtype = torch.float64 if self.training.precision == "fp64" else torch.float32
        self.networks = composition.networks.to(self.device, self.dtype).to(memory_format=self.layout).train()
        self.game = composition.game.to(self.device)
        if self.world.size > 1:
            for network in self.networks.values():
                for layer in synchronised(network).modules():
                    if isinstance(layer, Synchronised):
                        layer.world = self.world
        self.frozen, still = frozen_of(self.training, self.game, self.networks)
        optimizers: Any = dict(self.config)["optimizers"]  # one field a network, declared by the game's config
        self.optimizers: dict[str, Any] = {
            name: lazily(
                registry.build("optimizer", getattr(optimizers, name))(self.frozen.free(name) or network.parameters()),
                [step.every for step in self.game.steps if step.lazy and name in step.trains],
            )
            for name, network in self.networks.items()
        }
        self.schedules = {
            name: registry.build("schedule", getattr(optimizers, name).schedule) for name in self.networks
        }
        self.averages: dict[str, Average] = {}
        self.rows = self.config.data.batch * self.training.accumulate
        decay = decay_of(self.training, self.rows * self.world.size)
        if decay is not None:
            self.averages = {
                name: Average(self.networks[name], decay, self.frozen.names(name) | still.names(name))
                for name in self.game.averages
            }
        if self.training.compile:
            self.compile()
        self.shared = Shared(enabled=sharing)
        self.injected = injected
        self.iteration = self.position = 0
        self.batch: Batch | None = None
        self.terms: dict[str, TermLog] = {step.name: TermLog() for step in self.game.steps}

    def compile(self) -> None:
        """Compile the networks in place; penalties go round it through `turn.eager`."""
        networks: list[Any] = list(self.networks.values())
        for network in networks:
            for part in network.compiled_parts():
                part.compile()

    # ---- one iteration ----

    def iterate(self) -> None:
        """Play every step of the game that is due, then move averages and the game's own state."""
        self.batch = None
        clock = Clock(self.iteration, self.training.iterations)
        due = [step for step in self.game.steps if step.plays(self.iteration)]
        for place, step in enumerate(due):
            for repeat in range(step.repeat):
                if self.batch is None or step.fresh_batch:
                    self.fetch()
                last = repeat == step.repeat - 1
                later = frozenset(after.name for after in due[place + 1 :] if last and not after.fresh_batch)
                self.update(step, repeat, clock, later)
        applied = self.applied()
        for name, average in self.averages.items():
            average.update(self.networks[name], self.iteration, applied)
        self.game.after(clock)
        self.iteration += 1

    def fetch(self) -> None:
        """Read the next batch and draw its targets."""
        self.batch = {draw: self.laid_out(sample) for draw, sample in next(self.batches).items()}
        draw = Draws(
            seed_of(self.training.seed, "targets", self.position), self.world, self.rows, slice(None), self.injected
        )
        self.targets = self.game.targets(self.batch, draw)
        self.position += self.rows * self.world.size
        self.shared.clear()

    def laid_out(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A sample in the networks' precision and memory layout."""
        rows = {field: x.to(self.dtype) if x.is_floating_point() else x for field, x in sample.items()}
        return {field: x.contiguous(memory_format=self.layout) if x.dim() == 4 else x for field, x in rows.items()}

    def update(self, step: Step, repeat: int, clock: Clock, later: frozenset[str]) -> None:
        """One optimiser update: forward and backward of each micro-batch, reduction, guard, step."""
        parameters = [p for name in step.trains for p in self.frozen.free(name)]
        for p in parameters:
            p.grad = None
        parts = self.training.accumulate
        reuse = later if parts == 1 and self.shared.enabled else frozenset()
        log = self.terms[step.name]
        with self.only(step, graph=bool(reuse)):
            for part in range(parts):
                turn = self.turn(
                    step, repeat, clock, slice(part * self.rows // parts, (part + 1) * self.rows // parts), reuse
                )
                with nullcontext() if step.lazy else self.accelerator.autocast():
                    terms = step.terms(turn)
                weights = step.weights(clock)
                check_terms(step, terms, weights)
                total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                (total / parts).backward()
                log.add(terms, total)
                if parts > 1:
                    self.shared.clear()
        self.world.average_gradients(parameters)
        log.guard(parameters, self.world)
        # On CUDA the host does not wait, if every optimizer leaves all as it is where the flag is up.
        flagged = self.device.type == "cuda" and all(heeds_found_inf(self.optimizers[name]) for name in step.trains)
        if not flagged and log.failed is not None and bool(log.failed):
            raise NotFinite(self.what_failed())
        for name in step.trains:
            optimizer = self.optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * self.schedules[name](clock)
            if flagged:
                optimizer.grad_scale, optimizer.found_inf = None, log.failed
            optimizer.step()
        self.shared.stepped(step.trains)

    def turn(self, step: Step, repeat: int, clock: Clock, part: slice, later: frozenset[str]) -> Turn:
        """What the step's terms see of one micro-batch."""
        assert self.batch is not None
        seed = seed_of(self.training.seed, self.iteration, step.name, repeat)
        batch = {draw: {field: rows[part] for field, rows in sample.items()} for draw, sample in self.batch.items()}
        targets = {name: rows[part] for name, rows in self.targets.items()}
        draw = Draws(seed, self.world, self.rows, part, self.injected)
        return Turn(self.networks, batch, targets, self.shared, clock, self.world, draw, later)

    def only(self, step: Step, graph: bool) -> AbstractContextManager[None]:
        """Inside, exactly the networks that the step trains require gradients (and those whose graph is kept), but for
        what is frozen of them."""
        return self.frozen.requiring({*step.trains, *(step.keeps_graph_of if graph else ())})

    # ---- the guard ----

    def applied(self) -> Tensor | None:
        """0-d 1.0 while everything was finite, else 0.0; None where the host already knows."""
        if self.device.type != "cuda":
            return None
        failed = [log.failed for log in self.terms.values() if log.failed is not None]
        return 1 - torch.stack(failed).max() if failed else None

    def what_failed(self) -> str:
        """A sentence naming the steps and terms that were not finite."""
        found = [f"{step}: {', '.join(log.culprits())}" for step, log in self.terms.items() if log.culprits()]
        return f"not finite by iteration {self.iteration}: {'; '.join(found)}. Nothing of it was applied"

    def check_finite(self) -> None:
        """Wait for the device and raise NotFinite if anything was not."""
        if any(log.culprits() for log in self.terms.values()):
            raise NotFinite(self.what_failed())

    def read_terms(self) -> dict[str, float]:
        """Means of every term since the last reading, over all processes, and the game's figures.

        Raises:
            NotFinite: something was, since the last reading.
        """
        self.check_finite()
        figures = self.game.observe()
        names = [f"{step}/{name}" for step, log in self.terms.items() for name in log.names]
        values = [log.sums[name] / log.counts[name] for log in self.terms.values() for name in log.names]
        values += [value.float() for value in figures.values()]
        for log in self.terms.values():
            log.reset()
        if not values:
            return {}
        joint = self.world.mean(torch.stack([value.detach() for value in values])).tolist()
        return dict(zip([*names, *figures], joint))

    # ---- state ----

    def state(self) -> State:
        """Everything that a resume needs."""
        return State(
            iteration=self.iteration,
            position=self.position,
            game=copy_to_cpu(self.game.state_dict()),
            networks={name: copy_to_cpu(network.state_dict()) for name, network in self.networks.items()},
            averages={name: copy_to_cpu(average.network.state_dict()) for name, average in self.averages.items()},
            optimizers={name: optimizer_state(self.networks[name], o) for name, o in self.optimizers.items()},
        )

    def restore(self, state: State) -> None:
        """Go on from `state`. The caller starts `batches` at `state.position`."""
        self.iteration, self.position = state.iteration, state.position
        self.game.load_state_dict(state.game)
        for name, network in self.networks.items():
            network.load_state_dict(state.networks[name])
            restore_optimizer(network, self.optimizers[name], state.optimizers[name])
        for name, average in self.averages.items():
            average.network.load_state_dict(state.averages.get(name, state.networks[name]))

    def model(self) -> dict[str, nn.Module]:
        """The networks to use after training: averages where there are any."""
        return {
            name: self.averages[name].network if name in self.averages else network
            for name, network in self.networks.items()
        }


class TermLog:
    """Running sums of one step's terms and latched flags of what was not finite, all on the device."""

    def __init__(self) -> None:
        self.reset()
        self.failed: Tensor | None = None
        self._bad: dict[str, Tensor] = {}

    def reset(self) -> None:
        """Forget the sums; flags stay up."""
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The terms seen since the last reset."""
        return list(self.sums)

    @torch.no_grad()
    def add(self, terms: Mapping[str, Tensor], total: Tensor) -> None:
        """Count one micro-batch."""
        for name, term in [*terms.items(), ("total", total)]:
            value = term.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
            self._latch(name, ~torch.isfinite(value))

    @torch.no_grad()
    def guard(self, parameters: Iterable[nn.Parameter], world: World) -> None:
        """Latch `failed` (0-d, 0.0 or 1.0) on a term or a reduced gradient that is not finite, on any process."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            norms = torch.stack(torch._foreach_norm(gradients))
            self._latch("gradient", ~torch.isfinite(norms).all())
        self.failed = world.maximum(torch.stack(list(self._bad.values())).max().float())

    def _latch(self, name: str, bad: Tensor) -> None:
        self._bad[name] = self._bad[name] | bad if name in self._bad else bad

    def culprits(self) -> list[str]:
        """The terms (or `gradient`) that were not finite. Waits for the device."""
        if self.failed is None or not bool(self.failed):
            return []
        found = [name for name, bad in self._bad.items() if bool(bad)]
        return found or ["another process"]
